"""Looks a cluster over: what is installed, what it has to offer, and what the user may do."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import API_VERSION, PLURAL
from llmworkflow.client.api import Api
from llmworkflow.client.doctor import Finding, Health, good, version_of
from llmworkflow.client.errors import RefusedError
from llmworkflow.kube.resources import NODE, Resource

# The oldest that will do. What an older KubeRay does not know is dropped without a word: before 1.5.1 the tokens of
# dashboards, before 1.6 the deadline of jobs whose pods do not start.
KUBERNETES, KUBERAY = (1, 30), (1, 6)
OPERATOR_LABEL, KUBERAY_LABEL = (
    "app.kubernetes.io/name=llmworkflow",
    "app.kubernetes.io/name=kuberay-operator",
)
GPU, GPU_PRODUCT = "nvidia.com/gpu", "nvidia.com/gpu.product"
INSTALL = "helm install llmworkflow charts/llmworkflow --namespace llmworkflow --create-namespace"
_RAYJOBS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/rayjobs.ray.io"
_NEWEST = "preRunningDeadlineSeconds"  # of all fields that are rendered, the one that KubeRay learned last
_DEPLOYMENT = Resource("apps/v1", "Deployment", "deployments")
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

_OWN = API_VERSION.partition("/")[0]
# What a command takes: verb, group, resource; the first role of the chart that gives it.
_RIGHTS = (
    ("status", "list", _OWN, PLURAL, "view"),
    ("events", "list", "", "events", "view"),
    ("logs of jobs that are over", "get", "", "configmaps", "view"),
    ("plan, apply", "create", _OWN, PLURAL, "edit"),
    ("delete", "delete", _OWN, PLURAL, "edit"),
    ("suspend, resume", "patch", _OWN, PLURAL, "edit"),
    ("retry", "retry", _OWN, PLURAL, "edit"),
    ("cancel", "cancel", _OWN, PLURAL, "edit"),
    ("rollback", "rollback", _OWN, PLURAL, "edit"),
    ("logs of jobs that run, chat", "create", "", "pods/portforward", "edit"),
    ("logs of jobs that run, chat with a key", "get", "", "secrets", "edit"),
    ("approve", "approve", _OWN, PLURAL, "admin"),
    ("reject", "reject", _OWN, PLURAL, "admin"),
)


def examine(api: Api, namespace: str) -> Iterator[Finding]:
    """All findings; what depends on an answer of the API server is left out where there is none.

    Raises:
        RefusedError: the API server does not answer.
    """
    yield _kubernetes(api)
    yield _kind(api, API_VERSION, PLURAL, INSTALL)
    yield from _seen("operator", partial(_operator, api))
    yield _kind(
        api,
        "ray.io/v1",
        "rayjobs",
        "install KubeRay 1.6 or newer: https://docs.ray.io/en/latest/cluster/kubernetes",
    )
    yield from _seen("definition of RayJob", partial(_definition, api))
    yield from _seen("KubeRay", partial(_kuberay, api))
    yield from _seen("GPUs", partial(_gpus, api))
    for right in _RIGHTS:
        yield _right(api, namespace, *right)


def _kubernetes(api: Api) -> Finding:
    found = (api.get("/version") or {}).get("gitVersion", "")
    told = f"{found} at {api.server}"
    if (version_of(found) or KUBERNETES) < KUBERNETES:
        return Finding("Kubernetes", Health.BAD, told, "upgrade to 1.30 or newer")
    return good("Kubernetes", told)


def _kind(api: Api, version: str, plural: str, remedy: str) -> Finding:
    """Whether the API server knows a kind."""
    kinds = (api.get(f"/apis/{version}") or {}).get("resources", [])
    subject = f"{plural}.{version.partition('/')[0]}"
    if any(kind["name"] == plural for kind in kinds):
        return good(subject, version)
    return Finding(subject, Health.BAD, "the API server does not know it", remedy)


def _seen(subject: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    """A finding about what not everybody may look at."""
    try:
        yield look()
    except RefusedError as error:
        if error.status != 403:
            raise
        yield Finding(
            subject, Health.UNSURE, "you may not look at that", "ask an admin of the cluster to run this"
        )


def _operator(api: Api) -> Finding:
    found = api.items(_DEPLOYMENT, labelSelector=OPERATOR_LABEL)
    if not found:
        return Finding("operator", Health.BAD, "there is no deployment of it", INSTALL)
    ready = sum(item.get("status", {}).get("readyReplicas", 0) for item in found)
    places = ", ".join(f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in found)
    if not ready:
        remedy = (
            f"kubectl logs -n {found[0]['metadata']['namespace']} deployment/{found[0]['metadata']['name']}"
        )
        return Finding("operator", Health.BAD, f"{places} has no replica that is ready", remedy)
    return good("operator", f"{places}, {_image(found[0])}, {ready} ready")


def _definition(api: Api) -> Finding:
    """Whether the API server keeps all of a RayJob: Helm upgrades KubeRay's operator, and no definition."""
    versions = (api.get(_RAYJOBS) or {"spec": {"versions": []}})["spec"]["versions"]
    schemas = [version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1"]
    if any(_NEWEST in schema["properties"]["spec"]["properties"] for schema in schemas):
        return good("definition of RayJob", f"it has {_NEWEST}")
    remedy = "apply the definitions of KubeRay 1.6 or newer, which Helm does not upgrade"
    return Finding("definition of RayJob", Health.BAD, f"it has no {_NEWEST}", remedy)


def _kuberay(api: Api) -> Finding:
    found = api.items(_DEPLOYMENT, labelSelector=KUBERAY_LABEL)
    if not found:
        return Finding("KubeRay", Health.UNSURE, "no deployment with its chart's labels", "see that it runs")
    image = _image(found[0])
    version = version_of(image.rpartition(":")[2])
    if version is not None and version < KUBERAY:
        return Finding("KubeRay", Health.BAD, image, "upgrade to 1.6 or newer")
    if not found[0].get("status", {}).get("readyReplicas"):
        return Finding("KubeRay", Health.BAD, f"{image} is not ready", "see the log of its pod")
    return good("KubeRay", image)


def _image(deployment: JsonObject) -> str:
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])


def _gpus(api: Api) -> Finding:
    offered = Counter[str]()
    for node in api.items(NODE):
        product = node["metadata"].get("labels", {}).get(GPU_PRODUCT, GPU)
        offered[product] += int(node.get("status", {}).get("allocatable", {}).get(GPU, 0))
    told = ", ".join(f"{count} {product}" for product, count in sorted(offered.items()) if count)
    if told:
        return good("GPUs", told)
    remedy = f"add GPU nodes and NVIDIA's device plugin, or an autoscaler that does; pods ask for {GPU}"
    return Finding("GPUs", Health.POOR, "no node offers any", remedy)


def _right(
    api: Api, namespace: str, command: str, verb: str, group: str, resource: str, role: str
) -> Finding:
    name, _, subresource = resource.partition("/")
    asked = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": name,
        "subresource": subresource,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    right = f"{verb} {resource}{f'.{group}' if group else ''}"
    if api.create(_REVIEWS, body)["status"]["allowed"]:
        return good(command, f"you may {right} in {namespace}")
    remedy = f"ask for the role `{role}` in namespace {namespace}"
    return Finding(command, Health.POOR, f"you may not {right} in {namespace}", remedy)
