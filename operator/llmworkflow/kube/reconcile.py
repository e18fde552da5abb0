"""One look at one workflow: observe, plan, write the status, then act."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import Reason
from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.problems import InvalidWorkflow
from llmworkflow.api.spec.workflow import API_VERSION, KIND, LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, StageState
from llmworkflow.api.validate import check
from llmworkflow.core.actions import ApplyService, CreateChild, DeleteChild, Plan, Transition
from llmworkflow.core.conditions import stalled
from llmworkflow.core.observation import Observed
from llmworkflow.core.plan import plan
from llmworkflow.job_code import job_code
from llmworkflow.kube import metrics
from llmworkflow.kube.cache import Key
from llmworkflow.kube.client import Api
from llmworkflow.kube.errors import AgainError, ApiError, NotLeadingError, RefusedError
from llmworkflow.kube.events import Told, events_of, of_schedule, of_transitions, of_troubles
from llmworkflow.kube.execute import Executor
from llmworkflow.kube.observe import Observer
from llmworkflow.kube.resources import LLM_WORKFLOW
from llmworkflow.kube.settings import OperatorSettings
from llmworkflow.kube.standing import Standing, standings
from llmworkflow.kube.upkeep import Upkeep
from llmworkflow.kube.writes import QUIET_SECONDS, is_quiet
from llmworkflow.render.errors import RenderError
from llmworkflow.render.manifests import render

ABSENT_SECONDS = 10.0  # between looks at a workflow while KubeRay is not there
AGAIN_SECONDS = 0.2  # until the cluster is likely to be seen as it is
REFUSED_SECONDS = 10.0  # between requests for a child that is refused: a quota may be raised at any time
ACTED_SECONDS = 5.0  # after an action, whose event may have been seen already
_FOREVER = float("inf")
Manifests = Mapping[str, list[JsonObject]]
"""By the description of the action that they carry out; none for a deletion."""
_ENDED = (StageState.SUCCEEDED, StageState.FAILED, StageState.SERVING)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """What is remembered of a workflow between looks."""

    version: str  # that we wrote last
    stages: Sequence[Standing]
    quiet_at: float  # when a quiet change may be written


class Reconciler:
    """Looks at workflows. Called by the queue, never twice at a time for one workflow."""

    def __init__(
        self,
        api: Api,
        observer: Observer,
        executor: Executor,
        upkeep: Upkeep,
        settings: OperatorSettings,
    ) -> None:
        self._api = api
        self._observer = observer
        self._executor = executor
        self._upkeep = upkeep
        self._settings = settings
        self._known: dict[Key, Known] = {}
        self.kuberay_absent = False

    def stages(self) -> list[tuple[Key, Standing]]:
        """All stages, as they were last seen."""
        return [(key, stage) for key, known in self._known.items() for stage in known.stages]

    def wrote(self, key: Key, version: str) -> bool:
        """Whether a version of a workflow is the one that was written here, so that it is no news."""
        return key in self._known and self._known[key].version == version

    async def __call__(self, key: Key) -> float | None:
        """Look at a workflow; returns after how many seconds to look again, None when it is gone."""
        with metrics.RECONCILE_SECONDS.time():
            try:
                again = await self._look(key)
            except (AgainError, NotLeadingError) as error:
                metrics.RECONCILES.labels("again").inc()
                logger.debug("looks again: %s", error, extra=_where(key))
                return AGAIN_SECONDS
            except RefusedError as error:
                metrics.RECONCILES.labels("refused").inc()
                if error.is_news:
                    logger.warning("%s", error, extra=_where(key))
                return AGAIN_SECONDS if error.is_news else REFUSED_SECONDS
            except ApiError as error:
                if error.status != 409:
                    raise
                metrics.RECONCILES.labels("conflict").inc()
                return 0.0  # the workflow changed since it was read
            metrics.RECONCILES.labels("done").inc()
            return again

    async def _look(self, key: Key) -> float | None:
        live = await self._api.get(LLM_WORKFLOW, *key)
        if live is None:
            self._known.pop(key, None)
            for memory in (self._observer, self._executor, self._upkeep):
                memory.forget(key)
            return None
        if "deletionTimestamp" in live["metadata"]:
            return _FOREVER  # what it owns goes with it
        before = LLMWorkflowStatus.model_validate(live.get("status") or {})
        try:
            workflow = parse_workflow(live)
            check(workflow, local=False)
        except InvalidWorkflow as error:
            return await self._stall(live, before, Reason.INVALID_SPEC, "; ".join(map(str, error.problems)))
        if self.kuberay_absent:
            message = (
                "the cluster has no RayJob or no RayService of ray.io/v1; install KubeRay 1.6 or newer: "
                "this goes on by itself then"
            )
            await self._stall(live, before, Reason.KUBERAY_MISSING, message)
            return ABSENT_SECONDS
        return await self._advance(live, workflow, before)

    async def _advance(self, live: JsonObject, workflow: LLMWorkflow, before: LLMWorkflowStatus) -> float:
        key = (workflow.metadata.namespace, workflow.metadata.name)
        sight = await self._observer.observe(workflow, before)
        now = datetime.now(UTC)
        observed = replace(sight.observed, refused=self._executor.refused(key))
        planned, manifests = self._plan(workflow, before, observed, now)
        quiet_in = await self._write(key, live, before, planned)
        self._account(workflow, planned, before, now)
        told = [
            *of_transitions(planned.transitions),
            *of_troubles(before, planned.status),
            *of_schedule(before, planned.status),
        ]
        try:
            await self._act(key, planned, manifests)
        finally:  # what people are told is true by now, whatever became of the actions, and can wait for them
            await self._tell(live, told, now)
        self._upkeep.acted(key, planned.actions)
        if not planned.actions:
            render_child = partial(self._manifests, planned)
            await self._upkeep.care(workflow, planned, sight.observed, now, render_child)
        later = [sight.again, quiet_in, _FOREVER if planned.requeue_after is None else planned.requeue_after]
        return min(*later, ACTED_SECONDS) if planned.actions else min(later)

    async def _act(self, key: Key, planned: Plan, manifests: Manifests) -> None:
        """Deletions last: what they free is free only once pods have ended, so that nothing need wait for them.

        A child that is refused keeps nothing else from being done.
        """
        refusals = []
        for action in sorted(planned.actions, key=lambda action: isinstance(action, DeleteChild)):
            try:
                await self._executor.carry_out(key, action, manifests.get(action.description, []))
            except RefusedError as error:
                refusals.append(error)
            else:
                logger.info("%s", action.description, extra=_where(key))
        if refusals:
            raise max(refusals, key=lambda error: error.is_news)

    def _plan(
        self, workflow: LLMWorkflow, before: LLMWorkflowStatus, observed: Observed, now: datetime
    ) -> tuple[Plan, Manifests]:
        """What comes next, with the manifests for it. Stages that cannot be rendered are told apart, and wait."""
        refused: dict[str, str] = {}
        while True:
            planned = plan(workflow, before, replace(observed, unrenderable=refused), now)
            manifests, problems = self._render(workflow, planned)
            if not problems:
                return planned, manifests
            refused |= problems

    def _render(self, workflow: LLMWorkflow, planned: Plan) -> tuple[Manifests, dict[str, str]]:
        """The manifests of all actions, with the image that the workflow began with; and what is wrong, by stage."""
        manifests: dict[str, list[JsonObject]] = {}
        problems: dict[str, str] = {}
        for action in planned.actions:
            if not isinstance(action, DeleteChild):
                try:
                    manifests[action.description] = self._manifests(planned, workflow, action)
                except RenderError as error:
                    problems[action.work.stage] = str(error)
        return manifests, problems

    def _manifests(
        self, planned: Plan, workflow: LLMWorkflow, action: CreateChild | ApplyService
    ) -> list[JsonObject]:
        image = planned.status.resolved.image or self._settings.jobs.image
        settings = self._settings.jobs.model_copy(update={"image": image})
        return render(workflow, action, settings, job_code())

    async def _write(self, key: Key, live: JsonObject, before: LLMWorkflowStatus, planned: Plan) -> float:
        """Write the status if it changed; returns after how many seconds a quiet change is to be written."""
        if planned.status == before and "status" in live:
            self._remember(key, live, planned.status)
            return _FOREVER
        known = self._known.get(key)
        wait = known.quiet_at - time.monotonic() if known else 0.0
        if wait > 0 and not planned.actions and is_quiet(before, planned.status):
            return wait
        await self._put(key, live, planned.status)
        return _FOREVER

    async def _put(self, key: Key, live: JsonObject, status: LLMWorkflowStatus) -> None:
        metadata = live["metadata"]
        precondition = {name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": precondition, "spec": live["spec"]}
        dumped = status.model_dump(by_alias=True, mode="json", exclude_none=True)
        written = await self._api.replace_status(LLM_WORKFLOW, {**body, "status": dumped})
        metrics.STATUS_WRITES.inc()
        self._remember(key, written, status, time.monotonic() + QUIET_SECONDS)

    def _remember(
        self, key: Key, live: JsonObject, status: LLMWorkflowStatus, quiet_at: float | None = None
    ) -> None:
        known = self._known.get(key)
        if quiet_at is None:
            quiet_at = known.quiet_at if known else 0.0
        stages = standings(status.stages, known.stages if known else (), time.time())
        self._known[key] = Known(live["metadata"]["resourceVersion"], stages, quiet_at)

    async def _stall(
        self, live: JsonObject, before: LLMWorkflowStatus, reason: Reason, message: str
    ) -> float:
        """Say why nothing can be done; the stages stay as they are."""
        metadata = live["metadata"]
        key = (metadata["namespace"], metadata["name"])
        now = datetime.now(UTC)
        after = stalled(before, metadata["generation"], reason, message, now)
        if after != before:
            logger.warning("%s: %s", reason, message, extra=_where(key))
            await self._put(key, live, after)
            await self._tell(live, [Told(reason, message)], now)
        else:
            self._remember(key, live, after)
        return _FOREVER

    def _account(
        self, workflow: LLMWorkflow, planned: Plan, before: LLMWorkflowStatus, now: datetime
    ) -> None:
        """Log and count the transitions, which are written by now."""
        for step in planned.transitions:
            _log(workflow, planned.status, step)
            metrics.TRANSITIONS.labels(step.after, step.reason).inc()
        _time(before, planned.status, now)

    async def _tell(self, live: JsonObject, told: Iterable[Told], now: datetime) -> None:
        """Publish what is written by now."""
        for event in events_of(live["metadata"], told, now):
            try:
                await self._api.create(event)
            except ApiError as error:
                logger.warning("an event was not published: %s", error)


def _log(workflow: LLMWorkflow, status: LLMWorkflowStatus, step: Transition) -> None:
    stage = next((stage for stage in status.stages if stage.name == step.stage), None)
    where = _where((workflow.metadata.namespace, workflow.metadata.name))
    more = {"stage": step.stage, "attempt": stage.attempt if stage else None, "reason": step.reason}
    logger.info("%s -> %s %s", step.before, step.after, step.message, extra={**where, **more})


def _time(before: LLMWorkflowStatus, after: LLMWorkflowStatus, now: datetime) -> None:
    """Observe how long the stages took that came to an end."""
    ended = {stage.name for stage in before.stages if stage.state in _ENDED}
    for stage in after.stages:
        if stage.state in _ENDED and stage.name not in ended and stage.started_at and not stage.reused:
            seconds = (now - datetime.fromisoformat(stage.started_at)).total_seconds()
            metrics.STAGE_SECONDS.labels(stage.kind, stage.state.value).observe(seconds)


def _where(key: Key) -> dict[str, str]:
    return {"namespace": key[0], "workflow": key[1]}
