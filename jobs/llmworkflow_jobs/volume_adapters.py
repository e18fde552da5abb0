"""The LLM server of an endpoint: Ray's own, with adapters from the workflow's storage.

Ray Serve loads adapters from buckets only. Here the ingress writes where the adapter is into the model's name, by which
Serve also routes, so that every replica can load it, also one that is started later; the engine sees a plain name.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

from fastapi import HTTPException
from ray import serve
from ray.llm._internal.common.callbacks.base import CallbackBase
from ray.llm._internal.serve.core.configs.llm_config import DiskMultiplexConfig
from ray.llm._internal.serve.utils.lora_serve_utils import LoraModelLoader
from ray.serve.llm.deployment import LLMServer
from ray.util.placement_group import PlacementGroup

from llmworkflow_jobs import engine, storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inference_model import Adapter, load_adapter
from llmworkflow_jobs.model_files import bring
from llmworkflow_jobs.report import to_job_error

# Key of LLMConfig.experimental_configs under which the server finds the job's configuration.
JOB = "llmworkflow"

logger = logging.getLogger("ray.serve")


class Route(NamedTuple):
    """An adapter as requests name it between ingress and server: its name in the engine, and its artifact's address.

    The name is `<modelId>:<unique id of the adapter>`, of which Ray takes the part before the colon for the base model.
    """

    name: str
    uri: str

    @property
    def model_id(self) -> str:
        """The model that it is an adapter of."""
        return self.name.partition(":")[0]

    def encode(self) -> str:
        return f"{self.name}@{self.uri}"

    @classmethod
    def decode(cls, text: str) -> Route | None:
        """The route that `text` encodes, or None if it is the name of a base model."""
        name, mark, uri = text.partition("@")
        return cls(name, uri) if mark else None


class AdapterLoader(LoraModelLoader):
    """Finds adapters in the workflow's storage; one on a volume is used where it is."""

    async def load_model_from_config(self, lora_model_id: str, llm_config: Any) -> DiskMultiplexConfig:
        route = Route.decode(lora_model_id)
        if route is None:
            raise HTTPException(404, f"{lora_model_id} says no address of an adapter")
        group = llm_config.get_or_create_callback().ctx.placement_group
        try:
            adapter = await asyncio.to_thread(_load, route.uri, llm_config.experimental_configs[JOB], group)
        except (JobError, OSError) as error:
            logger.exception("adapter %s cannot be loaded", route.name)  # clients are told no address
            problem = "the adapter of this model is not available"
            raise HTTPException(503 if to_job_error(error).retryable else 404, problem) from None
        return DiskMultiplexConfig(
            model_id=route.name,
            max_total_tokens=None,
            local_path=adapter.folder,
            lora_assigned_int_id=0,  # vLLM numbers adapters itself
        )


class AdapterServer(LLMServer):
    """Ray's LLM server with adapters from the workflow's storage."""

    async def load(self, route: str) -> None:
        """Load the adapter of an encoded route, unless the engine has it."""
        adapter = await self._load_model(route)
        async with self._resolving:
            await self.engine.resolve_lora(adapter)

    async def _maybe_resolve_lora_from_multiplex(self) -> None:
        if route := serve.get_multiplexed_model_id():
            await self.load(route)

    def _init_multiplex_loader(self, model_downloader_cls: Any = None) -> None:
        # vLLM refuses the second of two requests that both bring an adapter that is new to it.
        self._resolving = asyncio.Lock()
        super()._init_multiplex_loader(model_downloader_cls or AdapterLoader)

    async def _run_request(self, request: Any, **options: Any) -> Any:
        if route := Route.decode(request.model):
            request.model = route.name
        return await super()._run_request(request, **options)

    async def _start_engine(self) -> None:
        """Start the engine, and nothing else: Ray also starts an actor for usage statistics and waits for it."""
        await self.engine.start()

    def _get_default_engine_class(self) -> Any:
        if self._llm_config.accelerator_config.kind == "cpu":
            return _one_process_engine()
        return super()._get_default_engine_class()


class OwnFiles(CallbackBase):
    """In place of Ray's download of a model to every node: a volume is there, and a bucket is copied from here."""

    async def on_before_node_init(self) -> None:
        self.ctx.run_init_node = False
        job = self.llm_config.experimental_configs[JOB]
        await asyncio.to_thread(bring, self.kwargs["addresses"], job, self.ctx.placement_group)


def _load(uri: str, job: JobConfig, group: PlacementGroup | None) -> Adapter:
    """An adapter, on every machine that its engine runs on."""
    adapter = load_adapter(uri, job)
    if storage.is_remote(adapter.address):
        bring([adapter.address], job, group)
    return adapter


def _one_process_engine() -> Any:
    """Ray's vLLM engine with scheduler and model in one process, which a configuration cannot ask for on a CPU."""
    from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine

    class OneProcessEngine(VLLMEngine):
        def _prepare_engine_config(self, callback_ctx: Any) -> Any:
            arguments, frontend, config = super()._prepare_engine_config(callback_ctx)
            config.parallel_config.distributed_executor_backend = engine.ONE_PROCESS
            return arguments, frontend, config

    return OneProcessEngine
