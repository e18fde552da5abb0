"""What a valid workflow says without effect, and which field has it: told, as files of others are taken as they are."""

from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.workflow import LLMWorkflow


def notes(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Arguments of LLaMA-Factory's YAML in whose place fields of the workflow count."""
    for position, stage in enumerate(workflow.spec.stages):
        config = (stage.fine_tune and stage.fine_tune.config) or {}
        path: Path = ("spec", "stages", position, "fineTune", "config")
        workers = config.get("ray_num_workers")
        if isinstance(workers, int) and workers > 1:
            told, remedy = (
                "it trains in one worker here",
                "ray.accelerator.count gives that more accelerators",
            )
            yield Problem((*path, "ray_num_workers"), told, remedy, value=workers)
        if config.get("resources_per_worker"):
            told, remedy = "the stage says what its worker has", "set ray.accelerator and fineTune.workers"
            yield Problem((*path, "resources_per_worker"), told, remedy)
        if config.get("trust_remote_code") is True and not workflow.spec.model.trust_remote_code:
            told, remedy = (
                "spec.model.trustRemoteCode is false, and counts",
                "set that, if the model needs it",
            )
            yield Problem((*path, "trust_remote_code"), told, remedy, value=True)
