"""A person's own rows in the demo: split by response, or refused before anything runs."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from llmworkflow.cli.demo import fitted, question_of
from llmworkflow.cli.main import main
from llmworkflow.demo import own_data
from llmworkflow_jobs.prompt import messages_of

ROW = {"instruction": "Say it.", "input": "a", "output": "b"}
TEXT = resources.files("llmworkflow.demo").joinpath("workflow.yaml").read_text()


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_rows_with_the_same_response_stay_together(tmp_path: Path) -> None:
    rows = [{"instruction": f"{number}", "output": f"{number % 30}\u2028é"} for number in range(90)]
    own_data.split(write(tmp_path / "rows.jsonl", *rows), tmp_path / "data")
    parts = {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        for path in (tmp_path / "data").iterdir()
    }
    assert {name: len(part) for name, part in parts.items()} == {"test": 9, "validation": 9, "train": 72}
    responses = [{row["output"] for row in part} for part in parts.values()]
    assert sum(map(len, responses)) == len(set.union(*responses)) == 30
    assert sorted(map(str, rows)) == sorted(str(row) for part in parts.values() for row in part)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "rows.jsonl:2: is no JSON in UTF-8"),
        ("[]", "rows.jsonl:2: is no object"),
        ('{"instruction": "a"}', "rows.jsonl:2: has no output"),
        ('{"instruction": 5, "output": "a"}', "rows.jsonl:2: instruction is no text"),
        ('{"instruction": "a", "output": "a", "input": []}', "rows.jsonl:2: input is no text"),
        (
            "",
            "rows.jsonl: has 1 different outputs, which cannot be shared by train, validation and test; give 3",
        ),
    ],
)
def test_rows_that_are_no_use_are_told_before_anything_runs(tmp_path: Path, line: str, told: str) -> None:
    file = write(tmp_path / "rows.jsonl", ROW)
    file.write_text(f"{file.read_text()}{line}\n")
    with pytest.raises(own_data.DataError) as raised:
        own_data.split(file, tmp_path / "data")
    assert told in str(raised.value)
    assert not (tmp_path / "data").exists()


def test_the_command_ends_with_2(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", ROW | {"output": None})
    ended = CliRunner().invoke(main, ["demo", "--data", str(file), "--volume", str(tmp_path / "volume")])
    assert ended.exit_code == 2
    assert "rows.jsonl:1: output is no text; write a JSON object a line" in ended.output.replace("\n", " ")


def test_what_was_written_for_a_cluster_and_what_comes_next_is_told(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    ended = CliRunner().invoke(main, ["demo", "--model", "hf://org/name", "--volume", str(volume)])
    assert ended.exit_code == 0
    assert ended.output.startswith(f"wrote data to {volume}; ")
    assert "`llmworkflow apply operator/llmworkflow/demo/workflow.yaml`" in ended.output


@pytest.mark.parametrize("extra", [{}, {"input": None}, {"input": ""}, {"input": "a"}])
def test_a_row_is_asked_about_as_in_the_batch(extra: dict[str, str | None]) -> None:
    row = {"instruction": "Say it.", "output": "b", **extra}
    prompt = {"format": "alpaca", "columns": {"instruction": "instruction", "input": "input"}}
    assert messages_of(row, prompt) == [{"role": "user", "content": question_of(row)}]


def test_few_rows_lower_what_the_score_asks_for() -> None:
    assert fitted(TEXT, None, rows=200) == TEXT
    few = yaml.safe_load(fitted(TEXT, None, rows=12))
    expected = yaml.safe_load(TEXT.replace("minRows: 100", "minRows: 12"))
    assert few == expected


def test_a_real_model_has_options_that_suit_it() -> None:
    spec = yaml.safe_load(fitted(TEXT, "hf://org/name", rows=200))["spec"]
    assert spec["model"]["source"] == "hf://org/name"
    tune = next(stage for stage in spec["stages"] if stage["name"] == "tune")
    assert tune["fineTune"]["training"]["precision"] == "bf16"
