"""What a workflow reads on this machine and is not there, and whether anything may yet make it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llmworkflow.api import problems
from llmworkflow.api.checks.addresses import addresses, is_path
from llmworkflow.api.problems import Problem, format_path
from llmworkflow.api.spec.addresses import ENDPOINT_SCHEMES, MODEL_SCHEMES, OUTPUT_SCHEMES
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.core.revision import revisions


@dataclass(frozen=True)
class Absent:
    """One address that leads nowhere now."""

    path: problems.Path
    address: str
    hint: str

    def __str__(self) -> str:
        told = f"{format_path(self.path)} = {self.address} is not there"
        return f"{told}; {self.hint}" if self.hint else told


def absent(workflow: LLMWorkflow, folder: Path) -> Iterator[Absent]:
    """What is to be read on this machine, from a folder on, and is not there."""
    for path, address, schemes in addresses(workflow):
        read = schemes not in (ENDPOINT_SCHEMES, OUTPUT_SCHEMES)
        if read and is_path(address) and not (folder / address).exists():
            hint = hub_hint(address, folder) if schemes == MODEL_SCHEMES else ""
            yield Absent(path, address, hint)


def hub_hint(address: str, folder: Path) -> str:
    """What was meant by an address that is written as the hub's models are: owner/name."""
    path = Path(address)
    written = path.relative_to(folder.resolve()) if path.is_relative_to(folder.resolve()) else path
    return f"a model of the hub is hf://{written}" if len(written.parts) == 2 else ""


def lacking(
    workflow: LLMWorkflow, status: LLMWorkflowStatus, folder: Path, volumes: Path
) -> Iterator[Problem]:
    """What is not there, is needed by a stage that is not done, and is made by no stage of the workflow."""
    wanted = revisions(workflow, status.resolved)
    done = {
        stage.name
        for stage in status.stages
        if any(result.revision == wanted.get(stage.name) for result in stage.results)
    }
    made = [*_outputs(workflow, folder), volumes]
    for item in absent(workflow, folder):
        place = (folder / item.address).resolve()
        needed = any(stage.name not in done for stage in _readers(workflow, item.path))
        if needed and not any(place.is_relative_to(other) or other.is_relative_to(place) for other in made):
            remedy = item.hint or "put it there, or correct the address"
            yield Problem(item.path, f"{item.address} is not there, and no stage makes it", remedy)


def _outputs(workflow: LLMWorkflow, folder: Path) -> Iterator[Path]:
    """Where stages write on this machine, beside their volume."""
    for _, address, schemes in addresses(workflow):
        plain = address.removeprefix("file://")
        if schemes == OUTPUT_SCHEMES and is_path(plain):
            yield (folder / plain).resolve()


def _readers(workflow: LLMWorkflow, path: problems.Path) -> list[Stage]:
    """The stages that read what a field names."""
    match path:
        case ("spec", "stages", int(position), *_):
            return [workflow.spec.stages[position]]
        case _:
            return [stage for stage in workflow.spec.stages if _reads_base(stage)]


def _reads_base(stage: Stage) -> bool:
    """Whether a stage reads model.source; LLaMA-Factory's own YAML may name another model."""
    if stage.fine_tune:
        return stage.fine_tune.engine == "trl"
    if stage.batch:
        return not (stage.batch.http or stage.batch.through)
    if stage.serve:
        return any(model.source is None for model in stage.serve.models)
    return True
