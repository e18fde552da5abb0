"""Secrets that a person may read; they go where they are needed, and are never printed."""

from base64 import b64decode

from llmworkflow.api.spec.common import SecretKeySource
from llmworkflow.client.api import Api
from llmworkflow.client.errors import ClientError
from llmworkflow.kube.resources import SECRET


def secret_of(api: Api, namespace: str, source: SecretKeySource) -> str:
    """What a field of a workflow refers to. Raises what `secret_value` raises."""
    reference = source.secret_key_ref
    return secret_value(api, namespace, reference.name, reference.key)


def secret_value(api: Api, namespace: str, name: str, key: str) -> str:
    """One value of a Secret.

    Raises:
        ClientError: it is not there, or may not be read.
    """
    found = api.get(SECRET.path(namespace, name))
    if found is None:
        raise ClientError(f"secret {namespace}/{name} is not there: create it with the key {key}")
    text = (found.get("data") or {}).get(key)
    if text is None:
        raise ClientError(f"secret {namespace}/{name} has no key {key}")
    return b64decode(text).decode().strip()
