"""What the API server says when it does not do what it was asked."""

import json

from llmworkflow.api.fields import JsonObject


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


class RefusedError(Exception):
    """The API server would not have a child, for a reason that people are told. No fault of ours."""

    def __init__(self, message: str, is_news: bool) -> None:
        """`is_news`: whether people are still to be told."""
        super().__init__(message)
        self.is_news = is_news


def answer_of(request: str, status: int, content: bytes) -> JsonObject:
    """What the API server answers a request with.

    Raises:
        ApiError: it did not do what it was asked.
    """
    if status >= 300:
        raise error_of(request, status, content)
    found: JsonObject = json.loads(content)
    return found


def error_of(request: str, status: int, content: bytes) -> ApiError:
    """The error in an answer of the API server."""
    try:
        told = json.loads(content)
        return ApiError(status, told.get("reason", ""), f"{request}: {told['message']}")
    except (ValueError, KeyError, AttributeError, TypeError):
        return ApiError(status, "", f"{request}: HTTP {status} {content[:200].decode(errors='replace')}")
