"""What a machine lacks is named, with how much there is and what to do."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from llmworkflow.local import machine
from llmworkflow.local.errors import LocalError


def test_a_port_in_use_is_named_with_its_owner() -> None:
    with socket.socket() as other:
        other.bind((machine.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(LocalError, match=f"port {port} .* in use by process {os.getpid()} .*--port"):
            machine.check_port(port)


def test_a_free_port_is_accepted() -> None:
    machine.check_port(machine.free_port())


@pytest.mark.parametrize(
    ("limit", "told"),
    [("MIN_MEMORY_BYTES", "of memory are free"), ("MIN_DISK_BYTES", "of disk are free")],
)
def test_what_is_short_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, told: str
) -> None:
    machine.check_machine(tmp_path)
    monkeypatch.setattr(machine, limit, 2**60)
    with pytest.raises(LocalError, match=f"{told}.*are needed"):
        machine.check_machine(tmp_path)


def test_no_proxy_stands_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"no_proxy": "example.org"})
    machine.bypass_proxies()
    machine.bypass_proxies()
    assert os.environ["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert os.environ["NO_PROXY"] == "127.0.0.1,localhost"
