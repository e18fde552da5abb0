"""What the planner is told: cached children, completed by live looks where the cache does not suffice."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import aiohttp

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, StageState, StageStatus
from llmworkflow.core.observation import ChildPhase, ChildSeen, Observed
from llmworkflow.core.report import JobReport
from llmworkflow.job_code import code_digest
from llmworkflow.kube import endpoint
from llmworkflow.kube.cache import Cache, Key
from llmworkflow.kube.children import ChildRecord, record_of
from llmworkflow.kube.client import Api
from llmworkflow.kube.evidence import Diagnoses
from llmworkflow.kube.reports import ASK_SECONDS, Reports
from llmworkflow.kube.resources import CHILDREN
from llmworkflow.kube.settings import OperatorSettings
from llmworkflow.render.stage_context import report_name

LIVE_SECONDS = 10.0  # between looks at a child that the watch does not see
SERVING_SECONDS = 10.0  # between questions to an endpoint that serves, or did, until it says that it is well
_RESYNC_PART = 0.8  # of the time between looks without a cause; no two of them are closer

_P = ChildPhase
_S = StageState
_COMING_UP = (_S.QUEUED, _S.STARTING, _S.RUNNING, _S.CHECKING, _S.UPGRADING)


@dataclass(frozen=True)
class Sight:
    """What was seen, and when it is to be looked at again although nothing happened."""

    observed: Observed
    again: float


class Observer:
    """Looks at the children of workflows."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        reports: Reports,
        settings: OperatorSettings,
        session: aiohttp.ClientSession,
    ) -> None:
        self._api = api
        self._cache = cache
        self._reports = reports
        self._settings = settings
        self._session = session
        self._verdicts = endpoint.Verdicts(session, settings.resync_seconds * _RESYNC_PART)
        self._diagnoses = Diagnoses(api)

    async def observe(self, workflow: LLMWorkflow, status: LLMWorkflowStatus) -> Sight:
        """The children of a workflow, and whatever has the name of one."""
        key = (workflow.metadata.namespace, workflow.metadata.name)
        records = {record.name: record for record in self._cache.of(key)}
        again = [float("inf")]
        for stage in _unseen(status, records):
            if record := await self._live(workflow, stage):
                records[record.name] = record
                again.append(LIVE_SECONDS)
        working = {stage.child.name: stage for stage in status.stages if stage.child}
        children = {}
        for name, record in records.items():
            children[name], pause = await self._seen(workflow, record, working.get(name))
            again.append(pause)
        observed = Observed(
            children=children,
            code_digest=code_digest(),
            image=self._settings.jobs.image,
            user_verified=self._settings.user_verified,
        )
        return Sight(observed, min(again))

    def forget(self, key: Key) -> None:
        """A workflow is gone."""
        self._reports.forget(key)
        self._verdicts.forget(key)
        self._diagnoses.forget_all(key)

    async def _live(self, workflow: LLMWorkflow, stage: StageStatus) -> ChildRecord | None:
        """The child of a stage that the cache does not have: nothing is concluded from what was not seen."""
        assert stage.child is not None, "the caller looked"
        found = await self._api.get(CHILDREN[stage.child.kind], workflow.metadata.namespace, stage.child.name)
        if found is None:
            return None
        record = record_of(found)
        if record.workflow:
            self._cache.put(record, time.monotonic())
            return record
        return _labelled(record, workflow, stage) if record.uid == stage.child.uid else record

    async def _seen(
        self, workflow: LLMWorkflow, record: ChildRecord, stage: StageStatus | None
    ) -> tuple[ChildSeen, float]:
        """One child with what its job, its endpoint or its pods say; and when to look again."""
        seen = record.seen()
        if stage is None or record.owner_uid != workflow.metadata.uid or record.terminating:
            return seen, float("inf")
        phase = record.look.phase
        comes_up = record.kind == "RayService" and phase is _P.RUNNING and stage.state in _COMING_UP
        if phase is _P.PENDING or comes_up:
            return await self._diagnosed(record, seen, stage)
        self._diagnoses.forget(record.uid)
        if record.kind == "RayService":
            return await self._service(record, seen, stage)
        if phase in (_P.RUNNING, _P.SUCCEEDED, _P.FAILED):
            found, again = await self._reports.of(record, report_name(workflow, record.stage))
            return replace(seen, report=found), again
        return seen, float("inf")

    async def _diagnosed(
        self, record: ChildRecord, seen: ChildSeen, stage: StageStatus
    ) -> tuple[ChildSeen, float]:
        """What pods are awaited for; a service deploys its applications while its workers are still pending.

        One that is upgraded serves while those of its next cluster are.
        """
        diagnosis, again = await self._diagnoses.of(record)
        if diagnosis is None:
            return seen, again
        phase = seen.phase if stage.state is _S.UPGRADING else _P.PENDING
        return replace(seen, phase=phase, reason=diagnosis.reason.value, message=diagnosis.message), again

    async def _service(
        self, record: ChildRecord, seen: ChildSeen, stage: StageStatus
    ) -> tuple[ChildSeen, float]:
        """A service is ready once it has been for a moment; then it is asked for its verdict."""
        if record.look.phase is not _P.READY:
            return seen, float("inf")
        if wait := self._cache.ready_in(record, time.monotonic()):
            return replace(seen, phase=_P.RUNNING), wait
        since = self._cache.ready_since(record)
        if stage.state is _S.SERVING and not self._verdicts.due(record, since):
            return seen, float("inf")
        found = await self._verdicts.ask(record, since)
        return replace(seen, report=found), _asks_again_in(stage.state, found)


def _asks_again_in(state: StageState, found: JobReport | None) -> float:
    """Seconds until an endpoint is worth another question; what serves and is well comes to rest."""
    if state not in (_S.SERVING, _S.DEGRADED):
        return ASK_SECONDS
    well = found is not None and found.verification is not None and found.verification.passed
    return float("inf") if state is _S.SERVING and well else SERVING_SECONDS


def _labelled(record: ChildRecord, workflow: LLMWorkflow, stage: StageStatus) -> ChildRecord:
    """The child of a stage as it was made: somebody took its labels away, and the watch sees it no more."""
    return replace(
        record,
        workflow=workflow.metadata.name,
        stage=stage.name,
        revision=stage.revision or "",
        attempt=stage.attempt,
    )


def _unseen(status: LLMWorkflowStatus, records: dict[str, ChildRecord]) -> Iterator[StageStatus]:
    """Stages that have a child which the cache does not know, or knows as another one."""
    for stage in status.stages:
        child = stage.child
        record = records.get(child.name) if child else None
        if child and (record is None or record.kind != child.kind or child.uid not in (None, record.uid)):
            yield stage
