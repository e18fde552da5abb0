"""Fields that another choice leaves without effect: refused, as whoever sets them expects one."""

from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.fine_tune import FineTune, Lora, Preference, Training
from llmworkflow.api.spec.workflow import LLMWorkflow

_WITHOUT_REVISIONS = ("s3://", "gs://", "https://", "volume:", "file://")
_OWN_OPTIONS = "engine llamaFactory has its options in config"
_WITH_DATA = {"max_samples", "seed"}  # by which rows are chosen, whoever trains on them


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of fields that are set and that nothing would read. What is at its default may not have been set."""
    model = workflow.spec.model
    if model.revision is not None and model.source.startswith(_WITHOUT_REVISIONS):
        remedy = "remove it: what lies at an address is told by its digest"
        yield Problem(
            ("spec", "model", "revision"),
            "only models of the hub have revisions",
            remedy,
            value=model.revision,
        )
    for position, stage in enumerate(workflow.spec.stages):
        path: Path = ("spec", "stages", position)
        if stage.ray and stage.ray.gcs_fault_tolerance and not stage.serve:
            yield Problem(
                (*path, "ray", "gcsFaultTolerance"),
                "a job that loses its head begins another attempt, from its checkpoint",
                "set it on a stage that serves, or in spec.ray",
            )
        if stage.fine_tune:
            tune = stage.fine_tune
            yield from (_of_llama_factory if tune.engine == "llamaFactory" else _of_trl)(
                (*path, "fineTune"), tune
            )


def _of_trl(path: Path, tune: FineTune) -> Iterator[Problem]:
    if tune.method == "full" and tune.lora != Lora():
        yield Problem((*path, "lora"), "method full has no adapter", "remove lora, or use method lora")
    if tune.objective not in ("dpo", "kto") and tune.preference != Preference():
        yield Problem(
            (*path, "preference"),
            f"objective {tune.objective} compares no responses",
            "remove preference, or use objective dpo or kto",
        )


def _of_llama_factory(path: Path, tune: FineTune) -> Iterator[Problem]:
    """Its options are those of its own YAML."""
    defaults = Training()
    training = [
        field.alias or name
        for name, field in Training.model_fields.items()
        if getattr(tune.training, name) != getattr(defaults, name) and not (tune.data and name in _WITH_DATA)
    ]
    given = {
        "lora": tune.lora != Lora(),
        "preference": tune.preference != Preference(),
        "export.merge": tune.export.merge,
        **{f"training.{name}": True for name in training},
    }
    for field in (name for name, is_set in given.items() if is_set):
        yield Problem((*path, *field.split(".")), _OWN_OPTIONS, "remove it, and set it there")
    yield from _trained_by_llama_factory(path, tune)


def _trained_by_llama_factory(path: Path, tune: FineTune) -> Iterator[Problem]:
    """What it trains is said in its YAML as well, by other words; and it is one process."""
    for field, value, default, own in (
        ("method", tune.method, "lora", "finetuning_type"),
        ("objective", tune.objective, "sft", "stage"),
    ):
        if value != default:
            yield Problem((*path, field), _OWN_OPTIONS, f"remove it, and set config.{own}", value=value)
    workers = tune.workers
    if workers.min is not None or workers.count > 1:
        yield Problem(
            (*path, "workers", "count" if workers.min is None else "min"),
            "engine llamaFactory trains in one worker",
            "remove it, and give the worker more accelerators (ray.accelerator.count)",
            value=workers.min or workers.count,
        )
