"""What the API server says when it does not do what it was asked."""

import json


class ApiError(Exception):
    """An answer that is no success; status 0 where there was no answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotLeadingError(Exception):
    """Another replica leads, so that nothing may be written."""


class AgainError(Exception):
    """Something changed meanwhile: look again at once. No fault."""


def error_of(request: str, status: int, content: bytes) -> ApiError:
    """The error in an answer of the API server."""
    try:
        told = json.loads(content)
        return ApiError(status, told.get("reason", ""), f"{request}: {told['message']}")
    except (ValueError, KeyError, AttributeError, TypeError):
        return ApiError(status, "", f"{request}: HTTP {status} {content[:200].decode(errors='replace')}")
