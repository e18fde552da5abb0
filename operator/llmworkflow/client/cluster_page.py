"""The page of a workflow on a cluster: its figures, and the rows behind them where its storage is a bucket."""

from datetime import datetime

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.page.sources import Sources


def page_html(workflow: LLMWorkflow, status: LLMWorkflowStatus, now: datetime) -> str:
    """The page as it stands now. A bucket is read with the user's own credentials.

    Raises:
        LocalError: the bucket cannot be reached.
    """
    from llmworkflow.local.page import html_of, read

    storage = workflow.spec.storage
    if storage.volume is None:
        return html_of(read(workflow, status, now, True, str(storage.uri)))
    claim = f"{workflow.metadata.namespace}/{storage.volume.claim_name}"
    absent = (f"rows, curves and manifests: they lie on the volume claim {claim}, in the cluster alone",)
    return html_of(Sources(workflow, status, now, accelerated=True, absent=absent))
