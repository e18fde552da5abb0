"""What a machine lacks for real pods is found, and installed or at least said."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import packages


def test_a_package_is_missing_where_its_program_or_its_file_is(tmp_path: Path) -> None:
    there, absent = tmp_path / "there", tmp_path / "absent"
    there.touch()
    wanted = {
        "bash": "bash",
        str(there): "there",
        str(absent): "absent",
        "no-such-program": "no-such-package",
    }
    assert packages.missing(wanted) == ["absent", "no-such-package"]


def test_who_may_not_install_is_told_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, script in (("id", "echo 1000"), ("sudo", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(AssertionError, match="run as root, then run this again: apt-get install absent"):
        packages.need({str(tmp_path / "absent"): "absent"})
