"""With whom a gate compares: what serves, the base model, or a stage."""

from llmworkflow.api.status import Promotion, Verdict
from llmworkflow.core.actions import Incumbent, Input
from llmworkflow.core.graph import COMPARED_WITH, dependents
from llmworkflow.core.promotions import wanted
from llmworkflow.core.view import View, verdict_of

BASE = "base"
SERVING = "serving"


def incumbents(view: View) -> dict[str, Incumbent]:
    """Whose rows the stage's job compares its own with, by the name under which it reports that.

    Gates that compare with the same one share the comparison, which is as sure as the strictest of them asks.
    """
    found: dict[str, Incumbent] = {}
    for gate in view.stage.gates:
        if gate.better_than and (known := incumbent(view, gate.better_than)):
            name, evaluation = known
            surest = max(gate.confidence, found[name].confidence if name in found else 0)
            found[name] = Incumbent(**vars(evaluation), confidence=surest)
    return found


def incumbent(view: View, target: str) -> tuple[str, Input] | None:
    """The name of the comparison and the evaluation to compare with; None where what serves never had one.

    What serves is compared through its rows in this same stage. Where nothing serves yet, the base model takes
    its place, whose rows the job makes itself.
    """
    if target not in COMPARED_WITH:
        verdict = verdict_of(view.world.stages[target])
        return (target, input_of(target, verdict)) if verdict else None
    promotion = _served_after(view) if target == SERVING else None
    if promotion is None:
        return BASE, Input(view.stage.name, view.stage.kind, revision=BASE, attempt=0, artifact=None)
    verdict = promotion.inputs.get(view.stage.name)
    return (SERVING, input_of(view.stage.name, verdict)) if verdict else None


def serves_this(view: View) -> bool:
    """Whether what serves was judged by the very result that is judged here."""
    promotion, status = _promotion_after(view), view.status
    judged = promotion.inputs.get(status.name) if promotion else None
    return judged is not None and (judged.revision, judged.attempt) == (status.revision, status.attempt)


def input_of(stage: str, verdict: Verdict) -> Input:
    """A finished stage, as its readers are told of it."""
    return Input(stage, verdict.kind, verdict.revision, verdict.attempt, verdict.artifact)


def _served_after(view: View) -> Promotion | None:
    """What serves after this stage, unless it is the very candidate that this stage judges."""
    promotion = _promotion_after(view)
    if promotion is None or wanted(view.world.view(promotion.stage)).digest == promotion.digest:
        return None
    return promotion


def _promotion_after(view: View) -> Promotion | None:
    """What serves after this stage; one that is to be no endpoint any more serves as long as its child is there."""
    world = view.world
    names = [name for name in dependents(world.workflow.spec, view.stage.name) if world.specs[name].serve]
    promotions = (world.stages[name].serving for name in names if name in world.stages)
    return next((promotion for promotion in promotions if promotion), None)
