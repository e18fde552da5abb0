"""The demo's base model, data and file, and the command to run on them: real processes, real Ray, real vLLM."""

import shutil
from collections.abc import Iterator
from importlib import resources

import pytest
import yaml

from llmworkflow.cli.demo import CACHE
from llmworkflow.demo import base_model, grammar

from .harness import CLAIM, Command, Workflow


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command with a home that has the demo's volume; whatever is left running is ended and told of."""
    root = tmp_path_factory.mktemp("home")
    volume = root / "volumes" / CLAIM
    shutil.copytree(base_model.cached(CACHE, lambda part, message: None), volume / "models" / "tiny")
    grammar.write_dataset(volume / "data")
    command = Command(root)
    yield command
    command.end()


@pytest.fixture(scope="session")
def demo_workflow() -> Workflow:
    """The demo's file."""
    text = resources.files("llmworkflow.demo").joinpath("workflow.yaml").read_text()
    workflow: Workflow = yaml.safe_load(text)
    return workflow
