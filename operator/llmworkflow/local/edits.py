"""What an API server does with edits of a resource: files, annotations and suspension do not undo each other."""

from collections.abc import Mapping

from llmworkflow.api.names import ANNOTATION_SUSPENDED_BY
from llmworkflow.api.spec.workflow import LLMWorkflow


def merged(before: LLMWorkflow, file: LLMWorkflow) -> LLMWorkflow:
    """A file on top of what is there: annotations stay, and so does a suspension that the file does not speak of."""
    kept = annotated(file, {**before.metadata.annotations, **file.metadata.annotations})
    user = before.metadata.annotations.get(ANNOTATION_SUSPENDED_BY)
    if user is None:
        return kept
    return (
        resumed(kept, file.spec.suspend) if "suspend" in file.spec.model_fields_set else suspended(kept, user)
    )


def annotated(workflow: LLMWorkflow, annotations: Mapping[str, str]) -> LLMWorkflow:
    """The workflow with more annotations, or others in their place."""
    return _with_annotations(workflow, {**workflow.metadata.annotations, **annotations})


def suspended(workflow: LLMWorkflow, user: str) -> LLMWorkflow:
    """The workflow with spec.suspend set by a user."""
    return annotated(_with_suspend(workflow, True), {ANNOTATION_SUSPENDED_BY: user})


def resumed(workflow: LLMWorkflow, suspend: bool = False) -> LLMWorkflow:
    """The workflow with spec.suspend as given, which no user's `suspend` overrides any more."""
    others = {
        key: text for key, text in workflow.metadata.annotations.items() if key != ANNOTATION_SUSPENDED_BY
    }
    return _with_annotations(_with_suspend(workflow, suspend), others)


def _with_suspend(workflow: LLMWorkflow, suspend: bool) -> LLMWorkflow:
    return workflow.model_copy(update={"spec": workflow.spec.model_copy(update={"suspend": suspend})})


def _with_annotations(workflow: LLMWorkflow, annotations: Mapping[str, str]) -> LLMWorkflow:
    metadata = workflow.metadata.model_copy(update={"annotations": dict(annotations)})
    return workflow.model_copy(update={"metadata": metadata})
