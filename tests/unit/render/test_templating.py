"""Values in templates and in YAML: whatever the text, every reader gets that very text."""

from __future__ import annotations

import json
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow.api.yaml_reader import read_documents
from llmworkflow.render.templating import _environment, _render, as_json, render_template, to_yaml

TEXTS = st.text() | st.sampled_from(
    ["1e4", "0o17", "012", "yes", "No", "on", "~", "null", "12:30:45", "2026-01-01", "1_000", "0x1F", ".5", "-", "?",
     "=", "<<", "- a", "a: b", "a #b", "{{ x }}", "$(x)", "|", ">", "'", '"', "\\", "a\n b\n", "\n", "\t", " a ",
     "\u2028", "\x85", "\ufeff", "\x7f", "\U0001f600", "\\ud83d\\ude00"]
)  # fmt: skip
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_a_value_in_a_template_is_that_value(value: Any) -> None:
    template = _environment.from_string("a: {{ value }}\nb:\n- {{ value }}\n")
    assert _render(template, {"value": value}) == {"a": value, "b": [value]}


@given(st.lists(st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS), max_size=3), min_size=1, max_size=3))
def test_printed_yaml_reads_the_same_for_python_and_kubectl(documents: list[Any]) -> None:
    text = to_yaml(documents)
    assert list(yaml.safe_load_all(text)) == documents
    assert [document.value for document in read_documents(text)] == documents


@given(VALUES)
def test_json_for_kuberay_is_yaml_for_kubectl(value: Any) -> None:
    (document,) = read_documents(f"value: {as_json(value)}")
    assert document.value == {"value": value}


@given(VALUES)
def test_json_of_plain_text_is_json(value: Any) -> None:
    text = as_json(value, indent=1)
    if "\\U" not in text:
        assert json.loads(text) == value


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json(float("nan"))
    with pytest.raises(ValueError, match="nan is not a value of JSON"):
        render_template("report", metadata={"a": float("nan")})


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'metadata' is undefined"):
        render_template("report")


def test_texts_of_several_lines_are_blocks() -> None:
    assert to_yaml([{"a": "b\nc\n"}]) == "---\na: |\n  b\n  c\n"
