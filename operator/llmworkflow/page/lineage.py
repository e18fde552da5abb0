"""Where each result comes from, what it took, and who agreed to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.status import ApprovalRecord, StageStatus
from llmworkflow.core.clock import elapsed, moment
from llmworkflow.core.view import verdict_of
from llmworkflow.page.sources import Sources
from llmworkflow.render.ray_settings import chosen_ray
from llmworkflow.render.sizing import uses_accelerator, worker_pods

DIGEST_SHOWN = 12  # characters of a digest, enough to tell two apart by eye


@dataclass(frozen=True)
class Cost:
    """What the latest attempt of a stage took."""

    stage: str
    seconds: float | None  # it ran; None where that is not known, as for a reused result
    accelerators: float
    attempts: int
    reused: bool

    @property
    def gpu_hours(self) -> float:
        """Accelerators times hours."""
        return (self.seconds or 0.0) / 3600 * self.accelerators


@dataclass(frozen=True)
class Origin:
    """What a stage's result was made from."""

    stage: str
    kind: str
    state: str
    revision: str
    attempt: int
    message: str
    facts: Sequence[tuple[str, Sequence[str]]]
    approval: ApprovalRecord | None


def costs(sources: Sources) -> Iterator[Cost]:
    """What each stage took."""
    for stage in sources.workflow.spec.stages:
        status = next((item for item in sources.status.stages if item.name == stage.name), None)
        if status and status.attempt:
            seconds = _ran(status, sources.now)
            accelerators = _accelerators(sources, stage)
            yield Cost(stage.name, seconds, accelerators, status.attempt, status.reused)


def origins(sources: Sources) -> Iterator[Origin]:
    """Each stage with what its manifest says."""
    for status in sources.status.stages:
        verdict = verdict_of(status)
        artifact = verdict.artifact if verdict else status.artifact
        manifest = sources.manifests.get(artifact.uri, {}) if artifact else {}
        facts = [
            *_facts(manifest),
            *([("artifact", [artifact.uri, short(artifact.digest)])] if artifact else []),
        ]
        yield Origin(
            status.name,
            status.kind,
            status.state,
            status.revision or "",
            status.attempt,
            status.message,
            facts,
            status.approval,
        )


def short(digest: str) -> str:
    """A digest as far as eyes need it."""
    kind, _, rest = digest.rpartition(":")
    return f"{kind}:{rest[:DIGEST_SHOWN]}" if kind else rest[:DIGEST_SHOWN]


def _facts(manifest: Mapping[str, object]) -> Iterator[tuple[str, Sequence[str]]]:
    base, model, data = manifest.get("base"), manifest.get("model"), manifest.get("data")
    if isinstance(base, Mapping):
        yield "base model", [str(base["source"]), short(str(base["digest"]))]
    if isinstance(model, Mapping):
        yield "tuned by", [str(model["uri"]), short(str(model["digest"]))]
    if isinstance(data, Mapping):
        for uri, digest in data.items():
            yield "data", [str(uri), short(str(digest))]
    for key, label in (("sampling", "sampling"), ("versions", "versions")):
        found = manifest.get(key)
        if isinstance(found, Mapping):
            yield label, [", ".join(f"{name} {value}" for name, value in found.items())]
    for key in ("seed", "dtype", "createdAt"):
        if manifest.get(key) is not None:
            yield {"createdAt": "made"}.get(key, key), [str(manifest[key])]


def _ran(status: StageStatus, now: datetime) -> float | None:
    if status.running_at is None or status.reused:
        return None
    verdict = verdict_of(status)  # it has no more to do with the time that a person takes to decide
    finished = verdict.finished_at if verdict else status.finished_at
    end = moment(finished) if finished else now
    return status.ran_seconds + elapsed(status.running_at, end)


def _accelerators(sources: Sources, stage: Stage) -> float:
    accelerator = chosen_ray(sources.workflow, stage).accelerator
    if accelerator is None or not sources.accelerated or not uses_accelerator(stage):
        return 0.0
    return float(worker_pods(stage, accelerator).max * accelerator.count)
