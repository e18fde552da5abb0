"""The ingress of an endpoint: the names that clients use, the adapters behind them, and the proof that they answer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException
from ray.llm._internal.serve.core.configs.openai_api_models import ModelCard, ModelList, OpenAIHTTPException
from ray.llm._internal.serve.utils.broadcast import broadcast
from ray.serve.handle import DeploymentHandle
from ray.serve.llm.ingress import OpenAiIngress
from ray.serve.llm.openai_api_models import ChatCompletionRequest

from llmworkflow_jobs import replay, storage, verification
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import REPORT_ENV, Report, open_sink, to_job_error
from llmworkflow_jobs.volume_adapters import Route

# An endpoint that takes longer than this for some rows is none to switch to.
_VERIFICATION_SECONDS = 300
# A request for a name whose adapter is being loaded waits as long as this before it is turned away, and longer where
# nothing is served yet: an engine that comes up again takes minutes.
_LOADING_SECONDS = 60
_STARTING_SECONDS = 600
# Storage or an engine that was away for a moment is no reason to turn a model down.
_PAUSES = (2, 10, 30)
# An ingress that serves nothing, as a new one in place of another does at first, tries again after so long.
_AGAIN_SECONDS = 30

# The routes that a change proves before clients get them; set in the task of that change alone.
_tried: ContextVar[Mapping[str, Route | None] | None] = ContextVar("tried", default=None)

logger = logging.getLogger("ray.serve")


class LLMIngress(OpenAiIngress):
    """Ray's OpenAI ingress, with names that stay while the adapters behind them change.

    `reconfigure` is given what `serving` describes as the user_config. Every replica loads the adapters, then rows of
    the scored batch are put through the endpoint under the names that clients will use, and the verdict is reported.
    If it is good, all names move at once; else none does, and those that are new are not known.
    """

    _default_serve_handles: dict[str, DeploymentHandle]  # of Ray's

    def __init__(self, *args: Any, job: JobConfig, report: str | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By gRPC, which is cheaper than a call of an actor for each request and each part of an answer.
        handles = self._default_serve_handles
        handles.update({model: handle.options(_by_reference=False) for model, handle in handles.items()})
        self._job = job
        self._report = report
        # By the name that clients use; None is the engine's own model.
        self._routes: dict[str, Route | None] = {}
        self._coming: Sequence[str] = ()  # names that a change under way brings
        self._moved = asyncio.Event()  # whether none is under way
        self._change: asyncio.Task[None] | None = None
        self._told: dict[str, Any] = {}  # what was reported last

    async def report(self) -> dict[str, Any]:
        """What came of the latest change: a verdict. Empty until there is one."""
        return self._told

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Begin to change to `user_config`; a change that is still under way is given up.

        It goes on in the background, as Serve would stop a replica whose reconfiguration fails. One that serves nothing
        yet is awaited, until its first verdict: the replica counts as running after that, and what it is to follow on
        another cluster serves until then.
        """
        if self._change is not None:
            self._change.cancel()
            await asyncio.wait([self._change])
        self._coming = tuple(user_config["aliases"])
        self._moved.clear()
        self._change = asyncio.create_task(self._change_to(user_config))
        if not self._routes:
            await self._moved.wait()

    async def _change_to(self, wanted: Mapping[str, Any]) -> None:
        """Serve what is wanted if it proves good; as long as nothing is served at all, try again and again."""
        try:
            while True:
                self._tell(wanted, await self._outcome(wanted))
                self._moved.set()
                if self._routes:
                    return
                await asyncio.sleep(_AGAIN_SECONDS)
        finally:
            self._coming = ()
            self._moved.set()

    async def _outcome(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The verdict on what is wanted; after a good one it is served."""
        try:
            routes, verdict = await self._proved(wanted)
        except Exception as error:  # a person has to see it in the workflow's status, whatever it is
            logger.exception("revision %s is not served", wanted["revision"])
            problem = verification.public(error, self._job.workflow_uri)
            return verification.failed(next(iter(wanted["aliases"])), problem)
        if verdict["passed"]:
            self._routes = routes
        return verdict

    async def _proved(self, wanted: Mapping[str, Any]) -> tuple[dict[str, Route | None], dict[str, Any]]:
        """The routes to what is wanted, and the verdict on them. What may pass is tried again a few times."""
        for pause in _PAUSES:
            try:
                return await self._prove(wanted)
            except Exception as error:
                if not to_job_error(error).retryable:
                    raise
                logger.warning("revision %s is tried again in %d s: %s", wanted["revision"], pause, error)
            await asyncio.sleep(pause)
        return await self._prove(wanted)

    async def _prove(self, wanted: Mapping[str, Any]) -> tuple[dict[str, Route | None], dict[str, Any]]:
        routes = await self._loaded(wanted["aliases"])
        token = _tried.set(routes)
        try:
            return routes, await self._verdict(wanted["aliases"], wanted["verify"])
        finally:
            _tried.reset(token)

    def _tell(self, wanted: Mapping[str, Any], verdict: Mapping[str, Any]) -> None:
        """Report a verdict: to whoever asks here, also where the address of reports cannot be written to."""
        stage = {**self._job.stage, "revision": wanted["revision"], "attempt": wanted["attempt"]}
        report = Report(
            dataclasses.replace(self._job, stage=stage), open_sink(self._report or os.environ.get(REPORT_ENV))
        )
        try:
            report.verification(verdict)
        except OSError:
            logger.exception("the verdict on revision %s cannot be written", wanted["revision"])
        self._told = report.document

    async def _loaded(self, aliases: Mapping[str, Any]) -> dict[str, Route | None]:
        """The route of every name, once every replica has the adapter behind it."""
        routes = {name: _route(name, served) for name, served in aliases.items()}
        for name, route in routes.items():
            if route is not None:
                if "digest" in aliases[name]:  # else no stage made it
                    await asyncio.to_thread(storage.read_whole, aliases[name], self._job)
                await self._load(route)
        return routes

    async def _load(self, route: Route) -> None:
        """Have every replica load the adapter. A call that any of them takes waits until there is one."""
        handle = self._default_serve_handles[route.model_id]
        try:
            await handle.load.remote(route.encode())
            await asyncio.to_thread(broadcast, handle, "load", [route.encode()])
        except HTTPException as error:
            problem = f"adapter {route.name} cannot be loaded; the log of its engine says why"
            raise JobError("ModelInvalid", problem, retryable=True) from error

    async def _verdict(self, aliases: Mapping[str, Any], verify: Mapping[str, Any] | None) -> dict[str, Any]:
        if verify is None:
            asked, first = verification.greet(list(aliases), self._ask), next(iter(aliases))
        else:
            names, rows = await asyncio.to_thread(self._replayed, verify, aliases)
            first = names[rows[0]["adapter"]]
            asked = verification.replay(names, rows, verify["agreement"], self._ask)
        return await verification.limited(asked, _VERIFICATION_SECONDS, first)

    def _replayed(
        self, verify: Mapping[str, Any], aliases: Mapping[str, Any]
    ) -> tuple[dict[str | None, str], list[replay.ReplayRow]]:
        """Rows of the batch that a served model answered, and its name here by the adapter that the row names."""
        batch = verify["rowsOf"]
        manifest = storage.read_manifest(batch, self._job)
        names = self._names_of({None: manifest["model"], **manifest["adapters"]}, aliases)
        if not names:
            ran = ", ".join(
                made["uri"] for made in [manifest["model"], *manifest["adapters"].values()] if made
            )
            problem = f"the batch to replay ran {ran or 'the base model'}, which is not served"
            raise JobError("ArtifactMissing", problem)
        rows = replay.read(f"{batch['uri']}/{replay.FILE}", self._job)
        answered = [row for row in rows if row["adapter"] in names][: verify["rows"]]
        if not answered:
            raise JobError("DataEmpty", f"{batch['uri']} has no row that could be replayed: all have failed")
        return names, answered

    def _names_of(
        self, models: Mapping[str | None, Mapping[str, Any] | None], aliases: Mapping[str, Any]
    ) -> dict[str | None, str]:
        """Under which name each of a batch's models is served here: artifacts, and None for the base model."""
        others = {served["modelId"] for served in self._job.section["models"] if served["source"]}
        served = {_identity(made): name for name, made in aliases.items() if made or name not in others}
        return {
            adapter: served[_identity(made)] for adapter, made in models.items() if _identity(made) in served
        }

    async def _ask(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a request as if a client had sent it."""
        try:
            response = await self.chat(ChatCompletionRequest(**body), None)
        except OpenAIHTTPException as error:
            if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            logger.warning("a row is refused: %s", error.message)
            raise verification.RefusedError(f"{error.status_code} {error.type}") from error
        return json.loads(bytes(response.body))

    async def _get_response(
        self, *, body: Any, call_method: str, raw_request: Any = None
    ) -> AsyncGenerator[Any, None]:
        tried = _tried.get()
        name = await self._known(body.model) if tried is None else body.model
        route = (self._routes if tried is None else tried)[name]
        body.model = name if route is None else route.encode()
        async for response in super()._get_response(
            body=body, call_method=call_method, raw_request=raw_request
        ):
            yield response

    async def models(self) -> ModelList:
        """All names that clients may use."""
        return ModelList(data=[self._card(name) for name in self._names()])

    async def model(self, model_id: str) -> ModelCard | None:
        """What there is to say of a name, None where there is no such one."""
        return self._card(model_id) if model_id in self._names() else None

    def _card(self, name: str) -> ModelCard:
        card: ModelCard = self._model_cards[_model_id(name)]
        return card.model_copy(update={"id": name, "metadata": card.metadata | {"model_id": name}})

    def _names(self) -> Iterable[str]:
        """The names that are served, in the order of the workflow, and those that are on their way."""
        return dict.fromkeys([*self._routes, *self._coming])

    async def _known(self, model: str | None) -> str:
        """The name that a request means, once there is a route for it."""
        names = list(self._names())
        name = names[0] if model is None and len(names) == 1 else model
        if name in self._coming and name not in self._routes:
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._moved.wait(), _LOADING_SECONDS if self._routes else _STARTING_SECONDS
                )
        if name in self._routes:
            return name
        if name in self._coming:
            raise OpenAIHTTPException(503, f"Model {name} is being loaded.", "ServiceUnavailable")
        problem = f"Could not find model {name}" if name else "The request names no model"
        message = f"{problem}, there are {', '.join(names)}."
        raise OpenAIHTTPException(404, message, "InvalidModel")


def _route(name: str, served: Mapping[str, Any] | None) -> Route | None:
    """Route to what is served under a name. A base or a full model needs none: the engine was started with it."""
    if served is None or served["type"] != "adapter":
        return None
    if "digest" in served:
        identity = f"{served['stage']}-{served['revision']}-{served['attempt']}"
    else:  # no stage made it, so that its address alone tells it from others
        identity = storage.text_digest(served["uri"]).removeprefix("sha256:")[:12]
    return Route(f"{_model_id(name)}:{identity}", served["uri"])


def _model_id(name: str) -> str:
    """The modelId of a name, which is itself or `<modelId>:<adapter>`."""
    return name.partition(":")[0]


def _identity(made: Mapping[str, Any] | None) -> str | None:
    """What tells an artifact from any other; None for the base model."""
    return made.get("digest", made["uri"]) if made else None
