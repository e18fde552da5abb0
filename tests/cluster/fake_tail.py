"""The end of a job's log as it grows, over a WebSocket, as Ray's dashboard has it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

from .fake_job import FakeJob

POLL_SECONDS = 0.1


def pieces(job: FakeJob) -> Iterator[str]:
    """What a job has printed and prints, until it ends."""
    told = 0
    while True:
        over = job.over
        text = job.log
        if len(text) > told:
            yield text[told:]
            told = len(text)
        if over:
            return
        time.sleep(POLL_SECONDS)


def send(request: BaseHTTPRequestHandler, job: FakeJob) -> None:
    """Answer a request with the log."""
    request.send_response(101)
    request.send_header("Upgrade", "websocket")
    request.send_header("Connection", "Upgrade")
    request.send_header("Sec-WebSocket-Accept", accept_key(request.headers["Sec-WebSocket-Key"]))
    request.end_headers()
    for piece in pieces(job):
        request.wfile.write(Frame(Opcode.TEXT, piece.encode()).serialize(mask=False))
    request.close_connection = True
