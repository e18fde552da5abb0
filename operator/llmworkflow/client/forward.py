"""A port of a pod on this machine, as `kubectl port-forward` makes it."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from llmworkflow.api.fields import JsonObject
from llmworkflow.client.api import Api
from llmworkflow.client.errors import ClientError
from llmworkflow.kube.resources import POD, SERVICE

HOST = "127.0.0.1"
CHANNELS = "v4.channel.k8s.io"
_CHUNK = 65536
_DATA = 0  # the channel; the other one is for errors


@contextmanager
def forwarded(api: Api, namespace: str, pod: str, port: int) -> Iterator[str]:
    """An address on this machine that leads to a port of a pod, until the block ends.

    Raises:
        ClientError: the API server does not lead there.
    """
    path = POD.path(namespace, pod, "portforward")
    # what keeps it from working is told at once, and not by a connection that breaks
    _open(api, path, port).shutdown()
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=_accept, args=(listener, api, path, port), daemon=True).start()
        yield f"http://{HOST}:{listener.getsockname()[1]}"


@contextmanager
def reached(api: Api, namespace: str, url: str) -> Iterator[str]:
    """An address on this machine that leads to one of the ready pods behind the URL of a Service.

    Raises:
        ClientError: there is no such Service, or no pod of it is ready.
    """
    address = urlsplit(url)
    name, port = (address.hostname or "").split(".")[0], address.port or 80
    service = api.get(SERVICE.path(namespace, name))
    if service is None:
        raise ClientError(f"service {namespace}/{name} is not there: see `llmworkflow status`")
    selector = ",".join(f"{label}={text}" for label, text in service["spec"]["selector"].items())
    ready = [pod for pod in api.items(POD, namespace, labelSelector=selector) if _is_ready(pod)]
    if not ready:
        raise ClientError(f"no pod behind service {namespace}/{name} is ready: see `llmworkflow status`")
    targets = {entry["port"]: entry.get("targetPort") for entry in service["spec"]["ports"]}
    target = targets.get(port)
    with forwarded(
        api, namespace, ready[0]["metadata"]["name"], target if isinstance(target, int) else port
    ) as near:
        yield near


def _is_ready(pod: JsonObject) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _open(api: Api, path: str, port: int) -> Any:
    return api.stream(f"{path}?{urlencode({'ports': port})}", CHANNELS)


def _accept(listener: socket.socket, api: Api, path: str, port: int) -> None:
    """One stream to the pod for each connection, until the listener is closed."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_join, args=(client, api, path, port), daemon=True).start()


def _join(client: socket.socket, api: Api, path: str, port: int) -> None:
    """Hand on what either side says, until one of them ends; the client sees a connection that ends."""
    from websocket import WebSocketException

    with client, suppress(OSError, ClientError, WebSocketException):
        stream = _open(api, path, port)
        try:
            _exchange(client, stream)
        finally:
            stream.shutdown()


def _exchange(client: socket.socket, stream: Any) -> None:
    announced = set[int]()
    while True:
        # what was decrypted already makes no socket readable
        waits = not getattr(stream.sock, "pending", int)()
        ready = select.select([client, stream.sock], [], [])[0] if waits else [stream.sock]
        if client in ready:
            chunk = client.recv(_CHUNK)
            if not chunk:
                return
            stream.send_binary(bytes([_DATA]) + chunk)
        if stream.sock in ready:
            frame = stream.recv()
            if not isinstance(frame, bytes) or not frame:
                return
            channel, content = frame[0], frame[1:]
            if channel not in announced:  # its first frame is the number of the port
                announced.add(channel)
            elif channel == _DATA:
                client.sendall(content)
            else:
                return  # nothing listens on the port, or not any more
