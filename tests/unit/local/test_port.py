"""One run has a port at a time, also while nothing listens there yet."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from llmworkflow.local.errors import LocalError
from llmworkflow.local.machine import HOST, free_port
from llmworkflow.local.port import Port

HOLDER = """
import sys, time
from llmworkflow.local.port import Port
port = Port(int(sys.argv[1]))
port.take()
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
def port() -> Iterator[Port]:
    with closing(Port(free_port())) as port:
        yield port


def test_a_second_run_is_refused_before_the_first_one_listens(port: Port) -> None:
    port.take()
    port.take()
    other = Port(port.number)
    with pytest.raises(LocalError, match=f"port {port.number} on {HOST} is in use by another run.*--port"):
        other.take()
    port.close()
    other.take()
    other.close()


def test_a_killed_run_lets_go_of_its_port(port: Port) -> None:
    command = [sys.executable, "-c", HOLDER, str(port.number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "taken\n"
        with pytest.raises(LocalError, match="another run"):
            port.take()
        holder.kill()
    port.take()


def test_a_port_on_which_another_process_listens_is_refused_until_it_ends(port: Port) -> None:
    with socket.socket() as other:
        other.bind((HOST, port.number))
        other.listen()
        with pytest.raises(LocalError, match=f"port {port.number} .* in use by process"):
            port.take()
    port.take()
