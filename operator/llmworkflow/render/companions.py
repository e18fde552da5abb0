"""What the children of a workflow need beside them: code, places for reports, a closed network."""

from collections.abc import Iterator

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import ANNOTATION_SPEC_HASH
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.revision import digest
from llmworkflow.render.ray_settings import chosen_ray
from llmworkflow.render.settings import CODE_FILE, JobCode, Settings
from llmworkflow.render.stage_context import (
    CLOSED,
    StageContext,
    account_name,
    companion_name,
    endpoint_purpose,
    metadata,
    report_name,
    workflow_labels,
)
from llmworkflow.render.templating import render_template


def job_code_name(workflow: LLMWorkflow, code: JobCode) -> str:
    """Name of the ConfigMap with the job code: another content has another name."""
    return f"{workflow.metadata.name}-jobs-{digest([workflow.metadata.uid, code.digest])}"


def of_workflow(workflow: LLMWorkflow, settings: Settings, code: JobCode) -> Iterator[JsonObject]:
    """What all stages share: the job code, leave for the heads to write reports, and the closed network.

    The role comes first and who has it last: an API server knows a new role a moment later only.
    """
    name, accounts = account_name(workflow), _reporting_accounts(workflow)
    if accounts:
        reports = [report_name(workflow, stage.name) for stage in workflow.spec.stages if not stage.serve]
        yield _shared(workflow, "role", name, reports=reports)
    yield _job_code(workflow, code)
    if settings.network_policy:
        closed, labels = companion_name(workflow, CLOSED), workflow_labels(workflow)
        yield _shared(workflow, "network-policy", closed, labels=labels, operators=settings.operators)
    if name in accounts:
        yield _shared(workflow, "service-account", name)
    if accounts:
        namespace = workflow.metadata.namespace
        yield _shared(workflow, "role-binding", name, role=name, accounts=accounts, namespace=namespace)


def of_stage(context: StageContext) -> Iterator[JsonObject]:
    """What one stage needs: a place for its reports, or an open port for its clients."""
    if context.stage.serve is None:
        yield _own(context, "report", report_name(context.workflow, context.stage.name))
    elif context.settings.network_policy:
        name = companion_name(context.workflow, endpoint_purpose(context.stage.name))
        clients = context.settings.serve_from
        yield _own(context, "endpoint-policy", name, labels=context.selector, clients=clients)


def _job_code(workflow: LLMWorkflow, code: JobCode) -> JsonObject:
    """Long, and the same for all but its name: its digest is made of the code's, which is known."""
    named = metadata(workflow, job_code_name(workflow, code), workflow_labels(workflow))
    annotations = {ANNOTATION_SPEC_HASH: digest([named, code.digest])}
    described = named | {"annotations": annotations}
    return render_template("job-code", metadata=described, file=CODE_FILE, archive=code.archive)


def _reporting_accounts(workflow: LLMWorkflow) -> list[str]:
    """Service accounts of the heads that write reports: the workflow's own, or those that the user named."""
    named = [
        chosen_ray(workflow, stage).service_account_name or account_name(workflow)
        for stage in workflow.spec.stages
        if not stage.serve
    ]
    return list(dict.fromkeys(named))


def _shared(workflow: LLMWorkflow, template: str, name: str, **values: object) -> JsonObject:
    return render_template(template, metadata=metadata(workflow, name, workflow_labels(workflow)), **values)


def _own(context: StageContext, template: str, name: str, **values: object) -> JsonObject:
    return render_template(template, metadata=metadata(context.workflow, name, context.selector), **values)
