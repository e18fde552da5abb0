"""The commands that run nothing: what they print, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.cli import run as run_command
from llmworkflow.cli.main import COMMANDS, main
from llmworkflow.cli.run import announce
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.machine import free_port
from llmworkflow.local.port import Port

Run = Callable[..., Result]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    ended = run(command, "--help")
    assert ended.exit_code == 0
    assert "Usage" in ended.output


def test_the_list_of_commands_fits_a_terminal() -> None:
    ended = CliRunner().invoke(main, ["--help"], terminal_width=80)
    assert [line for line in ended.output.splitlines() if line.endswith("...")] == [
        "Usage: main [OPTIONS] COMMAND [ARGS]..."
    ]


def test_the_starter_file_is_valid_and_is_not_overwritten(run: Run) -> None:
    assert run("init").exit_code == 0
    assert "my-workflow is valid, 3 stages" in run("validate", "workflow.yaml").output
    again = run("init")
    assert again.exit_code == 2
    assert "exists already" in again.output


@pytest.mark.parametrize("command", [("validate",), ("plan", "--local")])
def test_what_a_file_reads_here_and_is_not_there_is_named(run: Run, command: tuple[str, ...]) -> None:
    run("init")
    Path("train.jsonl").write_text("{}")
    told = [line for line in run(*command, "workflow.yaml").output.splitlines() if "to be made" in line]
    (line,) = told
    assert line.startswith("to be made before it runs: spec.stages[1].batch.input.uri = ")
    assert line.endswith("/test.jsonl is not there")


@pytest.mark.capability("llama-factory")
@pytest.mark.parametrize(
    ("command", "place"), [(("validate",), "seed.yaml:{line}: "), (("plan", "--local"), "")]
)
def test_what_has_no_effect_in_the_yaml_of_llama_factory_is_told(
    run: Run, command: tuple[str, ...], place: str
) -> None:
    own = "dataset: viggo\ndataset_dir: volume:viggo\ntrust_remote_code: true\nray_num_workers: 4\n"
    own += "resources_per_worker: {GPU: 1}\nplacement_strategy: PACK\n"
    head = "apiVersion: llmworkflow.io/v1alpha1\nkind: LLMWorkflow\nmetadata: {name: seed}\nspec:\n"
    head += "  model: {source: hf://org/name}\n  storage: {volume: {claimName: a}}\n  stages:\n"
    head += "  - name: tune\n    fineTune:\n      engine: llamaFactory\n      config:\n"
    text = head + "".join(f"        {line}\n" for line in own.splitlines())
    Path("seed.yaml").write_text(text)
    told = [line for line in run(*command, "seed.yaml").stdout.splitlines() if "without effect" in line]
    number = text[: text.index("ray_num_workers")].count("\n") + 1
    assert told[0] == (
        f"without effect: {place.format(line=number)}spec.stages[0].fineTune.config.ray_num_workers = 4: "
        "it trains in one worker here; ray.accelerator.count gives that more accelerators"
    )
    assert [line.split("config.")[1].split(" ")[0] for line in told[1:]] == [
        "resources_per_worker:",
        "trust_remote_code",
    ]


def test_a_workflow_comes_from_standard_input(run: Run) -> None:
    run("init")
    text = Path("workflow.yaml").read_text()
    ended = CliRunner().invoke(main, ["validate", "-"], input=text)
    assert ended.output.startswith("-: my-workflow is valid, 3 stages")
    ended = CliRunner().invoke(main, ["run", "-", "--local", "--detach"], input=text)
    assert (ended.exit_code, "name one" in ended.output) == (2, True)


def test_a_run_that_is_not_here_is_an_apply(run: Run) -> None:
    ended = run("run", "workflow.yaml")
    assert (ended.exit_code, "`llmworkflow apply FILE`" in ended.output) == (2, True)


def test_an_answer_has_at_least_one_token(run: Run) -> None:
    ended = run("chat", "viggo", "Hello", "--max-tokens", "0")
    assert (ended.exit_code, "--max-tokens" in ended.output) == (2, True)


@pytest.mark.capability("python")
def test_a_bad_file_ends_with_2_and_its_line(run: Run) -> None:
    run("init")
    path = Path("workflow.yaml")
    path.write_text(path.read_text().replace("learningRate", "learningrate"))
    ended = run("validate", path)
    assert ended.exit_code == 2
    line = next(
        number for number, text in enumerate(path.read_text().splitlines(), 1) if "learningrate" in text
    )
    assert f"workflow.yaml:{line}: " in ended.output
    assert "learningRate" in ended.output


def test_what_a_cluster_would_refuse_is_told_of_a_valid_file(run: Run) -> None:
    run("init")
    path = Path("workflow.yaml")
    ended = run("validate", path)
    assert ended.exit_code == 0
    first, train, test = (line for line in ended.output.splitlines() if "to be made" not in line)
    assert first == "workflow.yaml: my-workflow is valid, 3 stages"
    assert train.startswith(
        "on one machine only: workflow.yaml:30: spec.stages[0].fineTune.data.train[0].uri"
    )
    assert '"./test.jsonl": a path of one machine means nothing on a cluster' in test
    path.write_text(path.read_text().replace("./", "volume:"))
    assert run("validate", path).output == f"{first}\n"


def test_plan_is_of_the_namespace_in_which_a_run_would_be(run: Run) -> None:
    run("init")
    ended = run("plan", "workflow.yaml", "--local", "-n", "team-a")
    assert ended.exit_code == 1
    assert "--namespace is team-a" in ended.output
    assert "metadata.namespace, which is default: set that in the file" in ended.output
    assert run("plan", "workflow.yaml", "--local", "-n", "default").exit_code == 0


def test_a_file_of_another_encoding_ends_with_2_and_its_line(run: Run) -> None:
    run("init")
    path = Path("workflow.yaml")
    path.write_bytes(path.read_bytes().replace(b"my-workflow", "müller".encode("latin-1")))
    ended = run("validate", path)
    assert ended.exit_code == 2
    assert ended.output == "workflow.yaml:7: byte 0xfc is no UTF-8; save the file as UTF-8\n"


def test_a_missing_file_ends_with_2(run: Run) -> None:
    ended = run("validate", "nowhere.yaml")
    assert ended.exit_code == 2
    assert "nowhere.yaml" in ended.output


@pytest.mark.capability("python")
def test_render_prints_what_kubectl_takes(run: Run, tmp_path: Path) -> None:
    run("init")
    path = Path("workflow.yaml")
    path.write_text(path.read_text().replace("./", "volume:"))
    ended = run("render", path)
    assert ended.exit_code == 0
    kinds = [document["kind"] for document in yaml.safe_load_all(ended.output)]
    assert kinds.count("RayJob") == 2
    assert kinds.count("RayService") == 1


@pytest.mark.capability("python")
def test_plan_tells_what_never_ran(run: Run) -> None:
    run("init")
    ended = run("plan", "workflow.yaml")
    assert ended.exit_code == 0
    assert [line.split()[:3] for line in ended.output.splitlines()[1:4]] == [
        ["tune", "fineTune", "create"],
        ["score", "batch", "create"],
        ["chat", "serve", "create"],
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "other"], "no workflow default/other on this machine; there are: default/my-workflow"),
        (["logs", "my-workflow", "tune"], "has not printed anything yet"),
        (["logs", "my-workflow", "tuna"], "its stages are tune, score, chat"),
        (["chat", "my-workflow", "Hello"], "serves nothing now"),
    ],
)
def test_what_is_not_there_is_told(run: Run, home: WorkflowHome, arguments: list[str], told: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 1
    assert told in ended.output
    assert "Traceback" not in ended.output


def test_stopping_what_does_not_run_is_done(run: Run, home: WorkflowHome) -> None:
    ended = run("stop", "my-workflow")
    assert (ended.exit_code, ended.output.strip()) == (0, "my-workflow is not running")


@pytest.mark.parametrize(
    ("options", "told"), [((), False), (("--port", "8123"), False), (("--port", "9000"), True)]
)
def test_a_run_that_goes_on_says_that_its_port_stays(
    run: Run, home: WorkflowHome, options: Sequence[str], told: bool
) -> None:
    home.save_driver({"pid": 1, "port": 8123})
    with home.lock():
        ended = run("run", "workflow.yaml", "--local", "--detach", *options)
    assert ended.exit_code == 0
    assert "it takes the new file" in ended.output
    assert (
        "stays on port 8123: for another one, `llmworkflow stop my-workflow` first" in ended.output
    ) is told


@pytest.mark.parametrize("options", [(), ("--exit-when-ready",)])
def test_what_goes_on_in_the_background_ends_as_asked(
    run: Run, home: WorkflowHome, monkeypatch: pytest.MonkeyPatch, options: Sequence[str]
) -> None:
    """What is started does nothing here, and so ends well at once."""
    began: list[list[str]] = []

    def start(arguments: list[str], **options: Any) -> subprocess.Popen[bytes]:
        began.append(arguments)
        return subprocess.Popen([sys.executable, "-c", ""], **options)

    monkeypatch.setattr(
        run_command,
        "subprocess",
        SimpleNamespace(Popen=start, DEVNULL=subprocess.DEVNULL, STDOUT=subprocess.STDOUT),
    )
    assert run("run", "workflow.yaml", "--local", "--detach", *options).exit_code == 0
    assert began == [
        [
            sys.executable,
            "-P",
            "-m",
            "llmworkflow",
            "run",
            "workflow.yaml",
            "--local",
            "--port",
            "8000",
            *options,
        ]
    ]


def test_a_run_that_is_refused_leaves_no_workflow(run: Run, tmp_path: Path) -> None:
    """Neither where a file is not there, which no stage makes, nor where its port is another's."""
    run("init")
    ended = run("run", "workflow.yaml", "--local")
    assert ended.exit_code == 2
    lines = ended.output.splitlines()
    assert [line.split(":")[0] for line in lines] == ["workflow.yaml"] * 2
    assert all("is not there, and no stage makes it" in line for line in lines)

    for name in ("train.jsonl", "test.jsonl"):
        Path(name).touch()
    with closing(Port(free_port())) as port:
        port.take()
        ended = run("run", "workflow.yaml", "--local", "--port", port.number)
    assert (ended.exit_code, f"port {port.number} on 127.0.0.1 is in use" in ended.output) == (1, True)
    assert not list((tmp_path / "home").rglob("workflow.json"))


def test_gc_of_a_namespace_leaves_the_others_alone(run: Run, home: WorkflowHome) -> None:
    other = WorkflowHome(home.root, "team-a", "theirs")
    applied = home.load()
    other.apply(
        applied.model_copy(
            update={"metadata": applied.metadata.model_copy(update={"namespace": "team-a", "name": "theirs"})}
        )
    )
    told = {
        options: run("gc", "--dry-run", *options).output
        for options in [(), ("-n", "team-a"), ("-n", "default")]
    }
    assert {options: ("my-workflow:" in text, "theirs:" in text) for options, text in told.items()} == {
        (): (True, True),
        ("-n", "team-a"): (False, True),
        ("-n", "default"): (True, False),
    }


@pytest.mark.capability("retention")
def test_gc_removes_what_no_stage_needs_and_says_how_much(run: Run, home: WorkflowHome) -> None:
    claim = home.load().spec.storage.volume
    assert claim
    folder = home.volume(claim.claim_name) / "default" / "my-workflow"
    idle, data = folder / "tune" / "0123456789ab" / "1", folder / "data" / "rows.jsonl"
    for path in (idle / "checkpoints" / "weights", data):
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes(1500))
    would = run("gc", "my-workflow", "--dry-run")
    assert would.exit_code == 0
    assert ["tune", "0123456789ab", "1", "1.5", "kB", "never"] in [
        line.split() for line in would.output.splitlines()
    ]
    assert "would remove 1 attempts of 1.5 kB" in would.output
    assert idle.exists()
    assert "removed 1 attempts of 1.5 kB" in run("gc").output
    assert not idle.parent.exists()
    assert data.exists()


def test_gc_leaves_the_folder_of_another_workflow_alone(run: Run, home: WorkflowHome) -> None:
    claim = home.load().spec.storage.volume
    assert claim
    owner = home.volume(claim.claim_name) / "default" / "my-workflow" / "workflow.json"
    owner.parent.mkdir(parents=True)
    owner.write_text(json.dumps({"namespace": "default", "name": "older", "uid": "1"}))
    ended = run("gc", "my-workflow")
    assert ended.exit_code == 1
    assert "PathInUse" in ended.output
    assert "belongs to workflow default/older" in ended.output


@pytest.mark.parametrize("keyed", [False, True])
def test_how_to_ask_the_endpoint_tells_of_its_key(capsys: pytest.CaptureFixture[str], keyed: bool) -> None:
    keys = {"apiKeysFrom": {"secretKeyRef": {"name": "keys", "key": "keys"}}} if keyed else {}
    spec = {
        "model": {"source": "volume:model"},
        "storage": {"volume": {"claimName": "demo"}},
        "stages": [{"name": "chat", "serve": {"models": [{"modelId": "viggo"}], **keys}}],
    }
    workflow = LLMWorkflow.model_validate({"metadata": {"name": "demo"}, "spec": spec})
    serving = {
        "stage": "chat",
        "revision": "0123456789ab",
        "digest": "sha256:0",
        "modelId": "viggo",
        "url": "http://127.0.0.1:8000",
        "since": "2026-01-01T00:00:00Z",
    }
    announce(LLMWorkflowStatus.model_validate({"serving": serving}), workflow, Console())
    assert ('-H "authorization: Bearer $OPENAI_API_KEY"' in capsys.readouterr().out) == keyed
