"""What the API server asks of a kubelet, by a fake: ports of pods, which all lead to the fake dashboards."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from llmworkflow.local.machine import HOST

from .certificates import write_certificate

CHANNELS = Subprotocol("v4.channel.k8s.io")
DATA, ERROR = b"\x00", b"\x01"
_PATH = re.compile(r"/portForward/(?P<namespace>[^/]+)/(?P<pod>[^/]+)")
_CHUNK = 65536

AddressOf = Callable[[str, str], str]


class FakeKubeletServer:
    """Serves TLS on loopback, as the kubelets of all nodes.

    Each stream has one request: its line is made one for a proxy, so that the dashboards know which pod is meant.
    """

    def __init__(self, folder: Path, dashboards: str, address_of: AddressOf) -> None:
        self._address_of = address_of
        self._dashboards = (urlsplit(dashboards).hostname, urlsplit(dashboards).port)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(write_certificate(folder))
        self._server = serve(
            self._forward, HOST, 0, ssl=context, subprotocols=[CHANNELS], compression=None, ping_interval=None
        )
        self.port: int = self._server.socket.getsockname()[1]

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, name="fake-kubelet-server", daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()

    def _forward(self, stream: ServerConnection) -> None:
        assert stream.request is not None, "the handshake is over"
        asked = urlsplit(stream.request.path)
        match = _PATH.fullmatch(asked.path)
        assert match, f"the fake kubelet only forwards ports: {asked.path}"
        port = int(parse_qs(asked.query)["port"][0])
        for channel in (DATA, ERROR):
            stream.send(channel + port.to_bytes(2, "little"))
        with socket.create_connection(self._dashboards) as dashboard:
            back = threading.Thread(target=_back, args=(dashboard, stream), daemon=True)
            back.start()
            address = self._address_of(match["namespace"], match["pod"])
            with suppress(ConnectionClosed):
                first = _content(stream.recv())
                verb, _, rest = first.partition(b" ")
                dashboard.sendall(verb + f" http://{address}:{port}".encode() + rest)
                while content := _content(stream.recv()):
                    dashboard.sendall(content)
            dashboard.shutdown(socket.SHUT_RDWR)
            back.join()


def _content(frame: str | bytes) -> bytes:
    assert isinstance(frame, bytes), "channels are binary"
    return frame[1:]


def _back(dashboard: socket.socket, stream: ServerConnection) -> None:
    with suppress(OSError, ConnectionClosed):
        while chunk := dashboard.recv(_CHUNK):
            stream.send(DATA + chunk)
    stream.close()
