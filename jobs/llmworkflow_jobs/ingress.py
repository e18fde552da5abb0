"""The ingress of an endpoint: the names that clients use, the adapters behind them, and the proof that they answer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from ray.llm._internal.serve.core.configs.openai_api_models import OpenAIHTTPException
from ray.llm._internal.serve.utils.broadcast import broadcast
from ray.serve.llm.ingress import OpenAiIngress
from ray.serve.llm.openai_api_models import ChatCompletionRequest

from llmworkflow_jobs import replay, storage, verification
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import REPORT_ENV, Report, open_sink
from llmworkflow_jobs.volume_adapters import Route

# An endpoint that takes longer than this for some rows is none to switch to.
_VERIFICATION_SECONDS = 300

logger = logging.getLogger("ray.serve")


class LLMIngress(OpenAiIngress):
    """Ray's OpenAI ingress, with names that stay while the adapters behind them change.

    `reconfigure` is given what `serving` describes as the user_config. Every replica loads the adapters, then all names
    move at once, then rows of the scored batch are put through the endpoint, and the verdict is reported.
    """

    def __init__(self, *args: Any, job: JobConfig, report: str | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._job = job
        self._report = report
        self._routes: dict[
            str, Route | None
        ] = {}  # by the name that clients use; None is the engine's own model
        self._change: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Begin to change to `user_config`; a change that is still under way is given up.

        It goes on in the background, as Serve would stop a replica whose reconfiguration fails.
        """
        if self._change is not None:
            self._change.cancel()
        self._change = asyncio.create_task(self._change_to(user_config))

    async def _change_to(self, wanted: Mapping[str, Any]) -> None:
        stage = {**self._job.stage, "revision": wanted["revision"], "attempt": wanted["attempt"]}
        report = Report(
            dataclasses.replace(self._job, stage=stage), open_sink(self._report or os.environ.get(REPORT_ENV))
        )
        aliases = wanted["aliases"]
        try:
            routes = {name: _route(name, served) for name, served in aliases.items()}
            for name, route in routes.items():
                if route is not None:
                    await asyncio.to_thread(storage.read_whole, aliases[name], self._job)
                    await self._load(name, route)
            self._routes = routes
            verdict = await self._verdict(aliases, wanted["verify"])
        except Exception as error:  # a person has to see it in the workflow's status, whatever it is
            logger.exception("revision %s is not served", wanted["revision"])
            verdict = verification.failed(next(iter(aliases)), str(error))
        report.verification(verdict)

    async def _load(self, name: str, route: Route) -> None:
        """Have every replica load the adapter. A call that any of them takes waits until there is one."""
        handle = self._default_serve_handles[name]
        await handle.load.remote(route.encode())
        await asyncio.to_thread(broadcast, handle, "load", [route.encode()])

    async def _verdict(self, aliases: Mapping[str, Any], verify: Mapping[str, Any] | None) -> dict[str, Any]:
        if verify is None:
            return await verification.greet(next(iter(aliases)), self._ask)
        batch = verify["rowsOf"]
        name = _name_of(storage.read_manifest(batch, self._job)["model"], aliases)
        rows = replay.read(f"{batch['uri']}/{replay.FILE}", self._job, verify["rows"])
        if not rows:
            raise JobError("DataEmpty", f"{batch['uri']} has no row that could be replayed: all have failed")
        try:
            async with asyncio.timeout(_VERIFICATION_SECONDS):
                return await verification.replay(name, rows, verify["agreement"], self._ask)
        except TimeoutError:
            return verification.failed(name, f"{len(rows)} rows took more than {_VERIFICATION_SECONDS} s")

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a request as if a client had sent it."""
        response = await self.chat(ChatCompletionRequest(**body), None)
        return json.loads(bytes(response.body))

    async def _get_response(
        self, *, body: Any, call_method: str, raw_request: Any = None
    ) -> AsyncGenerator[Any, None]:
        name = await self._get_model_id(body.model)
        if name not in self._model_cards:
            raise OpenAIHTTPException(404, f"Could not find model with id {name}.", "InvalidModel")
        if name not in self._routes:
            raise OpenAIHTTPException(503, f"Model {name} is being loaded.", "ServiceUnavailable")
        route = self._routes[name]
        body.model = name if route is None else route.encode()
        async for response in super()._get_response(
            body=body, call_method=call_method, raw_request=raw_request
        ):
            yield response


def _route(name: str, served: Mapping[str, Any] | None) -> Route | None:
    """Route to what is served under a name. A base or a full model needs none: the engine was started with it."""
    if served is None or served["type"] != "adapter":
        return None
    return Route(f"{name}:{served['stage']}-{served['revision']}-{served['attempt']}", served["uri"])


def _name_of(model: Mapping[str, Any] | None, aliases: Mapping[str, Any]) -> str:
    """The name under which the model is served that a batch ran: its artifact, or None for the base model."""
    digest = model["digest"] if model else None
    for name, served in aliases.items():
        if (served["digest"] if served else None) == digest:
            return name
    raise JobError(
        "ArtifactMissing",
        f"the batch to replay ran {model['uri'] if model else 'the base model'}, which is not served",
    )
