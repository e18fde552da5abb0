"""The API server, as far as commands need it: plain JSON over the connection of the official client."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from llmworkflow.api.fields import JsonObject
from llmworkflow.client.errors import ClientError, RefusedError
from llmworkflow.kube.errors import ApiError, answer_of, error_of
from llmworkflow.kube.resources import Resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

FIELD_MANAGER = "llmworkflow-command"
TIMEOUT_SECONDS = 30.0
_JSON, _MERGE = "application/json", "application/merge-patch+json"


class Api:
    """Requests to the API server. Raises RefusedError for whatever it does not answer with success."""

    def __init__(self, connection: "ApiClient") -> None:
        self._connection = connection

    @property
    def server(self) -> str:
        """Address of the API server."""
        return str(self._connection.configuration.host)

    def close(self) -> None:
        """Let go of the server."""
        self._connection.close()

    def get(self, path: str) -> JsonObject | None:
        """One object, None where there is none."""
        try:
            return self._json("GET", path)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def items(self, resource: Resource, namespace: str = "", **query: str) -> list[JsonObject]:
        """Objects of a namespace or of all."""
        found: list[JsonObject] = self._json("GET", resource.path(namespace), query=query)["items"]
        return found

    def create(self, path: str, content: JsonObject, **query: str) -> JsonObject:
        """Create an object, or ask for a review."""
        return self._json("POST", path, content, query=query)

    def replace(self, path: str, content: JsonObject, **query: str) -> JsonObject:
        """Write an object as a whole, if it is still of the version that the content names."""
        return self._json("PUT", path, content, query=query)

    def merge(self, path: str, change: JsonObject) -> JsonObject:
        """Change some fields of an object."""
        return self._json("PATCH", path, change, _MERGE)

    def delete(self, path: str) -> None:
        """Delete an object; what it owns goes after it."""
        self._json("DELETE", path, {"propagationPolicy": "Background"})

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """The lines of a text, as they come; for as long as the server keeps it open."""
        response = self._send("GET", path, query=query, timeout=None, preload_content=False)
        try:
            if response.status != 200:
                raise RefusedError(error_of(f"GET {path}", response.status, response.read()))
            for line in response:
                yield line.decode(errors="replace")
        finally:
            response.close()

    def stream(self, path: str, channels: str) -> Any:
        """A WebSocket through the API server, such as to a port of a pod.

        Raises:
            ClientError: the API server opens none.
        """
        from kubernetes.stream.ws_client import create_websocket, get_websocket_url
        from websocket import WebSocketBadStatusException, WebSocketException

        headers = {**self._headers(_JSON, path), "sec-websocket-protocol": channels}
        url = get_websocket_url(f"{self.server}{path}")
        try:
            return create_websocket(self._connection.configuration, url, headers)
        except WebSocketBadStatusException as error:
            refusal = error_of(f"GET {path}", error.status_code, error.resp_body or b"")
            raise RefusedError(refusal) from error
        except (WebSocketException, OSError) as error:
            raise ClientError(f"the API server does not connect to {path}: {error}") from error

    def _json(
        self,
        verb: str,
        path: str,
        body: JsonObject | None = None,
        content_type: str = _JSON,
        query: Mapping[str, str] | None = None,
    ) -> JsonObject:
        manager = {"fieldManager": FIELD_MANAGER} if verb in ("POST", "PUT", "PATCH") else {}
        response = self._send(verb, path, body, content_type, {**manager, **(query or {})})
        try:
            return answer_of(f"{verb} {path}", response.status, response.data)
        except ApiError as error:
            raise RefusedError(error) from error

    def _send(
        self,
        verb: str,
        path: str,
        body: JsonObject | None = None,
        content_type: str = _JSON,
        query: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT_SECONDS,
        preload_content: bool = True,
    ) -> Any:
        from urllib3.exceptions import HTTPError

        try:
            return self._connection.rest_client.pool_manager.request(
                verb,
                f"{self.server}{path}" + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body),
                headers=self._headers(content_type, path),
                retries=False,
                timeout=timeout,
                preload_content=preload_content,
            )
        except HTTPError as error:
            told = f"the API server {self.server} does not answer: {error}"
            raise RefusedError(ApiError(0, "Unreachable", told)) from error

    def _headers(self, content_type: str, path: str) -> dict[str, str]:
        headers = {"Content-Type": content_type, "Accept": _JSON, "User-Agent": FIELD_MANAGER}
        self._connection.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
        return headers
