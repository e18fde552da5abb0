"""Names of children: the same for the same work, different for different work."""

import hashlib
import re

LIMIT = 47  # characters that KubeRay leaves for a name, after its own suffixes
SERVE_PORT = 8000  # of Ray Serve's proxy, behind KubeRay's service
_HASH = 8  # hexadecimal digits: enough to tell the children of one namespace apart


def job_name(workflow: str, uid: str, stage: str, revision: str, attempt: int) -> str:
    """Name of the RayJob of one attempt, a DNS-1035 label of at most 47 characters."""
    return _with_hash(f"{workflow}-{stage}", uid, stage, revision, str(attempt))


def service_name(workflow: str, stage: str) -> str:
    """Name of the RayService of a stage, without revision: its URL outlives every promotion."""
    wanted = f"{workflow}-{stage}"
    label = _label(wanted)
    return label if label == wanted and len(label) <= LIMIT else _with_hash(wanted, workflow, stage)


def service_url(service: str, namespace: str) -> str:
    """Where clients in the cluster find the endpoint of a RayService; the same for as long as that exists."""
    return f"http://{service}-serve-svc.{namespace}.svc:{SERVE_PORT}"


def _with_hash(text: str, *identity: str) -> str:
    digest = hashlib.sha256("\0".join(identity).encode()).hexdigest()[:_HASH]
    return f"{_label(text)[: LIMIT - _HASH - 1].rstrip('-')}-{digest}"


def _label(text: str) -> str:
    """The text as a DNS-1035 label: workflows may have dots in their names, or begin with a digit."""
    label = re.sub(r"[^a-z0-9-]", "-", text.lower()).strip("-")
    return label if label[:1].isalpha() else f"w{label}"
