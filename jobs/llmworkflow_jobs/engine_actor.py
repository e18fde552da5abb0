"""A vLLM engine in a Ray actor that is fed without a pause: what ray.data.llm does for rows, at the engine's own pace.

ray.data.llm waits for each row apart, which on a fast GPU costs a fifth of the throughput. Here one thread steps the
engine and takes in whole batches between steps, so that the engine never runs dry and no row has a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from llmworkflow_jobs import media
from llmworkflow_jobs.config import JobConfig

# What the arguments of an engine are where it has one GPU to itself and runs in the actor's own process.
_ALONE: dict[str, Any] = {
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "data_parallel_size": 1,
    "distributed_executor_backend": "uni",
}
# Rows that an engine has in hand, so that it always finds enough to fill its batch, which on a large GPU is 1,024.
_ROWS_IN_HAND = 4096
_SCHEMA = pa.schema(
    {
        "request_index": pa.int64(),
        "text": pa.string(),
        "token_ids": pa.list_(pa.int64()),
        "seconds": pa.float64(),
        "error": pa.string(),
        "truncated": pa.bool_(),
    }
)

logger = logging.getLogger(__name__)


def suits(config: JobConfig, arguments: Mapping[str, Any]) -> bool:
    """Whether the actor can do what a batch asks of its engine: texts, from one GPU. The rest is ray.data.llm's."""
    alone = all(arguments.get(name, value) == value for name, value in _ALONE.items())
    pipeline = config.section["pipeline"]
    limited = pipeline["maxPendingRequests"] or pipeline["maxConcurrentBatches"]
    return config.accelerator is not None and config.section["task"] == "generate" and alone and not limited


def batches_in_hand(batch_size: int) -> int:
    """Batches that an engine answers at once: two at least, so that one begins before the other ends."""
    return max(2, -(-_ROWS_IN_HAND // batch_size))


@dataclass
class _Batch:
    """Rows that came together and go back together."""

    rows: list[dict[str, Any]]
    done: asyncio.Future[None]
    began: float = field(default_factory=time.monotonic)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: Mapping[str, Any], **answer: Any) -> None:
        seconds = time.monotonic() - self.began
        self.answers.append({"request_index": row["request_index"], "seconds": seconds, **answer})
        if len(self.answers) == len(self.rows):
            self.done.get_loop().call_soon_threadsafe(self.done.set_result, None)


class Engine:
    """Answers batches of {request_index, tokenized_prompt, model}; for map_batches of Ray Data.

    A row may have an image as well. One whose `model` is not `source` is answered by the adapter in the folder of that
    name; one that has `sampling_params` is sampled with those, not with `parameters`. A row that vLLM refuses gets an
    error. An engine that dies takes the actor along, so that Ray starts both again.
    """

    def __init__(self, source: str, arguments: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        from vllm import EngineArgs, LLMEngine
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.metrics.ray_wrappers import RayPrometheusStatLogger

        self._source = source
        settings = EngineArgs(model=source, **(_ALONE | dict(arguments)))
        # The settings that vLLM has for work offline, and its metrics among those of Ray.
        context, loggers = UsageContext.LLM_CLASS, [RayPrometheusStatLogger]
        self._engine = LLMEngine.from_engine_args(settings, context, stat_loggers=loggers)
        self._parameters = _sampling(parameters)
        self._adapters: dict[str, Any] = {}
        self._inbox: queue.SimpleQueue[_Batch] = queue.SimpleQueue()
        self._asked: dict[str, tuple[_Batch, dict[str, Any]]] = {}
        self._count = 0
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    async def __call__(self, table: pa.Table) -> AsyncIterator[pa.Table]:
        """Answer a batch; several may be under way at once."""
        batch = _Batch(table.to_pylist(), asyncio.get_running_loop().create_future())
        self._inbox.put(batch)
        await batch.done
        yield pa.Table.from_pylist(batch.answers, schema=_SCHEMA)

    def _run(self) -> None:
        try:
            while True:
                self._take_in()
                for output in self._engine.step():
                    if output.finished:
                        batch, row = self._asked.pop(output.request_id)
                        batch.add(row, **_answer(output.outputs[0]))
        except BaseException:
            logger.exception("the engine died")
            os._exit(1)  # no exception of a thread would end the actor

    def _take_in(self) -> None:
        """Ask what has come since, and wait for it if there is nothing left to answer."""
        while not self._asked or not self._inbox.empty():
            batch = self._inbox.get()
            for row in batch.rows:
                self._ask(batch, row)

    def _ask(self, batch: _Batch, row: dict[str, Any]) -> None:
        from vllm import TokensPrompt
        from vllm.v1.engine.exceptions import EngineDeadError

        self._count += 1
        name = str(self._count)
        shown = media.for_engine(row, "multi_modal_data")
        prompt = TokensPrompt(prompt_token_ids=row["tokenized_prompt"], **shown)
        adapter = self._adapter(row["model"])
        own = row.get("sampling_params")
        try:
            parameters = _sampling(own) if own else self._parameters
            self._engine.add_request(name, prompt, parameters, lora_request=adapter)
        except EngineDeadError:
            raise
        except Exception as error:  # such as a prompt that is too long
            batch.add(row, text="", token_ids=[], error=f"{type(error).__name__}: {error}", truncated=False)
        else:
            self._asked[name] = (batch, row)

    def _adapter(self, folder: str) -> Any:
        if folder == self._source:
            return None
        if folder not in self._adapters:
            from vllm.lora.request import LoRARequest

            self._adapters[folder] = LoRARequest(folder, len(self._adapters) + 1, folder)
        return self._adapters[folder]


def _answer(output: Any) -> dict[str, Any]:
    """An answer of vLLM's; one of reason "length" was cut by `max_tokens` or by the longest context of the model."""
    return {
        "text": output.text,
        "token_ids": list(output.token_ids),
        "error": "",
        "truncated": output.finish_reason == "length",
    }


def _sampling(parameters: Mapping[str, Any]) -> Any:
    """The parameters for vLLM, with the form of answers as its own object; an answer is wanted when it is complete."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    rest = dict(parameters)
    form = rest.pop("structured_outputs", None)
    return SamplingParams(
        **rest,
        structured_outputs=StructuredOutputsParams(**form) if form else None,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
