"""The Ray cluster of a stage."""

from dataclasses import dataclass

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.common import INGRESS_GROUP, OWN_GROUP, Accelerator, Resources, WorkerGroup
from llmworkflow.render.pods import CONTAINER_SECURITY, head_pod, worker_pod
from llmworkflow.render.ray_settings import resolved_accelerator, resources_over
from llmworkflow.render.ray_start import group_resources, start_parameters
from llmworkflow.render.sizing import PodRange, uses_accelerator, worker_pods
from llmworkflow.render.stage_context import StageContext
from llmworkflow.render.templating import render_template

# Work on the head would compete with the control plane of the cluster for memory, and lose it with the head.
_NO_WORK = {"num-cpus": "0", "num-gpus": "0"}


@dataclass(frozen=True)
class _Group:
    """A group of Ray's nodes, as the template reads it."""

    name: str
    pods: PodRange
    template: JsonObject
    start_parameters: dict[str, str]
    resources: dict[str, str]


def ray_cluster(context: StageContext) -> JsonObject:
    """The spec of the RayCluster."""
    groups = [_own_group(context), *(_further_group(context, group) for group in context.ray.worker_groups)]
    if not any(group.pods.min for group in groups):
        groups.append(_ingress_group(context))
    scales = any(group.pods.scales for group in groups)
    return render_template(
        "ray-cluster",
        ray_version=context.settings.ray_version,
        token_authentication=context.settings.token_authentication,
        fault_tolerance=_fault_tolerance(context),
        scales=scales,
        container_security_context=CONTAINER_SECURITY,
        head=_head(context, scales),
        groups=groups,
    )


def _head(context: StageContext, scales: bool) -> _Group:
    own = (context.ray.head or Resources()).ray_start_params
    field = f"stage {context.stage.name}: ray.head"
    parameters, resources = group_resources(start_parameters(own, _NO_WORK, field), own, None, field)
    return _Group("head", PodRange(1, 1), head_pod(context, scales), parameters, resources)


def _own_group(context: StageContext) -> _Group:
    accelerator = context.ray.accelerator if uses_accelerator(context.stage) else None
    pods = worker_pods(context.stage, accelerator)
    return _group(context, OWN_GROUP, context.ray.worker or Resources(), accelerator, pods)


def _further_group(context: StageContext, group: WorkerGroup) -> _Group:
    accelerator = resolved_accelerator(group.accelerator, context.stage.name, context.settings)
    fewest = group.replicas if group.min_replicas is None else group.min_replicas
    most = max(fewest, group.replicas if group.max_replicas is None else group.max_replicas)
    return _group(
        context, group.name, resources_over(context.ray.worker, group), accelerator, PodRange(fewest, most)
    )


def _ingress_group(context: StageContext) -> _Group:
    """A place for the ingress of a service whose engines may all be gone: the head takes no replicas."""
    return _group(context, INGRESS_GROUP, context.ray.head or Resources(), None, PodRange(1, 1))


def _group(
    context: StageContext, name: str, resources: Resources, accelerator: Accelerator | None, pods: PodRange
) -> _Group:
    own, field = resources.ray_start_params, f"stage {context.stage.name}: worker group {name}"
    kind = accelerator.type if accelerator else None
    parameters, announced = group_resources(start_parameters(own, {}, field), own, kind, field)
    return _Group(name, pods, worker_pod(context, resources, accelerator), parameters, announced)


def _fault_tolerance(context: StageContext) -> JsonObject | None:
    """Redis behind the head of a service. KubeRay keeps clusters apart in it by their uid."""
    redis = context.ray.gcs_fault_tolerance
    if redis is None or context.stage.serve is None:
        return None
    password = {"redisPassword": {"valueFrom": redis.redis_password.dump()}} if redis.redis_password else {}
    return {"redisAddress": redis.redis_address, **password}
