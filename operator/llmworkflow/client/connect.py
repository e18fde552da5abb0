"""Which API server commands speak to, and as whom: the one that kubectl would."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from llmworkflow.client.api import Api
from llmworkflow.client.errors import ClientError

if TYPE_CHECKING:
    from kubernetes.client import Configuration

VARIABLE = "KUBECONFIG"
DEFAULT_FILE = Path("~/.kube/config")
# Where pods find their own token and namespace.
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Connection:
    """An API server, and the namespace that is meant where none is named."""

    api: Api
    context: str
    namespace: str

    def close(self) -> None:
        """Let go of the API server."""
        self.api.close()


def kubeconfig_files() -> list[Path]:
    """The kubeconfigs of this user that say something: of $KUBECONFIG, else ~/.kube/config."""
    files = _named_files() or [DEFAULT_FILE.expanduser()]
    return [path for path in files if path.is_file() and path.stat().st_size]


def refuse_absent() -> None:
    """Take no other place where one was named that is not there.

    Raises:
        ClientError: $KUBECONFIG names files, and none of them exists.
    """
    files = _named_files()
    if files and not any(path.exists() and not path.is_dir() for path in files):
        named = os.environ[VARIABLE]
        raise ClientError(f"${VARIABLE} is {named}, where no file is: correct it, or unset it")


def _named_files() -> list[Path]:
    named = os.environ.get(VARIABLE, "")
    return [Path(part).expanduser() for part in named.split(os.pathsep) if part]


def in_pod() -> bool:
    """Whether this runs in a pod that may speak to its cluster."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and (_ACCOUNT / "token").is_file()


def connect(context: str | None, otherwise: str = "") -> Connection:
    """The API server of a context of the kubeconfig, of its current one, or of the pod that this runs in.

    `otherwise` is what a person without a cluster can do instead.

    Raises:
        ClientError: there is no kubeconfig, or it cannot be used.
    """
    from kubernetes import config
    from kubernetes.client import ApiClient, Configuration

    found = Configuration()
    try:
        if files := kubeconfig_files():
            name, namespace = _load(files, context, found)
        elif in_pod():
            config.load_incluster_config(client_configuration=found)
            name, namespace = "of this pod", (_ACCOUNT / "namespace").read_text().strip()
        else:
            refuse_absent()
            wanted = f", and so no context {context}" if context else ""
            remedy = "; ".join(filter(None, (f"set ${VARIABLE} to that of a cluster", otherwise)))
            raise ClientError(f"there is no kubeconfig{wanted}: {remedy}")
    except (config.ConfigException, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ClientError(f"the kubeconfig cannot be used: {error}") from error
    return Connection(Api(ApiClient(found)), name, namespace)


def _load(files: list[Path], context: str | None, found: "Configuration") -> tuple[str, str]:
    """Read one context; returns its name and its namespace. Of what several files have, the first one counts."""
    from kubernetes import config

    contents = [yaml.safe_load(file.read_text()) for file in files]
    current = (content["current-context"] for content in contents if content.get("current-context"))
    chosen: str | None = context or next(current, None)
    contexts = {
        item["name"]: item["context"]
        for content in reversed(contents)
        for item in content.get("contexts") or []
    }
    if chosen is None or chosen not in contexts:
        wanted = f"no context {chosen}" if chosen else "no current context"
        raise ClientError(f"the kubeconfig has {wanted}; --context takes: {', '.join(contexts) or 'none'}")
    config.load_kube_config(os.pathsep.join(map(str, files)), chosen, found)
    return chosen, contexts[chosen].get("namespace") or "default"
