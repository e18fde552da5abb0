"""Data sets of the Hugging Face hub: hf://datasets/<owner>/<name>[@<revision>]/<file or folder>."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from llmworkflow_jobs.errors import JobError

SCHEME = "hf://"

_ADDRESS = re.compile(
    r"hf://(?:datasets/)?(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?"
)


def dataset(uri: str, suffixes: Iterable[str]) -> str:
    """Local path of what `uri` names, downloaded unless the cache has it; of a folder, the files with the suffixes.

    Raises FileNotFound for what the hub does not have, or does not show to this token, and StorageError.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    found = _ADDRESS.fullmatch(uri)
    if found is None:
        raise JobError("OptionInvalid", f"{uri}: expected hf://datasets/<owner>/<name>/<file or folder>")
    path = (found["path"] or "").rstrip("/")
    inside = f"{path}/**" if path else "**"
    try:
        folder = snapshot_download(
            found["repo"],
            repo_type="dataset",
            revision=found["revision"],
            allow_patterns=[path, *(f"{inside}{suffix}" for suffix in suffixes)],
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except LocalEntryNotFoundError as error:
        raise JobError(
            "StorageError", f"the hub cannot be reached for {uri}: {error}", retryable=True
        ) from error
    except HfHubHTTPError as error:
        raise JobError(
            "FileNotFound",
            f"{uri}: {error}; check name and revision, and model.tokenFrom for a gated data set",
        ) from error
    return os.path.join(folder, path)
