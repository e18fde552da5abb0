"""Rules between stages, for the API server. `api.checks` says the same, and more, with places and remedies.

The API server bounds what a rule may cost before it runs one, from the longest lists and texts that the schema
allows, so each rule looks at every pair of stages at most, and computes the list of names once.
"""

from llmworkflow.api.fields import CelRule


def _for_each_stage(condition: str) -> str:
    """CEL: the condition holds for each stage `s`; `names` are those of all stages, in order."""
    return f"[self.stages.map(t, t.name)].all(names, self.stages.all(s, {condition}))"


def _is_earlier(name: str, kind: str) -> str:
    """CEL: a stage of this name and kind stands before the stage `s`."""
    return (
        f"names.indexOf({name}) < names.indexOf(s.name)"
        f" && self.stages.exists(t, t.name == {name} && has(t.{kind}))"
    )


def _refers(field: str, kind: str) -> CelRule:
    """A rule that an optional object of a stage, where it is set, names an earlier stage of a kind."""
    section = field.split(".", maxsplit=1)[0]
    return CelRule(
        cel=_for_each_stage(
            f"!has(s.{section}) || !has(s.{field}) || ({_is_earlier(f's.{field}.stage', kind)})"
        ),
        message=f"{field}.stage names an earlier {kind} stage",
    )


DEPENDS_ON = CelRule(
    cel=_for_each_stage(
        "!has(s.dependsOn) || s.dependsOn.all(d, d in names && names.indexOf(d) < names.indexOf(s.name))"
    ),
    message="dependsOn names earlier stages",
)

BATCH_INPUT = CelRule(
    cel=_for_each_stage(
        f"!has(s.batch) || !has(s.batch.input.stage) || ({_is_earlier('s.batch.input.stage', 'batch')})"
    ),
    message="batch.input.stage names an earlier batch stage",
)

SERVED_MODELS = CelRule(
    cel=_for_each_stage(
        "!has(s.serve) || s.serve.models.all(m, !has(m.model) || "
        f"({_is_earlier('m.model.stage', 'fineTune')}))"
    ),
    message="serve.models[].model.stage names an earlier fineTune stage",
)

ADAPTERS = CelRule(
    cel=_for_each_stage(
        "!has(s.batch) || !has(s.batch.adapters) || s.batch.adapters.all(a, !has(a.stage) || "
        f"({_is_earlier('a.stage', 'fineTune')}))"
    ),
    message="batch.adapters[].stage names an earlier fineTune stage",
)

COMPARISONS = CelRule(
    cel=_for_each_stage(
        "!has(s.gates) || s.gates.all(g, !has(g.betterThan) || g.betterThan in ['serving', 'base'] || "
        f"({_is_earlier('g.betterThan', 'batch')}))"
    ),
    message="gates[].betterThan is serving, base or an earlier batch stage",
)

ELASTIC_WORKERS = CelRule(
    cel=(
        "self.stages.all(s, !has(s.fineTune) || !has(s.fineTune.workers.min)"
        " || !(has(self.ray.queue) || (has(s.ray) && has(s.ray.queue))))"
    ),
    message="a queue admits a fixed number of workers: set workers.count instead of min and max",
)

STAGE_RULES = (
    DEPENDS_ON,
    BATCH_INPUT,
    _refers("fineTune.model", "fineTune"),
    _refers("batch.model", "fineTune"),
    _refers("batch.through", "serve"),
    SERVED_MODELS,
    ADAPTERS,
    COMPARISONS,
    ELASTIC_WORKERS,
)
