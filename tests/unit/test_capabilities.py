"""The page of what workflows can do claims nothing that no test shows, and names nothing that is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import capabilities

from llmworkflow.generate import ROOT

SHOWN = """
import pytest
raise SystemExit("a test is read, and not run")

@pytest.mark.timeout(60)
@pytest.mark.capability("fly", "swim")
async def test_a_bird_in_the_air() -> None: ...
"""


def table(**fields: Any) -> dict[str, Any]:
    """A table with one capability."""
    one = {"name": "fly", "says": "Fly", "read": ["README.md"], **fields}
    return {
        "can": [{"area": "Birds", "capabilities": [one]}],
        "cannot": [{"says": "Sing", "instead": "listen"}],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one marked test."""
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "tests" / "unit" / "test_birds.py").write_text(SHOWN)
    (tmp_path / "README.md").touch()
    return tmp_path


def test_tests_are_found_by_their_markers(root: Path) -> None:
    test = "tests/unit/test_birds.py::test_a_bird_in_the_air"
    assert capabilities.marked(root) == {"fly": [test], "swim": [test]}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, []),
        ({"fields": ["batch.task=embed", "storage.retention.keepRevisions", "serve.models.lora"]}, []),
        ({"fields": ["batch.task=fly"]}, ["fly: the models have no batch.task=fly"]),
        ({"fields": ["batch.wings.left"]}, ["fly: the models have no batch.wings.left"]),
        ({"read": ["docs/birds.md#wings"]}, ["fly: there is no docs/birds.md#wings"]),
        ({"commands": ["soar"]}, ["fly: there is no command soar"]),
    ],
)
def test_what_is_not_there_is_told(root: Path, fields: dict[str, Any], told: list[str]) -> None:
    assert list(capabilities.problems(table(**fields), {"fly": ["a.py::test_a"]}, root)) == told


def test_what_no_test_shows_is_told(root: Path) -> None:
    (told,) = capabilities.problems(table(), {}, root)
    assert told == "no test shows fly: mark one, or take it out"


def test_a_marker_without_an_entry_is_told(root: Path) -> None:
    (told,) = capabilities.problems(table(), capabilities.marked(root), root)
    assert (
        told
        == "tests/unit/test_birds.py::test_a_bird_in_the_air shows swim, which tests/capabilities.yaml lacks"
    )


def test_the_page_links_to_field_document_and_test(root: Path) -> None:
    both = table(fields=["batch.task=embed"], but="not far")
    both["can"][0]["capabilities"].append({"name": "swim", "says": "Swim", "read": ["docs/a.md#deep-water"]})
    (root / "docs").mkdir()
    (root / "docs" / "a.md").touch()
    (root / capabilities.TABLE).write_text(yaml.safe_dump(both))
    assert capabilities.page(root).partition("## Birds\n")[2].splitlines() == [
        "",
        "**Fly**",
        "- set: [`batch.task: embed`](reference.md#batch)",
        "- read: [README](../README.md)",
        "- but: not far",
        "- unit: [a bird in the air](../tests/unit/test_birds.py)",
        "",
        "**Swim**",
        "- read: [deep water](a.md#deep-water)",
        "- unit: [a bird in the air](../tests/unit/test_birds.py)",
        "",
        "## What they cannot",
        "",
        "- Sing. Instead: listen.",
    ]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / capabilities.PAGE).read_text() == capabilities.page(), f"run `{capabilities.COMMAND}`"


def test_check_says_what_is_wrong(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / capabilities.TABLE).write_text(yaml.safe_dump(table()))
    monkeypatch.setattr(capabilities, "page", lambda page=capabilities.page: page(root))
    assert capabilities.main(["--check"]) == 1
    assert "shows swim" in capsys.readouterr().err
