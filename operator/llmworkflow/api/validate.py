"""Everything that must be right about a workflow beyond the form of its parts."""

from llmworkflow.api.checks import (
    adapters,
    addresses,
    dependencies,
    evaluation,
    gated,
    gates,
    inference,
    names,
    parallelism,
    schedule,
    sglang,
    templates,
    training,
    unread,
    unsupported,
)
from llmworkflow.api.problems import InvalidWorkflow, Problem
from llmworkflow.api.spec.workflow import LLMWorkflow

_CHECKS = (
    names.check,
    dependencies.check,
    training.check,
    inference.check,
    evaluation.check,
    gates.check,
    gated.check,
    adapters.check,
    parallelism.check,
    schedule.check,
    sglang.check,
    templates.check,
    unread.check,
    unsupported.check,
)


def validate(workflow: LLMWorkflow, local: bool) -> list[Problem]:
    """Everything wrong with a workflow whose form is right; `local` allows paths of this machine."""
    problems = [problem for check in _CHECKS for problem in check(workflow)]
    # two stages may stumble over the same thing
    return list(dict.fromkeys([*problems, *addresses.check(workflow, local)]))


def check(workflow: LLMWorkflow, local: bool) -> None:
    """Refuse a workflow that is not right.

    Raises:
        InvalidWorkflow: every problem that `validate` finds.
    """
    problems = validate(workflow, local)
    if problems:
        raise InvalidWorkflow(problems)
