"""Which adapter a row of a batch names."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow_jobs.batch_adapters import assign
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.rows import Request

ADAPTERS = ["games", "films"]


def requests(*rows: dict[str, Any]) -> list[Request]:
    return [
        Request(index, row, [{"role": "user", "content": "hello"}], [1]) for index, row in enumerate(rows)
    ]


def test_every_row_gets_the_adapter_that_it_names() -> None:
    rows = requests({"which": "films"}, {"which": "games"}, {"which": ""}, {"which": None}, {})
    assigned = assign(rows, "which", ADAPTERS, "fail")
    assert [request.adapter for request in assigned] == ["films", "games", None, None, None]
    assert all(request.error is None and request.token_ids for request in assigned)


@pytest.mark.parametrize("name", ["film", "Games", 7])
def test_a_row_that_names_another_is_an_error_of_this_row(name: Any) -> None:
    good, bad = assign(requests({"which": "games"}, {"which": name}), "which", ADAPTERS, "continue")
    assert (good.adapter, good.error) == ("games", None)
    assert bad.error == f"column which names the adapter {name!r}, there are games, films"
    assert (bad.adapter, bad.token_ids) == (None, [])


def test_such_a_row_ends_a_batch_that_takes_no_errors() -> None:
    with pytest.raises(JobError, match="row 1: column which names the adapter 'film'") as caught:
        assign(requests({"which": "games"}, {"which": "film"}), "which", ADAPTERS, "fail")
    assert caught.value.reason == "DataInvalid"
    with pytest.raises(JobError, match="row 0: column which names the adapter 'film'"):
        assign(requests({"which": "film"}), "which", ADAPTERS, "continue")


def test_a_column_that_no_row_has_is_misspelt() -> None:
    with pytest.raises(JobError, match="no row has the column witch") as caught:
        assign(requests({"which": "games"}), "witch", ADAPTERS, "continue")
    assert caught.value.reason == "ColumnMissing"
