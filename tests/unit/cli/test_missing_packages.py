"""Where the packages of local runs are not installed, people are told what installs them."""

from __future__ import annotations

import pytest

from llmworkflow.cli.errors import FAILED, ends_well
from llmworkflow.client import machine_doctor
from llmworkflow.client.doctor import Health


def test_a_command_says_which_module_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    @ends_well
    def command() -> None:
        import no_such_module  # noqa: F401

    with pytest.raises(SystemExit) as caught:
        command()
    assert caught.value.code == FAILED
    assert "no module no_such_module: run `make setup`" in capsys.readouterr().err


def test_the_doctor_says_which_packages_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_doctor, "_NEEDED", ("no-such-package",))
    (finding,) = machine_doctor.examine()
    assert (finding.health, finding.told) == (Health.BAD, "no no-such-package")
    assert "make setup" in finding.remedy
