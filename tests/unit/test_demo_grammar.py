"""The demo's data: the same every time, unambiguous, and honest about what is held out."""

import json
import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow.demo import grammar
from llmworkflow.demo.grammar import Meaning, Row

Parts = dict[str, list[Row]]
# A clause ends at a comma, a full stop, a question mark or an "and" that does not go on with another platform.
CLAUSE_END = r"(?=[,.?]| and (?!PC|PlayStation|Xbox|Switch))"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    grammar.write_dataset(folder)
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in folder.iterdir()
    }


def names(rows: list[Row]) -> set[str]:
    return {re.findall(r"\(name\[(.+?)\]", row["output"])[0] for row in rows}


def attribute_combinations(rows: list[Row]) -> set[tuple[str, ...]]:
    return {tuple(re.findall(r"(\w+)\[", row["output"])[1:]) for row in rows}


def test_every_part_has_its_rows_in_the_shape_of_alpaca(parts: Parts) -> None:
    assert {name: len(rows) for name, rows in parts.items()} == {
        "train": 1000,
        "validation": 100,
        "test": 200,
    }
    for row in (row for rows in parts.values() for row in rows):
        assert list(row) == ["instruction", "input", "output"]
        assert row["instruction"] == grammar.INSTRUCTION
        assert re.fullmatch(r"\w+\(name\[[^]]+\](, \w+\[[^]]+\]){1,3}\)", row["output"])


def test_the_files_are_the_same_every_time(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        grammar.write_dataset(tmp_path / folder)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_no_prompt_occurs_twice(parts: Parts) -> None:
    prompts = Counter(row["input"] for rows in parts.values() for row in rows)
    assert prompts.most_common(1)[0][1] == 1


def test_fine_tuning_sees_no_name_and_no_combination_of_the_test(parts: Parts) -> None:
    seen = parts["train"] + parts["validation"]
    assert names(seen).isdisjoint(names(parts["test"]))
    assert attribute_combinations(seen).isdisjoint(attribute_combinations(parts["test"]))


def test_pretraining_sees_no_combination_of_the_test_but_all_names() -> None:
    assert set(grammar.PRETRAINING.combinations).isdisjoint(grammar.HELD_OUT.combinations)
    assert set(grammar.PRETRAINING.names) == {*grammar.TUNING.names, *grammar.HELD_OUT.names}


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_every_act_and_attribute_occurs(parts: Parts, part: str) -> None:
    outputs = [row["output"] for row in parts[part]]
    assert {output.split("(")[0] for output in outputs} == set(grammar.ACTS)
    assert {key for chosen in attribute_combinations(parts[part]) for key in chosen} == set(
        grammar.ATTRIBUTES
    )


def test_a_clause_has_one_value_and_a_template_one_act() -> None:
    clauses = Counter(
        clause
        for values in grammar.ATTRIBUTES.values()
        for expressions in values.values()
        for clause in expressions
    )
    templates = Counter(template for templates in grammar.ACTS.values() for template in templates)
    assert {*clauses.values(), *templates.values()} == {1}


def test_a_meaning_is_written_as_in_viggo() -> None:
    meaning = Meaning(
        "confirm", (("name", "Iron Harbor"), ("release_year", "2009"), ("platforms", "PC, Xbox"))
    )
    assert str(meaning) == "confirm(name[Iron Harbor], release_year[2009], platforms[PC, Xbox])"


@given(st.integers(min_value=0))
def test_a_sentence_says_its_whole_meaning_and_nothing_else(seed: int) -> None:
    sentence, meaning = grammar.PRETRAINING.draw(Random(seed))
    (_, name), *attributes = meaning.attributes
    said = {
        (key, value)
        for key, values in grammar.ATTRIBUTES.items()
        for value, expressions in values.items()
        for clause in expressions
        if re.search(re.escape(clause) + CLAUSE_END, sentence)
    }
    assert name in sentence
    assert said == set(attributes)
