"""Stages depend on and refer to earlier stages of the right kind."""

from collections.abc import Iterator

from llmworkflow.api.graph import INCUMBENTS, Reference, all_dependencies, references
from llmworkflow.api.problems import Path, Problem, did_you_mean
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of dependsOn and of every field that names a stage."""
    stages = workflow.spec.stages
    dependencies = all_dependencies(workflow.spec)
    # Of what these wait for, nothing is known: their dependsOn is wrong, or that of a stage before them.
    misplaced = set[str]()
    for position, stage in enumerate(stages):
        path: Path = ("spec", "stages", position)
        wrong_order = [
            problem
            for place, name in enumerate(stage.depends_on or [])
            for problem in _not_earlier((*path, "dependsOn", place), name, position, stages)
        ]
        yield from wrong_order
        if wrong_order or misplaced & dependencies[stage.name]:
            misplaced.add(stage.name)
        for reference in references(stage):
            place = (*path, *reference.path)
            unknown = list(_not_earlier(place, reference.target, position, stages, reference.kind))
            yield from unknown or _of_other_kind(place, reference, stages)
            known = not unknown and stage.name not in misplaced
            if known and reference.target not in dependencies[stage.name]:
                yield _unordered(place, reference.target, stage)


def _not_earlier(
    path: Path, name: str, position: int, stages: list[Stage], kind: str | None = None
) -> Iterator[Problem]:
    """Of the earlier stages those of the kind are proposed, and the words that stand for what answers now."""
    if any(stage.name == name for stage in stages[:position]):
        return
    earlier = [stage.name for stage in stages[:position] if kind in (None, stage.kind)]
    earlier += INCUMBENTS if path[-1] == "betterThan" else ()
    if name == stages[position].name:
        yield Problem(path, "a stage cannot refer to itself", "name an earlier stage", value=name)
    elif any(stage.name == name for stage in stages):
        yield Problem(path, "this stage comes later", "move it before this one", value=name)
    elif earlier:
        yield Problem(path, "there is no stage of this name", did_you_mean(name, earlier), value=name)
    else:
        yield Problem(path, "the first stage has no earlier one to refer to", "remove the field", value=name)


def _of_other_kind(path: Path, reference: Reference, stages: list[Stage]) -> Iterator[Problem]:
    target = next(stage for stage in stages if stage.name == reference.target)
    if target.kind != reference.kind:
        remedy = f"name a {reference.kind} stage"
        yield Problem(path, f"is a {target.kind} stage", remedy, value=reference.target)


def _unordered(path: Path, target: str, stage: Stage) -> Problem:
    return Problem(
        path,
        f"stage {stage.name} does not depend on it, and could start before it is done",
        f"add {target} to dependsOn",
        value=target,
    )
