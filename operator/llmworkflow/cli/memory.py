"""What `plan` says of the accelerators' memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.client.model_config import HUB, ConfigUnreadError, from_hub
from llmworkflow.core.memory import GIB, Shape, ShapeUnknownError, shape_of
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, default_root
from llmworkflow.local.model_config import read_config
from llmworkflow.render.fit import Fit, fits_of, sources_of
from llmworkflow.render.settings import Settings


@dataclass(frozen=True)
class Memory:
    """What fits, and what could not be told."""

    fits: Sequence[Fit]
    unknown: Sequence[str]

    def of(self, stage: str) -> str:
        """The memory of a stage's accelerators that is taken: of the process that takes most of it."""
        found = [fit for fit in self.fits if fit.stage == stage]
        if not found:
            return "-"
        worst = max(found, key=lambda fit: fit.estimate.total / fit.room)
        return f"{worst.estimate.total / GIB:.1f} of {worst.room / GIB:.1f} GiB"

    def notes(self) -> Iterator[str]:
        """What does not fit, with what would; and why there is no estimate."""
        for fit in self.fits:
            if not fit.fits:
                yield _warning(fit)
        for reason in self.unknown:
            yield f"memory is not estimated for {reason}"


def examine(workflow: LLMWorkflow, local: bool) -> Memory:
    """Look at the models' configurations, and at what they take of the accelerators."""
    settings, shapes, unknown = Settings(), dict[str, Shape](), list[str]()
    for source in sources_of(workflow, settings):
        try:
            shapes[source] = shape_of(_config(workflow, source, local))
        except (ConfigUnreadError, LocalError, ShapeUnknownError) as error:
            unknown.append(f"{source}: {error}")
    return Memory(list(fits_of(workflow, shapes, settings)), unknown)


def _config(workflow: LLMWorkflow, source: str, local: bool) -> JsonObject:
    if source.startswith(HUB):
        own = source == workflow.spec.model.source
        return from_hub(source, workflow.spec.model.revision if own else None)
    if not local:
        raise ConfigUnreadError("its config.json lies where the cluster alone is sure to reach it")
    home = WorkflowHome(default_root(), workflow.metadata.namespace, workflow.metadata.name)
    return read_config(home, workflow, source)


def _warning(fit: Fit) -> str:
    parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in fit.estimate.parts.items())
    who = f"stage {fit.stage}" + (f" ({fit.model})" if fit.model else "")
    remedy = f"; set {' or '.join(fit.remedies)}" if fit.remedies else ""
    return (
        f"warning: {who} needs about {fit.estimate.total / GIB:.1f} GiB of an {fit.type}, which has "
        f"{fit.room / GIB:.1f} for it ({parts}){remedy}"
    )
