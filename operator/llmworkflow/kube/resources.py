"""The kinds of objects that the operator reads and writes, and where the API has them."""

from dataclasses import dataclass

from llmworkflow.api.spec import workflow


@dataclass(frozen=True)
class Resource:
    """One kind of object."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Where the API has one object, or all of a namespace, or all."""
        root = "/apis" if "/" in self.api_version else "/api"
        parts = [root, self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *filter(None, (name, subresource))])


LLM_WORKFLOW = Resource(workflow.API_VERSION, workflow.KIND, workflow.PLURAL)
RAY_JOB = Resource("ray.io/v1", "RayJob", "rayjobs")
RAY_SERVICE = Resource("ray.io/v1", "RayService", "rayservices")
CONFIG_MAP = Resource("v1", "ConfigMap", "configmaps")
SERVICE_ACCOUNT = Resource("v1", "ServiceAccount", "serviceaccounts")
ROLE = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
NETWORK_POLICY = Resource("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
EVENT = Resource("v1", "Event", "events")
POD = Resource("v1", "Pod", "pods")
NODE = Resource("v1", "Node", "nodes", namespaced=False)
CLAIM = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SERVICE = Resource("v1", "Service", "services")
SECRET = Resource("v1", "Secret", "secrets")
LEASE = Resource("coordination.k8s.io/v1", "Lease", "leases")

CHILDREN = {resource.kind: resource for resource in (RAY_JOB, RAY_SERVICE)}
BY_KIND = {
    resource.kind: resource
    for resource in (
        *CHILDREN.values(),
        CONFIG_MAP,
        SERVICE_ACCOUNT,
        ROLE,
        ROLE_BINDING,
        NETWORK_POLICY,
        EVENT,
        LEASE,
    )
}
"""What this operator writes, the status of workflows aside."""
