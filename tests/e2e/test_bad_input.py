"""Bad input: a message that names field, value and remedy, the right exit code, and no traceback."""

import json
import shutil
import socket
from copy import deepcopy
from typing import Any

import pytest

from .harness import Command, Workflow, stage_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("stage", "change", "told"),
    [
        ("tune", {"fineTune": {"learningrate": 1}}, ["learningrate", "unknown field"]),
        (
            "base",
            {"fineTune": {"data": {"train": [{"uri": "volume:a.jsonl"}]}}},
            ["batch", "fineTune", "exactly one"],
        ),
        (
            "base",
            {"batch": {"input": {"uri": "volume:a"}, "evaluate": {"metrics": ["exactMach"]}}},
            ["exactMach", "exactMatch"],
        ),
    ],
    ids=["misspelt field", "two kinds in one stage", "unknown metric"],
)
def test_a_bad_file_is_refused(
    command: Command, demo_workflow: Workflow, stage: str, change: dict[str, Any], told: list[str]
) -> None:
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = "refused"
    stage_of(workflow, stage).update(change)

    ended = command.run(workflow)

    assert ended.returncode == 2
    assert "Traceback" not in ended.stdout
    for word in told:
        assert word in ended.stdout


def test_a_missing_file_is_named(command: Command) -> None:
    ended = command("run", "nowhere.yaml", "--local")
    assert ended.returncode == 2
    assert "nowhere.yaml" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_a_port_in_use_is_named(command: Command, demo_workflow: Workflow) -> None:
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = "port"
    with socket.socket() as other:
        other.bind(("127.0.0.1", command.port))
        other.listen()
        ended = command.run(workflow)
    assert ended.returncode == 1
    assert f"port {command.port} on 127.0.0.1 is in use" in ended.stdout
    assert "--port" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_bad_data_and_models_fail_their_stages(command: Command, demo_workflow: Workflow) -> None:
    data = command.volume / "bad"
    data.mkdir()
    rows = (command.volume / "data" / "test.jsonl").read_text().splitlines()
    (data / "broken.jsonl").write_text("\n".join([*rows[:6], '{"instruction": "cut off', *rows[6:9]]))
    (data / "empty.jsonl").write_text("")
    (data / "column.jsonl").write_text(json.dumps({"task": "a", "input": "b", "output": "c"}) + "\n")
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = "bad"
    told = {
        "missing": ("FileNotFound", "volume:bad/missing.jsonl"),
        "broken": ("DataInvalid", "bad/broken.jsonl", "line 7"),
        "empty": ("DataEmpty", "volume:bad/empty.jsonl"),
        "column": ("ColumnMissing", "bad/column.jsonl", "column instruction"),
    }
    workflow["spec"]["stages"] = [
        {"name": name, "dependsOn": [], "batch": {"input": {"uri": f"volume:bad/{name}.jsonl"}}}
        for name in told
    ]

    ended = command.run(workflow)

    assert ended.returncode == 1
    for name, words in told.items():
        stage = command.stages("bad")[name]
        assert (stage["state"], stage["attempt"]) == ("Failed", 1)
        for word in words:
            assert word in f"{stage['reason']} {stage['message']}"


def test_a_model_without_config_is_named(command: Command, demo_workflow: Workflow) -> None:
    shutil.copytree(command.volume / "models" / "tiny", command.volume / "models" / "half")
    (command.volume / "models" / "half" / "config.json").unlink()
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = "half"
    workflow["spec"]["model"]["source"] = "volume:models/half"
    workflow["spec"]["stages"] = [stage_of(workflow, "base")]

    ended = command.run(workflow)

    assert ended.returncode == 1
    stage = command.stages("half")["base"]
    assert "ModelInvalid" in f"{stage['reason']} {stage['message']}"
    assert "config.json" in stage["message"]
    assert "volume:models/half" in stage["message"]
