"""What `status` prints, and how it is followed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
import yaml
from click.testing import Result

from llmworkflow.cli import status
from llmworkflow.local.home import WorkflowHome

Run = Callable[..., Result]


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_status_prints_the_resource(run: Run, home: WorkflowHome, output: str) -> None:
    ended = run("status", "my-workflow", "-o", output)
    content = json.loads(ended.output) if output == "json" else yaml.safe_load(ended.output)
    assert content["kind"] == "LLMWorkflow"
    assert content["metadata"]["name"] == "my-workflow"
    assert content["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "my-workflow"),
        (("my-workflow",), "tune: Running"),
        (("my-workflow", "-o", "wide"), "exactMatch 0.93"),
    ],
)
def test_status_is_followed_until_ctrl_c(
    run: Run, home: WorkflowHome, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], told: str
) -> None:
    left = [home.status(), home.status().model_copy(update={"phase": "Serving"})]

    def sleep(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        home.save_status(left.pop(0))

    monkeypatch.setattr(status, "time", SimpleNamespace(sleep=sleep))
    ended = run("status", "--watch", *options)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert told in ended.stdout
    assert ended.stdout.count("NAMESPACE") == (2 if "tune:" not in told else 0), (
        "once more, as it changed once"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [(("x", "-A"), "x is in one namespace"), (("-w", "-o", "json"), "leave out --output json")],
)
def test_what_status_cannot_show_is_refused(run: Run, options: Sequence[str], told: str) -> None:
    ended = run("status", *options)
    assert ended.exit_code == 2
    assert told in ended.stderr


def test_status_lists_all_workflows(run: Run, home: WorkflowHome) -> None:
    ended = run("status")
    assert "my-workflow" in ended.output
    assert "exactMatch 0.93" in ended.output
    assert re.search(r" \d+s *$", ended.output), "its age"
    assert run("status", "-o", "name").output.strip() == "llmworkflow.llmworkflow.io/my-workflow"
