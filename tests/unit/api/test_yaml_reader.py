"""YAML as kubectl reads it: the expected values are those of `kubectl label --local -o json` for the same text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmworkflow.api.problems import InvalidWorkflow
from llmworkflow.api.yaml_reader import read_documents
from llmworkflow.api.yaml_writer import to_yaml

SCALARS = [
    ("1e-4", 0.0001), ("1.0e-4", 0.0001), ("1e5", 100000), ("1.5e+3", 1500), ("1E3", 1000), (".5", 0.5), ("5.", 5),
    ("-.5", -0.5), ("+1", 1), ("0x1f", 31), ("0o17", 15), ("017", 15), ("0b11", 3), ("1_000", 1000), ("1_0.5", 10.5),
    ("08", 8), ("09.5", 9.5), ("+.5", 0.5), ("1__0", 10), ("0.0", 0), ("-0", 0),
    ("y", True), ("Y", True), ("n", False), ("yes", True), ("no", False), ("on", True), ("off", False), ("On", True),
    ("TRUE", True), ("False", False), ("tRUE", "tRUE"),
    ("~", None), ("null", None), ("Null", None), ("NULL", None), ("", None), ("nULL", "nULL"),
    ("1:30", "1:30"), ("12:30:45", "12:30:45"), ("2024-01-01", "2024-01-01"),
    ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"), ("=", "="), ("1e", "1e"), ("e5", "e5"), ("0x", "0x"),
    ("_1", "_1"), ("1e400", "1e400"), ("'1e-4'", "1e-4"), ('"yes"', "yes"), ("!!str 1", "1"), ('!!int "1"', 1),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SCALARS)
def test_scalar(text: str, expected: Any) -> None:
    value = read_documents(f"a: {text}")[0].value["a"]
    assert (value, type(value)) == (expected, type(expected))


def test_keys_are_text() -> None:
    assert read_documents("{1: a, 1.5: b, yes: c}")[0].value == {"1": "a", "1.5": "b", "true": "c"}


def test_merged_keys_give_way_to_own_ones() -> None:
    text = "a: &a {b: 1, c: 2}\nd: {<<: *a, b: 3}"
    assert read_documents(text)[0].value["d"] == {"b": 3, "c": 2}


def test_empty_documents_are_passed_over() -> None:
    assert [document.value for document in read_documents("---\na: 1\n---\n# nothing\n---\nb: 2\n")] == [
        {"a": 1},
        {"b": 2},
    ]


SYNTAX_ERRORS = [
    ("a: 1\nb: 2\na: 3", "line 3: not readable as YAML: the key a was given on line 1 already (column 1)"),
    ("{a: 1, a: 2}", "line 1: not readable as YAML: the key a was given on line 1 already (column 8)"),
    ("{yes: 1, true: 2}", "line 1: not readable as YAML: the key true was given on line 1 already (column 10)"),
    ("a:\n- b\nc", "line 3: not readable as YAML: could not find expected ':' (column 2)"),
    ("a: 1\nb: {\n", "line 3: not readable as YAML: expected the node content, but found '<stream end>' (column 1)"),
    ("a: b: c", "line 1: not readable as YAML: mapping values are not allowed here (column 5)"),
    ("a:\n\tb: 1", "line 2: not readable as YAML: found character '\\t' that cannot start any token (column 1)"),
    ("a: .inf", "line 1: not readable as YAML: .inf is no number that Kubernetes can hold (column 4)"),
    ("a: .nan", "line 1: not readable as YAML: .nan is no number that Kubernetes can hold (column 4)"),
    ("a: !foo x", "line 1: not readable as YAML: could not determine a constructor for the tag '!foo' (column 4)"),
    ("~: 1", "line 1: not readable as YAML: a key must be text (column 1)"),
    ("a: 1\nb: \x7f", "line 2: not readable as YAML: special characters are not allowed"),
    ("a: &x {b: *x}", "not readable as YAML: Circular reference detected"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), SYNTAX_ERRORS)
def test_syntax_error(text: str, message: str) -> None:
    with pytest.raises(InvalidWorkflow) as raised:
        read_documents(text)
    assert str(raised.value) == message


LINES = """\
a: 1
b:
- c: 2

- d:
    e: 3
f: &f {g: 4}
h:
  <<: *f
  i: 5
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1), (("a",), 1), (("b",), 2), (("b", 0, "c"), 3), (("b", 1, "d", "e"), 6), (("h", "i"), 10),
        (("h", "g"), 7),  # where the merged key stands
        (("b", 1, "d", "absent", "more"), 5), (("b", 7), 2), (("absent",), 1),
    ],
)  # fmt: skip
def test_line(path: tuple[str | int, ...], line: int) -> None:
    assert read_documents(LINES)[0].line_of(path) == line


WORDS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS | st.floats(-1e6, 1e6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(value=st.dictionaries(WORDS, JSON_VALUES, min_size=1, max_size=3))
def test_json_is_yaml(value: dict[str, Any]) -> None:
    assert read_documents(json.dumps(value, ensure_ascii=False))[0].value == value


@settings(deadline=None)
@given(value=st.dictionaries(WORDS, JSON_VALUES, min_size=1, max_size=3))
def test_what_is_written_is_read(value: dict[str, Any]) -> None:
    assert [document.value for document in read_documents(to_yaml(value, value))] == [value, value]


@pytest.mark.parametrize(
    "text", ["n", "yes", "1e3", "017", "1_000", "null", "", "2024-01-01", "1:30", "=", "~"]
)
def test_text_stays_text(text: str) -> None:
    assert read_documents(to_yaml({text: text}))[0].value == {text: text}
