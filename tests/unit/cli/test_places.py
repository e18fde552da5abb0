"""What commands say of the place where they work, where it has nothing for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmworkflow.cli.main import main

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (
            ["apply", "workflow.yaml"],
            "$KUBECONFIG to that of a cluster; on this machine, `llmworkflow run FILE --local`",
        ),
        (["events", "demo"], "on this machine, `llmworkflow logs NAME`"),
        (["status", "--context", "nope"], "no kubeconfig, and so no context nope: set $KUBECONFIG"),
        (["status", "--context", "nope"], "without --context this machine is meant"),
    ],
)
def test_without_a_cluster_the_command_for_this_machine_is_told(
    run: Run, command: list[str], told: str
) -> None:
    ended = run(*command)
    assert (ended.exit_code, told in ended.stderr) == (1, True), ended.output


@pytest.mark.parametrize(
    ("options", "place"), [([], "on this machine"), (["-n", "team"], "in namespace team of this machine")]
)
def test_where_there_is_no_workflow_is_told(run: Run, options: list[str], place: str) -> None:
    assert run("status", *options).stderr == f"there is no workflow {place}\n"
    assert f"there is no workflow {place}" in run("report", *options).stderr
