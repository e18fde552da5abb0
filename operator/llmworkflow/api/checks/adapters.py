"""What a fine-tuning stage makes can be loaded by the engine of the batch or serving stage that uses it."""

from collections.abc import Iterator

from llmworkflow.api.graph import used_fine_tunes
from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.fine_tune import FineTune
from llmworkflow.api.spec.serve import ServedModel
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow

_NOT_SERVED = ("embed_tokens", "lm_head")  # layers whose adapters vLLM does not load
_LLAMA_FACTORY_RANK = 8  # where its YAML names none


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of adapters between the stages that make and the stages that load them."""
    stages = workflow.spec.stages
    positions = {stage.name: position for position, stage in enumerate(stages)}
    for position, stage in enumerate(stages):
        for reference in used_fine_tunes(stage):
            made_at = positions.get(reference.target, position)
            tune = stages[made_at].fine_tune
            if stage.fine_tune:
                yield from _no_whole_models(position, stage, reference.target, tune)
            elif tune and publishes_adapter(tune):
                yield from _not_loadable(("spec", "stages", made_at, "fineTune", "lora"), tune, stage)
            elif tune and "adapters" in reference.path:
                path = ("spec", "stages", position, *reference.path)
                yield Problem(
                    path,
                    "this stage makes a whole model, no adapter",
                    "use model instead",
                    value=reference.target,
                )
        for place, served in enumerate(stage.serve.models if stage.serve else []):
            model: Path = ("spec", "stages", position, "serve", "models", place)
            by_name = {other.name: other for other in stages}
            yield from _rank_too_high((*model, "lora", "maxRank"), served, by_name)
            yield from _other_base((*model, "source"), served)


def _no_whole_models(position: int, stage: Stage, name: str, tune: FineTune | None) -> Iterator[Problem]:
    """A chain of fine-tunings is one of whole models: adapters are loaded on spec.model.source."""
    path: Path = ("spec", "stages", position, "fineTune")
    if tune and publishes_adapter(tune):
        problem = "this stage makes an adapter, no whole model to start from"
        yield Problem((*path, "model", "stage"), problem, _make_whole(tune, name), value=name)
    if stage.fine_tune and publishes_adapter(stage.fine_tune):
        problem = f"it would make an adapter on the model of stage {name}, and adapters are loaded on spec.model.source"
        yield Problem((*path, "model"), problem, _make_whole(stage.fine_tune, stage.name))


def _make_whole(tune: FineTune, name: str) -> str:
    if tune.engine == "llamaFactory":
        return f"set finetuning_type: full in the config of stage {name}"
    return f"set export.merge in stage {name}"


def publishes_adapter(tune: FineTune) -> bool:
    """Whether the stage makes an adapter, not a whole model."""
    if tune.engine == "llamaFactory":
        return bool((tune.config or {}).get("finetuning_type", "lora") == "lora")
    return tune.method != "full" and not tune.export.merge


def adapter_rank(tune: FineTune) -> int:
    """The rank of the adapter that the stage makes."""
    if tune.engine != "llamaFactory":
        return tune.lora.rank
    rank = (tune.config or {}).get("lora_rank")
    return rank if isinstance(rank, int) else _LLAMA_FACTORY_RANK


def _not_loadable(path: Path, tune: FineTune, user: Stage) -> Iterator[Problem]:
    remedy = f"turn it off, set export.merge, or do not use the adapter in stage {user.name}"
    if tune.lora.use_dora:
        yield Problem((*path, "useDora"), "the engine cannot load a DoRA adapter", remedy, value=True)
    for place, module in enumerate(tune.lora.modules_to_save):
        where = (*path, "modulesToSave", place)
        yield Problem(where, "the engine cannot load an adapter with whole layers", remedy, value=module)
    targets = tune.lora.target_modules if isinstance(tune.lora.target_modules, list) else []
    for place, module in enumerate(targets):
        if module in _NOT_SERVED:
            where = (*path, "targetModules", place)
            yield Problem(
                where, "the engine cannot load an adapter of this layer", "leave it out", value=module
            )


def _other_base(path: Path, served: ServedModel) -> Iterator[Problem]:
    for name in _made_by(served):
        if served.source:
            message = f"stage {name} tunes spec.model.source, no other model"
            yield Problem(path, message, "remove source", value=served.source)


def _made_by(served: ServedModel) -> list[str]:
    """The stages that made what is served."""
    adapters = [adapter.stage for adapter in served.adapters or [] if adapter.stage]
    return [served.model.stage] if served.model else adapters


def _rank_too_high(path: Path, served: ServedModel, stages: dict[str, Stage]) -> Iterator[Problem]:
    for name in _made_by(served):
        tune = stages[name].fine_tune if name in stages else None
        if tune and publishes_adapter(tune) and (rank := adapter_rank(tune)) > served.lora.max_rank:
            yield Problem(
                path,
                f"the adapter of stage {name} has rank {rank}",
                f"raise maxRank to {rank}, or lower the rank",
                value=served.lora.max_rank,
            )
