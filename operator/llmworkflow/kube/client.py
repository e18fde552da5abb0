"""The API server, as far as this operator needs it: plain JSON over the connection of `kubernetes.aio`."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from llmworkflow.api.fields import JsonObject
from llmworkflow.kube import metrics
from llmworkflow.kube.errors import ApiError, NotLeadingError, answer_of, error_of
from llmworkflow.kube.resources import BY_KIND, Resource

FIELD_MANAGER = "llmworkflow"
TIMEOUT_SECONDS = 30.0
# A watch that stays silent for longer than the server lets it live has lost its connection.
WATCH_SECONDS, WATCH_SILENCE_SECONDS = 290, 330
_JSON, _APPLY, _MERGE = "application/json", "application/apply-patch+yaml", "application/merge-patch+json"
METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
"""What to accept where the content of objects is not of interest; with `List` for a list."""


class Api:
    """Requests to the API server. Raises ApiError for whatever it does not answer with success."""

    def __init__(self, connection: ApiClient, may_write: Callable[[], bool] = lambda: True) -> None:
        self._connection = connection
        self._may_write = may_write

    async def get(
        self, resource: Resource, namespace: str, name: str, accept: str = _JSON
    ) -> JsonObject | None:
        """One object as it is now, None where there is none."""
        try:
            return await self._request("GET", resource.path(namespace, name), accept=accept)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str = "", accept: str = _JSON, **query: str
    ) -> JsonObject:
        """Objects of a namespace or of all, as the API's own list."""
        return await self._request("GET", resource.path(namespace), query=query, accept=accept)

    async def pages(
        self, resource: Resource, namespace: str, size: int, accept: str = _JSON, **query: str
    ) -> AsyncIterator[JsonObject]:
        """A list as several, of so many objects each; all are of the version that the last one names."""
        query["limit"] = str(size)
        while query.get("continue") != "":
            page = await self.list(resource, namespace, accept, **query)
            yield page
            query["continue"] = page["metadata"].get("continue", "")

    async def create(self, manifest: JsonObject) -> JsonObject:
        """Create an object that is not there."""
        return await self._write("POST", _path(manifest, named=False), manifest)

    async def replace(self, manifest: JsonObject) -> JsonObject:
        """Write an object as a whole, if it is still of the version that the manifest names."""
        return await self._write("PUT", _path(manifest), manifest)

    async def replace_status(self, resource: Resource, manifest: JsonObject) -> JsonObject:
        """Write a status, if the object is still of the version and uid that the manifest names."""
        described = manifest["metadata"]
        return await self._write(
            "PUT", resource.path(described["namespace"], described["name"], "status"), manifest
        )

    async def apply(self, manifest: JsonObject) -> JsonObject:
        """Server-side apply."""
        return await self._write("PATCH", _path(manifest), manifest, _APPLY, force="true")

    async def merge(self, resource: Resource, namespace: str, name: str, change: JsonObject) -> JsonObject:
        """Change some fields of an object."""
        return await self._write("PATCH", resource.path(namespace, name), change, _MERGE)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, policy: str = "Foreground"
    ) -> bool:
        """Delete this very object, by default once what it owns is gone; False where it is not there any more."""
        options = {"propagationPolicy": policy, "preconditions": {"uid": uid}}
        try:
            await self._write("DELETE", resource.path(namespace, name), options)
        except ApiError as error:
            if error.status in (404, 409):
                return False
            raise
        return True

    async def watch(
        self, resource: Resource, namespace: str, version: str, selector: str, accept: str = _JSON
    ) -> AsyncIterator[JsonObject]:
        """Changes since a version, until the server ends the watch."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "labelSelector": selector,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=WATCH_SILENCE_SECONDS)
        response = await self._send("GET", resource.path(namespace), None, (_JSON, accept), query, timeout)
        async with response:
            if response.status != 200:
                raise error_of("watch", response.status, await response.read())
            async for line in response.content:
                yield json.loads(line)

    async def _write(
        self, verb: str, path: str, body: JsonObject, content_type: str = _JSON, **query: str
    ) -> JsonObject:
        if not self._may_write():
            raise NotLeadingError
        manager = {} if verb == "DELETE" else {"fieldManager": FIELD_MANAGER}
        return await self._request(verb, path, body, content_type, {**manager, **query})

    async def _request(
        self,
        verb: str,
        path: str,
        body: JsonObject | None = None,
        content_type: str = _JSON,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
    ) -> JsonObject:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        response = await self._send(verb, path, body, (content_type, accept), query or {}, timeout)
        with _reached(verb, path):
            async with response:
                content = await response.read()
        metrics.API_REQUESTS.labels(verb, str(response.status)).inc()
        return answer_of(f"{verb} {path}", response.status, content)

    async def _send(
        self,
        verb: str,
        path: str,
        body: JsonObject | None,
        types: tuple[str, str],  # of what is sent, and of what is asked for
        query: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        url = f"{self._connection.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        sent, accepted = types
        headers: dict[str, Any] = {"Content-Type": sent, "Accept": accepted, "User-Agent": FIELD_MANAGER}
        await self._connection.update_params_for_auth(headers, [], ["BearerToken"], path, verb, body)
        with _reached(verb, path):
            answer = await self._connection.rest_client.request(
                verb, url, headers=headers, body=body, _request_timeout=limits
            )
        response: aiohttp.ClientResponse = answer.response
        return response


async def connect(kubeconfig: str | None = None) -> ApiClient:
    """The API server of a kubeconfig; where none is named, of the pod that this runs in or of the usual one."""
    found = Configuration()
    if kubeconfig or not _is_in_pod(found):
        await config.load_kube_config(kubeconfig, client_configuration=found)
    found.proxy = found.proxy or _proxy_to(found.host)
    found.connection_pool_maxsize = 0  # unlimited: watches keep theirs, some for each namespace
    # aiohttp asks for the proxy and for a .netrc before every request, each in a thread: twice what the rest takes.
    found.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
    return ApiClient(found)


@contextmanager
def _reached(verb: str, path: str) -> Iterator[None]:
    """Whatever keeps an answer from coming, or breaks it off, is one kind of error."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        metrics.API_REQUESTS.labels(verb, "unreachable").inc()
        raise ApiError(0, "Unreachable", f"{verb} {path}: {str(error) or type(error).__name__}") from error


def _is_in_pod(found: Configuration) -> bool:
    """Whether this is a pod, whose API server is taken then."""
    try:
        config.load_incluster_config(client_configuration=found)
    except config.ConfigException:
        return False
    return True


def _proxy_to(url: str) -> str | None:
    """The proxy that the environment names for an address."""
    address = urlsplit(url)
    return None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)


def _path(manifest: JsonObject, named: bool = True) -> str:
    described = manifest["metadata"]
    resource = BY_KIND[manifest["kind"]]
    return resource.path(described["namespace"], described["name"] if named else "")
