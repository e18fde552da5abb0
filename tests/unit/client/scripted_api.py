"""An API server that answers from a script, and remembers what it was asked."""

from __future__ import annotations

from typing import Any

from llmworkflow.client.errors import RefusedError
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import Resource

Object = dict[str, Any]


def refused(status: int) -> RefusedError:
    return RefusedError(ApiError(status, "", f"HTTP {status}"))


class ScriptedApi:
    """In place of `Api`; an exception among the answers is raised."""

    server = "https://cluster.example"

    def __init__(self, **answers: Any) -> None:
        self._answers = {name: list(found) for name, found in answers.items()}
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []

    def get(self, path: str) -> Any:
        return self._answer("get", path)

    def items(self, resource: Resource, namespace: str = "", **query: str) -> Any:
        return self._answer("items", resource.path(namespace), None, query)

    def create(self, path: str, content: Object, **query: str) -> Any:
        return self._answer("create", path, content, query)

    def replace(self, path: str, content: Object, **query: str) -> Any:
        return self._answer("replace", path, content, query)

    def _answer(self, verb: str, path: str, content: Any = None, query: dict[str, str] | None = None) -> Any:
        self.asked.append((verb, path, content, query or {}))
        answer = self._answers[verb].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer
