"""Data files from http:// and https:// addresses, within a bounded time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from urllib.parse import unquote, urlsplit

from llmworkflow_jobs.errors import JobError

SCHEMES = ("http://", "https://")

_RETRIES = 3
BACKOFF_SECONDS = 1.0  # before the second try, doubled before each further one
# Answers of a server that may soon be better ones.
_BUSY = (429, 500, 502, 503, 504)
_CONNECT_SECONDS, _SILENT_SECONDS = 10, 60
# A data file takes minutes at most; a server that trickles would hold the job's machines for ever.
TOTAL_SECONDS = 1800
_CHUNK = 1024 * 1024


def path(url: str) -> str:
    """The address without query, whose ending tells the format of the file, and without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{unquote(parts.path)}"


def shown(uri: str) -> str:
    """Any address, without what of one of the web is for nobody's eyes: user, password and query."""
    return path(uri) if uri.startswith(SCHEMES) else uri


def fetch(url: str) -> bytes:
    """The content behind `url`. Raises FileNotFound, or StorageError after a few tries."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        _RETRIES,
        backoff_factor=BACKOFF_SECONDS,
        status_forcelist=_BUSY,
        raise_on_status=False,
        respect_retry_after_header=False,  # a server may name hours
    )
    deadline = monotonic() + TOTAL_SECONDS
    with requests.Session() as session, _told(url):
        for scheme in SCHEMES:
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        with session.get(url, stream=True, timeout=(_CONNECT_SECONDS, _SILENT_SECONDS)) as response:
            if response.status_code != requests.codes.ok:
                raise _refused(url, response.status_code, response.reason)
            content = bytearray()
            for chunk in response.iter_content(_CHUNK):
                content += chunk
                if monotonic() > deadline:
                    raise JobError(
                        "StorageError",
                        f"{path(url)} has not arrived within {TOTAL_SECONDS} s",
                        retryable=True,
                    )
            return bytes(content)


@contextmanager
def _told(url: str) -> Iterator[None]:
    import requests

    try:
        yield
    except requests.RequestException as error:
        # The error's own text may hold the address with its password.
        raise JobError(
            "StorageError", f"{path(url)} cannot be read: {type(error).__name__}", retryable=True
        ) from error


def _refused(url: str, status: int, reason: str) -> JobError:
    answer = f"{path(url)}: the server answers {status} {reason}"
    if status in (404, 410):
        return JobError("FileNotFound", answer)
    if status in (401, 403):
        return JobError("StorageError", f"{answer}; use an address that needs no password, or a bucket")
    return JobError("StorageError", answer, retryable=status in _BUSY)
