"""What the installation decides, below every workflow's own settings; the chart fills it in."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from llmworkflow import __version__
from llmworkflow.api.fields import JsonObject, SpecModel
from llmworkflow.api.spec.common import Accelerator, Resources

RAY_VERSION = "2.60.0"

# Where pods find what the operator hands to them.
STORAGE_PATH = "/mnt/llmworkflow/storage"
CACHE_PATH = "/mnt/llmworkflow/cache"
MODELS_PATH = "/mnt/llmworkflow/models"
CODE_FOLDER, CODE_FILE = "/opt/llmworkflow", "llmworkflow_jobs.zip"
CODE_PATH = f"{CODE_FOLDER}/{CODE_FILE}"
CONFIG_FOLDER, CONFIG_FILE = "/etc/llmworkflow", "config.json"
CONFIG_PATH = f"{CONFIG_FOLDER}/{CONFIG_FILE}"

_GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}

# Ray's names of common accelerators. Node labels differ from cluster to cluster: the chart adds selectors.
_RAY_TYPES = ("T4", "L4", "L40S", "A10G", "A100", "H100", "H200", "B200")

# The user of Ray's own images, and what Pod Security `restricted` asks of a pod.
_POD_SECURITY: JsonObject = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 100,
    "fsGroup": 100,
    "fsGroupChangePolicy": "OnRootMismatch",  # a volume with checkpoints takes minutes to walk
    "seccompProfile": {"type": "RuntimeDefault"},
}

DEFAULT_ACCELERATORS = {kind.lower(): Accelerator(type=kind, tolerations=[_GPU_TAINT]) for kind in _RAY_TYPES}


def _pods_of(namespace: str, name: str) -> JsonObject:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": name}},
    }


@dataclass(frozen=True)
class JobCode:
    """The code that runs inside Ray, in a file that Python imports from."""

    digest: str
    """Of its sources."""
    archive: str
    """A zip archive in base64."""


class Settings(SpecModel):
    """Defaults of one installation."""

    image: str = f"llmworkflow/jobs:{__version__}"
    """Image of the Ray pods."""
    ray_version: str = RAY_VERSION
    """Version of Ray in that image."""
    accelerators: dict[str, Accelerator] = DEFAULT_ACCELERATORS
    """Profiles by the name that workflows use."""
    head: Resources = Resources(cpu=2, memory="8Gi")
    """The Ray head."""
    worker: Resources = Resources(cpu=4, memory="32Gi")
    """The Ray workers."""

    @field_validator("head", "worker")
    @classmethod
    def _over_default(cls, given: Resources, info: ValidationInfo) -> Resources:
        """What an installation sets of them, over what is written here."""
        default: Resources = cls.model_fields[str(info.field_name)].default
        return default.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})

    operators: list[JsonObject] = [
        _pods_of("llmworkflow", "llmworkflow"),
        _pods_of("kuberay", "kuberay-operator"),
    ]
    """NetworkPolicy peers that reach the dashboards of Ray clusters: this operator and KubeRay's."""
    serve_from: list[JsonObject] = []
    """NetworkPolicy peers that reach the endpoints; none: every pod."""
    pod_security_context: JsonObject = _POD_SECURITY
    """Security context of the Ray pods; where the cluster assigns users, leave runAsUser out."""
    network_policy: bool = True
    """Close Ray clusters by a NetworkPolicy."""
    token_authentication: bool = True
    """Ray's own token authentication, with a token that KubeRay makes."""
    pending_deadline_seconds: Annotated[int, Field(ge=1)] = 24 * 3600
    """When KubeRay gives up on pods that never start: a backstop behind the stage's own timeouts."""
    active_deadline_seconds: Annotated[int, Field(ge=1)] = 30 * 24 * 3600
    """When KubeRay ends a job: a backstop behind the stage's own timeouts."""
