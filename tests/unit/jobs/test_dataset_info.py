"""Entries of LLaMA-Factory's dataset_info.json: which file they name, and their rows in the prompt's columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import inputs
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import check_row, messages_of, preferred_of, response_of
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.training_data import load_rows

Config = Callable[..., JobConfig]

VIGGO = {"prompt": "instruction", "query": "input", "response": "output"}
TAGS = {
    "role_tag": "by",
    "content_tag": "text",
    "user_tag": "me",
    "assistant_tag": "it",
    "system_tag": "rule",
}
USER = {"role": "user", "content": "What is it?"}
ANSWER = {"role": "assistant", "content": "A game."}
SYSTEM = {"role": "system", "content": "Be brief."}


def write(folder: Path, entry: dict[str, Any], *rows: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_info.json").write_text(json.dumps({"games": {"file_name": "rows.jsonl", **entry}}))
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def config_for(fine_tune: Config, prompt: dict[str, Any], uri: str = "volume:data") -> JobConfig:
    columns = fine_tune().prompt["columns"] | prompt.pop("columns", {})
    source = {"uri": uri, "format": None, "dataset": "games"}
    return fine_tune(data={"train": [source]}, prompt=prompt | {"columns": columns})


@pytest.fixture
def trained_on(
    fine_tune: Config, report: Report, tmp_path: Path
) -> Callable[..., tuple[JobConfig, list[Any]]]:
    """A function (entry, row, prompt, uri) that returns the configuration and the rows that are read with it."""

    def read(
        entry: dict[str, Any], row: dict[str, Any], prompt: dict[str, Any], uri: str = "volume:data"
    ) -> tuple[JobConfig, list[Any]]:
        write(tmp_path / "data", entry, row)
        config = config_for(fine_tune, dict(prompt), uri)
        return config, load_rows(config, report).train

    return read


@pytest.mark.capability("dataset-info")
@pytest.mark.parametrize(
    ("entry", "row", "prompt", "messages"),
    [
        pytest.param(
            {"formatting": "alpaca", "columns": VIGGO},
            {"instruction": "What is it?", "input": "", "output": "A game."}, {}, [USER],
            id="alpaca, as ViGGO has it",
        ),
        pytest.param(
            {}, {"instruction": "What", "input": "is it?", "output": "A game."}, {},
            [{"role": "user", "content": "What\nis it?"}], id="an entry without columns",
        ),
        pytest.param(
            {"columns": {"prompt": "q", "response": "a"}}, {"q": "What is it?", "input": "unread", "a": "A game."}, {},
            [USER], id="other names; a column that the entry leaves out is not read",
        ),
        pytest.param(
            {"columns": {"prompt": "q", "response": "a"}}, {"q": "What is it?", "a": "A game."},
            {"columns": {"instruction": "task", "output": "done"}}, [USER],
            id="columns that the prompt names otherwise",
        ),
        pytest.param(
            {"columns": {"prompt": "input", "query": "instruction", "response": "output"}},
            {"input": "What", "instruction": "is it?", "output": "A game."}, {},
            [{"role": "user", "content": "What\nis it?"}], id="columns that change places",
        ),
        pytest.param(
            {"columns": VIGGO | {"system": "rule", "history": "before"}},
            {"instruction": "What is it?", "output": "A game.", "rule": "Be brief.",
             "before": [["What is it?", "A game."]]},
            {"columns": {"system": "system", "history": "history"}}, [SYSTEM, USER, ANSWER, USER],
            id="a system message and earlier turns",
        ),
        pytest.param(
            {"formatting": "sharegpt"},
            {"conversations": [{"from": "human", "value": "What is it?"}, {"from": "gpt", "value": "A game."}]},
            {"format": "sharegpt"}, [USER], id="sharegpt",
        ),
        pytest.param(
            {"formatting": "sharegpt", "columns": {"messages": "talk"}, "tags": TAGS},
            {"talk": [{"by": "rule", "text": "Be brief."}, {"by": "me", "text": "What is it?"},
                      {"by": "it", "text": "A game."}]},
            {"format": "messages"}, [SYSTEM, USER], id="sharegpt with tags, for a prompt of messages",
        ),
        pytest.param(
            {"formatting": "openai"}, {"messages": [SYSTEM, USER, ANSWER]}, {"format": "sharegpt"}, [SYSTEM, USER],
            id="openai, for a prompt of sharegpt",
        ),
        pytest.param(
            {"columns": {"prompt": "unused"}}, {"q": "What is it?", "a": "A game."},
            {"format": "custom", "custom": {"system": None, "user": "{{ row.q }}", "response": "{{ row.a }}"}}, [USER],
            id="custom reads the row as it is",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("uri", ["volume:data", "volume:data/dataset_info.json"])
def test_rows_come_in_the_columns_of_the_prompt(
    trained_on: Callable[..., Any], uri: str,
    entry: dict[str, Any], row: dict[str, Any], prompt: dict[str, Any], messages: list[dict[str, str]],
) -> None:  # fmt: skip
    config, (read,) = trained_on(entry, row, prompt, uri)
    check_row(read, config.prompt)
    assert messages_of(read, config.prompt) == messages
    assert response_of(read, config.prompt) == "A game."


@pytest.mark.parametrize("before", ["{folder}/rows.jsonl", "/mnt/cluster_storage/viggo/rows.jsonl"])
def test_a_file_is_found_by_the_path_that_it_has_or_had_on_a_machine(
    trained_on: Callable[..., Any], tmp_path: Path, before: str
) -> None:
    name = before.format(folder=tmp_path / "data")
    _, rows = trained_on({"file_name": name}, {"instruction": "What", "input": "", "output": "A game."}, {})
    assert [row["output"] for row in rows] == ["A game."]


@pytest.mark.parametrize(
    ("entry", "row", "prompt", "reason", "message"),
    [
        ({"formatting": "sharegpt"}, {}, {}, "OptionInvalid",
         "data set games: formatting is sharegpt, while prompt.format is alpaca; .*set prompt.format to sharegpt or"),
        ({}, {}, {"format": "messages"}, "OptionInvalid", "formatting is alpaca, while prompt.format is messages"),
        ({"formatting": "alpacca"}, {}, {}, "DataInvalid", "alpacca is not a formatting .*did you mean alpaca"),
        ({"columns": VIGGO | {"system": "rule"}}, {}, {}, "OptionInvalid",
         "column rule is the system, which the prompt does not read; set prompt.columns.system"),
        ({"columns": {"promt": "q"}}, {}, {}, "DataInvalid", "promt is not a column .*did you mean prompt"),
        ({"ranking": True}, {}, {}, "OptionInvalid", "ranking makes pairs.*objective dpo"),
        ({"hf_hub_url": "a/b"}, {}, {}, "OptionInvalid", "hf_hub_url is not supported; name a file"),
        ({"file_name": "../rows.jsonl"}, {}, {}, "DataInvalid", "file_name is '../rows.jsonl', expected a file below"),
        ({"file_name": "/mnt/games/../rows"}, {}, {}, "FileNotFound", "volume:data/rows does not exist"),
        ({"file_name": "/mnt/games/"}, {}, {}, "DataInvalid", "file_name is '/mnt/games/', expected a file below"),
        ({"file_name": "gone.jsonl"}, {}, {}, "FileNotFound", "volume:data/gone.jsonl does not exist"),
        ({"columns": VIGGO}, {"instruction": "x", "target": "y"}, {}, "ColumnMissing",
         r"rows\.jsonl, line 1, column output: .*the row has instruction, target.*in dataset_info\.json"),
        ({"formatting": "sharegpt", "columns": {"messages": "c", "tools": "t"}}, {"c": [], "t": "[...]"},
         {"format": "sharegpt"}, "DataInvalid", "line 1, column t: tools are not supported"),
        ({"formatting": "sharegpt"},
         {"conversations": [{"from": "human", "value": "x"}, {"from": "tool", "value": "y"}]},
         {"format": "messages"}, "DataInvalid", r"line 1, column messages\[1\]: role is 'tool'"),
    ],
)  # fmt: skip
def test_what_contradicts_the_prompt_is_refused(
    trained_on: Callable[..., Any],
    entry: dict[str, Any], row: dict[str, Any], prompt: dict[str, Any], reason: str, message: str,
) -> None:  # fmt: skip
    with pytest.raises(JobError, match=message) as caught:
        trained_on(entry, row, prompt)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("content", "reason", "message"),
    [
        (None, "FileNotFound", r"volume:data/dataset_info\.json does not exist .*leave dataset out"),
        ("[]", "DataInvalid", "expected an object with one object for each data set"),
        ("{", "DataInvalid", r"dataset_info\.json: not JSON"),
        ('{"gamez": {}}', "OptionInvalid", "games is not a data set of .*did you mean gamez?"),
    ],
)
def test_file_that_is_no_dataset_info_is_refused(
    fine_tune: Config, report: Report, tmp_path: Path, content: str | None, reason: str, message: str
) -> None:
    (tmp_path / "data").mkdir()
    if content is not None:
        (tmp_path / "data" / "dataset_info.json").write_text(content)
    with pytest.raises(JobError, match=message) as caught:
        load_rows(config_for(fine_tune, {}), report)
    assert caught.value.reason == reason


def test_change_of_the_rows_is_a_change_of_the_input(
    fine_tune: Config, report: Report, tmp_path: Path
) -> None:
    row = {"instruction": "x", "output": "y"}
    write(tmp_path / "data", {}, row)
    config = config_for(fine_tune, {})
    load_rows(config, report)
    assert inputs.digests(config).items() >= report.digests.items()
    before = report.digests["volume:data"]
    write(tmp_path / "data", {}, row, row)
    assert inputs.digests(config)["volume:data"] != before
    with pytest.raises(JobError, match="volume:data has changed"):
        load_rows(fine_tune(data=config.section["data"], pinned={"volume:data": before}), report)


@pytest.mark.capability("dataset-info")
@pytest.mark.parametrize(
    ("entry", "row", "layout"),
    [
        (
            {"columns": {"prompt": "q", "chosen": "good", "rejected": "bad"}},
            {"q": "What is it?", "good": "A game.", "bad": "A film."},
            "alpaca",
        ),
        (
            {"formatting": "sharegpt", "columns": {"messages": "turns", "chosen": "good", "rejected": "bad"}},
            {
                "turns": [{"from": "human", "value": "What is it?"}],
                "good": {"from": "gpt", "value": "A game."},
                "bad": {"from": "gpt", "value": "A film."},
            },
            "messages",
        ),
    ],
)
def test_a_ranking_is_read_as_pairs(
    fine_tune: Config, report: Report, tmp_path: Path, entry: Any, row: Any, layout: str
) -> None:
    write(tmp_path / "data", entry | {"ranking": True}, row)
    prompt = fine_tune().prompt | {"format": layout}
    source = {"uri": "volume:data", "format": None, "dataset": "games"}
    config = fine_tune(data={"train": [source]}, prompt=prompt, objective="dpo")
    (read,) = load_rows(config, report).train
    assert messages_of(read, config.prompt) == [USER]
    assert preferred_of(read, config.prompt) == ("A game.", "A film.")
