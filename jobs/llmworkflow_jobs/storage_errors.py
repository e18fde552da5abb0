"""What went wrong with a disk or a bucket, and what to do, in place of what a client library says."""

from __future__ import annotations

import errno

# Words of AWS's client and of servers, by what they mean. A server that does not know the key answers "not found".
_REFUSED = (
    "ACCESS_DENIED",
    "SIGNATURE_DOES_NOT_MATCH",
    "EXPIRED_TOKEN",
    "EXPIREDTOKEN",
    "ACCESS KEY",
    "ACCESS_KEY",
)
_AWAY = ("NETWORK_CONNECTION", "CURLCODE", "SLOW_DOWN", "SERVICE_UNAVAILABLE", "REQUEST_TIMEOUT")
_NO_BUCKET = ("NO_SUCH_BUCKET", "NOSUCHBUCKET")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def explain(error: OSError) -> str:
    """The error's first line, after its meaning and remedy where they are known."""
    detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
    meaning = _meaning(error, detail.upper())
    return f"{meaning}: {detail}" if meaning else detail


def _meaning(error: OSError, detail: str) -> str:
    if error.errno in _FULL or "NO SPACE LEFT" in detail or "QUOTA" in detail:
        return "the storage is full; free some, with `llmworkflow gc` or on the volume itself"
    if any(word in detail for word in _NO_BUCKET):
        return "the bucket does not exist; make it, or name another in storage.uri"
    if any(word in detail for word in _REFUSED):
        return "the storage refuses the credentials; put right the Secret of storage.credentialsFrom"
    if any(word in detail for word in _AWAY):
        return "the storage cannot be reached; look at storage.endpoint and at the network"
    return ""
