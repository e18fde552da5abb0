"""Templates of the pods of a Ray cluster."""

from typing import Any

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import ANNOTATION_CONFIG
from llmworkflow.api.spec.common import Accelerator, Resources
from llmworkflow.render.environment import environment, environment_from
from llmworkflow.render.merge import merged
from llmworkflow.render.sizing import accelerators_per_pod
from llmworkflow.render.stage_context import StageContext, account_name, report_name
from llmworkflow.render.templating import render_template
from llmworkflow.render.volumes import volumes

# What Pod Security `restricted` asks of a container.
CONTAINER_SECURITY: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

_HEAD_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080}
_WORKER_PORTS = {"metrics": 8080}
_SERVE_PORT = {"serve": 8000}

# A file where the ingress leaves its verdict: workers have no token to write a ConfigMap with.
_SERVING_REPORT = "file:///tmp/llmworkflow/report.json"


def head_pod(context: StageContext, scales: bool) -> JsonObject:
    """The head: it writes the reports of jobs, and runs the autoscaler where the cluster scales."""
    reports = context.stage.serve is None
    own_account = account_name(context.workflow) if reports else None
    return _pod(
        context,
        context.ray.head or Resources(),
        container="ray-head",
        ports=_HEAD_PORTS,
        service_account=context.ray.service_account_name or own_account,
        mounts_token=reports or scales,
    )


def worker_pod(context: StageContext, resources: Resources, accelerator: Accelerator | None) -> JsonObject:
    """A worker: it holds no token, since it runs whatever a model brings along."""
    return _pod(
        context,
        resources,
        accelerator,
        container="ray-worker",
        ports=_WORKER_PORTS,
        service_account=context.ray.service_account_name,
        mounts_token=False,
    )


def report_address(context: StageContext) -> str:
    """Where the jobs of a stage report to."""
    if context.stage.serve:
        return _SERVING_REPORT
    workflow = context.workflow
    return f"configmap://{workflow.metadata.namespace}/{report_name(workflow, context.stage.name)}"


def _pod(
    context: StageContext,
    resources: Resources,
    accelerator: Accelerator | None = None,
    *,
    ports: dict[str, int],
    **values: Any,
) -> JsonObject:
    workflow, stage, ray = context.workflow, context.stage, context.ray
    mounted = volumes(workflow, resources, context.code)
    open_ports = ports | (_SERVE_PORT if stage.serve else {})
    pod = render_template(
        "pod",
        labels=context.selector,
        annotations={ANNOTATION_CONFIG: context.config},
        image=ray.image,
        image_pull_secrets=[{"name": secret.name} for secret in ray.image_pull_secrets],
        priority_class=ray.priority_class_name,
        pod_security_context=context.settings.pod_security_context,
        container_security_context=CONTAINER_SECURITY,
        resources=_amounts(resources, accelerator),
        ports=[{"name": name, "containerPort": port} for name, port in open_ports.items()],
        env=environment(workflow, stage, ray, report_address(context)),
        env_from=environment_from(workflow, stage, ray),
        volumes=[volume for volume, _ in mounted],
        volume_mounts=[mount for _, mount in mounted],
        node_selector=accelerator.node_selector if accelerator else {},
        tolerations=accelerator.tolerations if accelerator else [],
        node_preferences=accelerator.preferences if accelerator else [],
        spread_zones=ray.spread_zones and values["container"] == "ray-worker",
        **values,
    )
    merged_pod: JsonObject = merged(pod, resources.pod_template)
    return merged_pod


def _amounts(resources: Resources, accelerator: Accelerator | None) -> dict[str, str]:
    """CPUs, memory and accelerators, as text: Ray's autoscaler reads no numbers."""
    amounts = {"cpu": resources.cpu, "memory": resources.memory}
    if accelerator:
        amounts[accelerator.resource] = accelerators_per_pod(accelerator)
    return {name: str(amount) for name, amount in amounts.items() if amount is not None}
