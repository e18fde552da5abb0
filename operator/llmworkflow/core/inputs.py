"""What was found behind the names of the spec: pinned when first seen, compared again where asked for."""

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import Resolved
from llmworkflow.core.observation import Observed
from llmworkflow.core.revision import texts


def resolve(workflow: LLMWorkflow, resolved: Resolved, observed: Observed) -> Resolved:
    """The resolved inputs with what this look adds."""
    found = _found(workflow, observed)
    return resolved.model_copy(
        update={
            "code_digest": resolved.code_digest or observed.code_digest or None,
            "image": resolved.image or observed.image or None,
            "inputs": _pinned(workflow, resolved, found),
            "changed": _changed(workflow, resolved, found),
        }
    )


def pinned(workflow: LLMWorkflow, resolved: Resolved, observed: Observed) -> dict[str, str]:
    """The digests that a job must find; where changes are looked for, only those that the shell sees itself."""
    known = resolved.inputs | resolved.changed
    if workflow.spec.inputs == "pinned":
        return known
    return {uri: digest for uri, digest in known.items() if uri in observed.input_digests}


def _found(workflow: LLMWorkflow, observed: Observed) -> dict[str, str]:
    """Digests by uri: what jobs reported, and over it what the shell itself can see."""
    found: dict[str, str] = {}
    for child in observed.children.values():
        if child.report and child.owner_uid == workflow.metadata.uid:
            found |= child.report.resolved
    return found | dict(observed.input_digests)


def _pinned(workflow: LLMWorkflow, resolved: Resolved, found: dict[str, str]) -> dict[str, str]:
    """What is known, first come first kept; inputs that the spec no longer names make room for new ones."""
    if found.keys() <= resolved.inputs.keys():
        return resolved.inputs
    named = set(texts(workflow.spec.dump()))
    return {uri: digest for uri, digest in (found | resolved.inputs).items() if uri in named}


def _changed(workflow: LLMWorkflow, resolved: Resolved, found: dict[str, str]) -> dict[str, str]:
    """Inputs that are no longer what they were; what was once seen to change stays so when looking ends."""
    if workflow.spec.inputs == "pinned":
        return resolved.changed
    known = resolved.inputs
    again = {uri: digest for uri, digest in found.items() if uri in known}
    return {uri: digest for uri, digest in (resolved.changed | again).items() if digest != known.get(uri)}
