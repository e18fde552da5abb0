"""The commands that messages name: whole, and about the stage that is to be mended."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner

from llmworkflow.api.names import Verb
from llmworkflow.cli.main import main
from llmworkflow.core.commands import command, retry_from

from .builders import workflow
from .simulator import SimulatedCluster


@pytest.mark.parametrize(("namespace", "more"), [("default", ""), ("team-a", " -n team-a")])
def test_a_command_names_the_workflow_where_it_is(namespace: str, more: str) -> None:
    metadata = workflow(namespace=namespace).metadata
    assert retry_from(metadata, "tune") == f"llmworkflow retry viggo --from tune{more}"


def test_commands_have_options_that_the_program_knows() -> None:
    metadata = workflow(namespace="team-a").metadata
    for verb, arguments in ((Verb.APPROVE, ["score", "--note 'why'"]), (Verb.RETRY, ["--from tune"])):
        _, *words = shlex.split(command(metadata, verb, *arguments))
        assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0


def test_the_last_stage_of_a_chain_names_the_one_that_failed() -> None:
    cluster = SimulatedCluster(workflow(("stages.0.retries", 0)))
    cluster.settle()
    cluster.fail("tune", "FileNotFound", retryable=False)
    cluster.settle()
    told = "tune is Failed (FileNotFound); mend it by an edit, or run `llmworkflow retry viggo --from tune`"
    assert [cluster.stage(name).message for name in ("score", "chat")] == [told, told]


def test_a_cancelled_stage_says_how_it_goes_on() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.ask(Verb.CANCEL, "tune#1")
    cluster.settle()
    told = "cancelled by ann; run `llmworkflow retry viggo --from tune` to go on"
    assert cluster.stage("tune").message == told
