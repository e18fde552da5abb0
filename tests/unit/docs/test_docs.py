"""What documents tell people to open, type and apply is there."""

from __future__ import annotations

import json
import re
from typing import Any

import click
import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.pods.commands import APPLY, INSTALL, UNINSTALL, UPGRADE

from llmworkflow.api.fields import fields_of
from llmworkflow.api.load import load_valid_workflow
from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.problems import InvalidWorkflow
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import API_VERSION, KIND, WorkflowSpec
from llmworkflow.cli.main import COMMANDS, main

from .documents import DOCUMENTS, ROOT, anchors, commands, fences, links

TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
VALUES = json.loads((ROOT / "charts/llmworkflow/values.schema.json").read_text())
# What a workflow has at least.
SPEC: dict[str, Any] = {
    "model": {"source": "volume:x"},
    "storage": {"volume": {"claimName": "x"}},
    "stages": [{"name": "x", "batch": {"input": {"uri": "volume:x"}}}],
}
SHELL_TOOLS = {"helm", "kubectl", "pytest", "python"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for link in links(name):
        path, _, anchor = link.partition("#")
        if ":" in path:
            assert path.startswith("https://"), f"{name}: {link}"
            continue
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in anchors(target.resolve().relative_to(ROOT).as_posix()), f"{name}: {link}"


@pytest.mark.parametrize("command", [INSTALL, UPGRADE, UNINSTALL, APPLY])
def test_documents_say_what_is_tried_with_pods(command: str) -> None:
    assert any(command in (ROOT / name).read_text() for name in DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_are_understood(name: str) -> None:
    for words in commands(name):
        if words[0] == "llmworkflow" and len(words) > 1 and "<" not in words[1]:
            understood(words[1:], f"{name}: {' '.join(words)}")


def understood(words: list[str], where: str) -> None:
    """Whether the command has this subcommand, with these options."""
    assert words[0] in COMMANDS or words[0].startswith("-"), where
    if words[0] in COMMANDS:
        command = main.get_command(click.Context(main), words[0])
        assert command is not None, where
        options = {
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        }
        given = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
        assert given <= {*options, "-h", "--help"}, where


def test_the_readme_talks_to_the_workflow_that_init_writes() -> None:
    starter = yaml.safe_load((ROOT / "operator/llmworkflow/cli/starter.yaml").read_text())
    (block,) = (block for block in fences("README.md", "console") if "llmworkflow init" in block)
    assert re.findall(r"llmworkflow chat (\S+)", block) == [starter["metadata"]["name"]]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_targets_are_in_the_makefile(name: str) -> None:
    for words in commands(name):
        if words[0] == "make" and len(words) > 1:
            assert words[1] in TARGETS, f"{name}: {' '.join(words)}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_commands_name_are_there(name: str) -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for words in commands(name):
        if words[0] in SHELL_TOOLS:
            named = [word.partition("::")[0] for word in words[1:] if word.partition("/")[0] in folders]
            missing = [word for word in named if "/" in word and not (ROOT / word).exists()]
            assert not missing, f"{name}: {' '.join(words)}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_workflows_are_valid(name: str) -> None:
    for block in fences(name, "yaml"):
        if "kind: LLMWorkflow" in block:
            load_valid_workflow(block, local=False)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_parts_of_workflows_have_fields_that_exist(name: str) -> None:
    for block in fences(name, "yaml"):
        content = yaml.safe_load(block)
        if "apiVersion" in content:
            continue
        if "jobs" in content:
            Draft202012Validator(VALUES).validate(content)
        else:
            assert problems_of(spec_with(content)) == []


def problems_of(spec: dict[str, Any]) -> list[str]:
    """What is wrong with a part of a workflow, which may leave out what it is not about."""
    try:
        parse_workflow({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "x"}, "spec": spec})
    except InvalidWorkflow as error:
        return [told for told in map(str, error.problems) if not re.search("is (required;|needed:)", told)]
    return []


def spec_with(part: Any) -> dict[str, Any]:
    """The spec of a workflow that has a part somewhere: stages, fields of the spec, of a stage or of its batch."""
    if isinstance(part, list):
        return SPEC | {"stages": part}
    if part.keys() <= dict(fields_of(WorkflowSpec)).keys():
        return SPEC | part
    if not part.keys() <= dict(fields_of(Stage)).keys():
        part = {"batch": {"input": {"uri": "volume:x"}} | part}
    return SPEC | {"stages": [{"name": "x"} | part]}


def test_values_that_documents_set_are_the_charts() -> None:
    found = [word for name in DOCUMENTS for words in commands(name) if words[0] == "helm" for word in words]
    settings = [word for word in found if re.match(r"[a-z][A-Za-z.]*=", word)]
    assert settings
    for setting in settings:
        path, _, value = setting.partition("=")
        values: Any = value
        for key in reversed(path.split(".")):
            values = {key: values}
        Draft202012Validator(VALUES).validate(values)
