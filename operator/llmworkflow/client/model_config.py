"""The config.json of a model, wherever it can be had in a moment."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from llmworkflow.api.fields import JsonObject

HUB = "hf://"
FILE = "config.json"
SECONDS = 5.0  # for an answer: whoever plans a workflow is waiting


class ConfigUnreadError(Exception):
    """Says why there is no config.json to be had."""


def from_hub(source: str, revision: str | None) -> JsonObject:
    """The config.json of a model of the Hugging Face hub: from the hub's cache on this machine, else from the hub.

    Raises:
        ConfigUnreadError: it is in neither, or the hub does not answer.
    """
    name, wanted = source.removeprefix(HUB).strip("/"), revision or "main"
    if cached := _cached(name, wanted):
        return _parsed(cached.read_bytes())
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        raise ConfigUnreadError("HF_HUB_OFFLINE is set, and the model is not in this machine's cache")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    request = urllib.request.Request(f"{endpoint}/{name}/resolve/{wanted}/{FILE}")
    if token := os.environ.get("HF_TOKEN"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return _parsed(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            gated = "; set HF_TOKEN if the model is gated" if error.code in (401, 403) else ""
            raise ConfigUnreadError(f"the hub answers {error.code} {error.reason}{gated}") from error
    except OSError as error:
        raise ConfigUnreadError(f"the hub does not answer: {getattr(error, 'reason', error)}") from error


def _cached(name: str, revision: str) -> Path | None:
    """The file in the cache of huggingface_hub, by its layout: refs name commits, snapshots hold their files."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    folder = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{name.replace('/', '--')}"
    reference = folder / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    found = folder / "snapshots" / commit / FILE
    return found if found.is_file() else None


def _parsed(text: bytes) -> JsonObject:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigUnreadError(f"{FILE} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigUnreadError(f"{FILE} is no object")
    return found
