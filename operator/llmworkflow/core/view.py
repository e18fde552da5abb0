"""What a policy may know: one stage of the spec, its status, and the workflow around it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow, Metadata
from llmworkflow.api.status import Promotion, Resolved, StageState, StageStatus, Verdict
from llmworkflow.core import names, revision
from llmworkflow.core.clock import stamp
from llmworkflow.core.observation import ChildKind, ChildSeen, Observed
from llmworkflow.core.report import JobReport


@dataclass(frozen=True)
class World:
    """What is the same for all stages during one plan, and where every stage stands."""

    workflow: LLMWorkflow
    resolved: Resolved
    observed: Observed
    now: datetime
    revisions: Mapping[str, str]  # that the spec asks for, by stage
    stages: Mapping[str, StageStatus]
    history: tuple[Promotion, ...] = ()

    @cached_property
    def specs(self) -> Mapping[str, Stage]:
        """The stages of the spec, by name."""
        return {stage.name: stage for stage in self.workflow.spec.stages}

    def view(self, name: str) -> "View":
        """One stage."""
        return View(self, self.specs[name], self.stages[name])

    def owns(self, child: ChildSeen) -> bool:
        """Whether a child belongs to this workflow, and not to another one or an older one of its name."""
        return child.owner_uid == self.workflow.metadata.uid

    def gone(self, status: StageStatus) -> bool:
        """Whether no child of the stage is left, not even one that is terminating."""
        name = status.child.name if status.child else None
        return not any(
            self.owns(child) and (child.stage == status.name or child.name == name)
            for child in self.observed.children.values()
        )


@dataclass(frozen=True)
class View:
    """One stage, as the policies see it."""

    world: World
    stage: Stage
    status: StageStatus

    def now_at(self, status: StageStatus) -> "View":
        """The same stage with another status."""
        return replace(self, status=status)

    @property
    def revision(self) -> str:
        """The revision that the spec asks for."""
        return self.world.revisions[self.stage.name]

    @property
    def metadata(self) -> Metadata:
        """What the workflow is called, and where it is."""
        return self.world.workflow.metadata

    @property
    def suspended(self) -> bool:
        """Whether nothing is to run."""
        return self.world.workflow.spec.suspend

    @property
    def time(self) -> str:
        """Now, as it stands in a status."""
        return stamp(self.world.now)

    @cached_property
    def settings(self) -> str:
        """Digest of the settings that the spec asks for."""
        return revision.settings(self.world.workflow, self.stage)

    @property
    def asked(self) -> str:
        """Digest of all that the spec asks of the stage: its revision, its settings, its limits."""
        return revision.digest([self.revision, self.settings])

    @property
    def child_kind(self) -> ChildKind:
        """Kind of the stage's child."""
        return "RayService" if self.stage.serve else "RayJob"

    def child_name(self, revision: str, attempt: int) -> str:
        """Name of the stage's child for an attempt."""
        metadata = self.metadata
        if self.stage.serve:
            return names.service_name(metadata.name, self.stage.name)
        return names.job_name(metadata.name, metadata.uid, self.stage.name, revision, attempt)

    @property
    def named(self) -> ChildSeen | None:
        """Whatever has the name of the stage's child, whoever owns it."""
        return self.world.observed.children.get(self.status.child.name) if self.status.child else None

    @property
    def seen(self) -> ChildSeen | None:
        """The stage's child, if it is there."""
        child, found = self.status.child, self.named
        if child is None or found is None or not self.world.owns(found):
            return None
        return found if child.uid in (None, found.uid) else None

    @property
    def gone(self) -> bool:
        """Whether no child of the stage is left, not even one that is terminating."""
        return self.world.gone(self.status)

    @property
    def told(self) -> bool:
        """Whether the child was told what the stage works on now."""
        seen, status = self.seen, self.status
        if seen is None:
            return False
        return seen.revision in ("", status.revision) and seen.attempt in (None, status.attempt)

    @property
    def report(self) -> JobReport | None:
        """What the job of this very attempt reported, once its child runs; before, it is an older one's."""
        seen, status = self.seen, self.status
        if seen is None or seen.report is None or seen.phase in ("Queued", "Pending"):
            return None
        fits = (seen.report.revision, seen.report.attempt) == (status.revision, status.attempt)
        return seen.report if fits else None

    @property
    def verdict(self) -> Verdict | None:
        """How the revision that the status speaks of came out, if it finished."""
        return verdict_of(self.status)


def verdict_of(status: StageStatus) -> Verdict | None:
    """The kept verdict of the revision that a status speaks of."""
    return next((result for result in status.results if result.revision == status.revision), None)


def keeps_child(status: StageStatus) -> bool:
    """Whether the stage, where it stands, needs its child."""
    if status.state is StageState.CHECKING:
        return verdict_of(status) is None
    if status.state is StageState.QUEUED:
        return status.child is not None
    return status.state in _KEEPING


_KEEPING = {
    StageState.STARTING,
    StageState.RUNNING,
    StageState.SERVING,
    StageState.UPGRADING,
    StageState.DEGRADED,
}
