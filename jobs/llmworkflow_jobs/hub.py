"""The Hugging Face hub: its models, and data sets as hf://datasets/<owner>/<name>[@<revision>]/<file or folder>.

A revision with slashes has them as %2F, as in paths of the hub's own library.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from llmworkflow_jobs.errors import JobError

SCHEME = "hf://"

_ADDRESS = re.compile(
    r"hf://(?:datasets/)?(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?(?:/(?P<path>.*))?"
)


def snapshot(repo: str, address: str, refused: Callable[[Exception], JobError], **options: Any) -> str:
    """Local folder of a repository, downloaded unless the cache has it; `options` are those of snapshot_download.

    Raises StorageError where the hub is out of reach, and what `refused` makes of the hub's own refusal.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return str(snapshot_download(repo, **options))
    except LocalEntryNotFoundError as error:
        raise JobError(
            "StorageError", f"the hub cannot be reached for {address}: {error}", retryable=True
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 429 or status >= 500:
            raise JobError(
                "StorageError", f"the hub is busy for {address}: {error}", retryable=True
            ) from error
        raise refused(error) from error
    except HFValidationError as error:
        raise refused(error) from error


def dataset(uri: str, suffixes: Iterable[str]) -> str:
    """Local path of what `uri` names, downloaded unless the cache has it; of a folder, the files with the suffixes.

    Raises FileNotFound for what the hub does not have, or does not show to this token, and StorageError.
    """
    found = _ADDRESS.fullmatch(uri)
    if found is None:
        raise JobError("OptionInvalid", f"{uri}: expected hf://datasets/<owner>/<name>/<file or folder>")
    path = (found["path"] or "").rstrip("/")
    inside = f"{path}/**" if path else "**"
    folder = snapshot(
        found["repo"],
        uri,
        lambda error: JobError(
            "FileNotFound",
            f"{uri}: {error}; check name and revision, and model.tokenFrom for a gated data set",
        ),
        repo_type="dataset",
        revision=unquote(found["revision"] or "") or None,
        allow_patterns=[path, *(f"{inside}{suffix}" for suffix in suffixes)],
        endpoint=os.environ.get("HF_ENDPOINT"),
    )
    return os.path.join(folder, path)
