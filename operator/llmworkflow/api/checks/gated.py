"""What is served has held every gate that judges it: an endpoint that could come before one would go around it."""

from collections.abc import Iterator

from llmworkflow.api.graph import all_dependencies, used_fine_tunes
from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every served model that a batch judges for which its endpoint does not wait."""
    stages = workflow.spec.stages
    dependencies = all_dependencies(workflow.spec)
    judges = [stage for stage in stages if stage.batch and (stage.gates or stage.approval.required)]
    for position, stage in enumerate(stages):
        needed = dependencies[stage.name]
        for reference in used_fine_tunes(stage) if stage.serve else ():
            for judge in judges if reference.target in needed else ():
                waits = judge.name in needed or stage.name in dependencies[judge.name]
                if reference.target in _judged(judge) and not waits:
                    place: Path = ("spec", "stages", position, *reference.path)
                    yield _gone_around(place, reference.target, judge, stage, stages)


def _judged(judge: Stage) -> set[str]:
    return {reference.target for reference in used_fine_tunes(judge)}


def _gone_around(path: Path, made_by: str, judge: Stage, endpoint: Stage, stages: list[Stage]) -> Problem:
    earlier = stages.index(judge) < stages.index(endpoint)
    place = "" if earlier else f", and move {judge.name} before {endpoint.name}"
    return Problem(
        path,
        f"stage {judge.name} judges it, and stage {endpoint.name} would serve it without waiting for that",
        f"add {judge.name} to dependsOn{place}",
        value=made_by,
    )
