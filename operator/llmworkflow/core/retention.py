"""Which artifacts may be removed: none that serves, served last, runs, or is an input of what is kept."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, Promotion
from llmworkflow.core.revision import revisions

Key = tuple[str, str, int]
"""Stage, revision and attempt."""


@dataclass(frozen=True)
class Stored:
    """An attempt on the storage."""

    key: Key
    finished_at: str | None = None  # none: it left no artifact, at most checkpoints
    inputs: frozenset[Key] = frozenset()  # whose artifacts it was made from


def removable(workflow: LLMWorkflow, status: LLMWorkflowStatus, stored: Sequence[Stored]) -> list[Stored]:
    """The attempts that nothing needs any more, in the order in which they are given.

    Of each stage the newest `retention.keepRevisions` finished revisions stay, by what the storage itself says: a
    status that was lost costs no artifact.
    """
    kept = {*_newest(stored, workflow.spec.storage.retention.keep_revisions), *_served(status)}
    under_way = _under_way(workflow, status)
    kept |= {item.key for item in stored if item.key[:2] in under_way}
    inputs = {item.key: item.inputs for item in stored}
    pending = list(kept)
    while pending:
        read = inputs.get(pending.pop(), frozenset()) - kept
        pending += read
        kept |= read
    return [item for item in stored if item.key not in kept]


def _newest(stored: Iterable[Stored], count: int) -> Iterator[Key]:
    """The attempts that finished the newest revisions of each stage: the last one of each revision."""
    finished: dict[str, dict[str, Stored]] = defaultdict(dict)
    for item in sorted((item for item in stored if item.finished_at), key=lambda item: item.key[2]):
        stage, revision, _ = item.key
        finished[stage][revision] = item
    for of_stage in finished.values():
        newest = sorted(of_stage.values(), key=lambda item: str(item.finished_at), reverse=True)
        yield from (item.key for item in newest[:count])


def _served(status: LLMWorkflowStatus) -> Iterator[Key]:
    """What promotions are made of: those that serve, are on their way, or served last; and what stages stand on."""
    last: dict[str, Promotion] = {}
    for promotion in status.history:
        last.setdefault(promotion.stage, promotion)
    current = [found for stage in status.stages for found in (stage.serving, stage.candidate)]
    for promotion in [*last.values(), *(found for found in [status.serving, *current] if found)]:
        for stage, verdict in promotion.inputs.items():
            yield stage, verdict.revision, verdict.attempt
    for stage_status in status.stages:
        for verdict in stage_status.results:
            if verdict.revision == stage_status.revision:
                yield stage_status.name, verdict.revision, verdict.attempt


def _under_way(workflow: LLMWorkflow, status: LLMWorkflowStatus) -> set[tuple[str, str]]:
    """Revisions that are wanted and not done: their checkpoints are what the next attempt resumes from."""
    done = {(stage.name, verdict.revision) for stage in status.stages for verdict in stage.results}
    wanted = {*revisions(workflow, status.resolved).items()}
    wanted |= {(stage.name, stage.revision) for stage in status.stages if stage.revision}
    return wanted - done
