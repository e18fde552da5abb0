"""What `plan` says of the accelerators' memory, from a config.json in a folder, on the hub, or nowhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.unit.core.shapes import QWEN_7B

from llmworkflow.cli.main import main

SOURCE = "hf://Qwen/Qwen2.5-7B-Instruct"
Plan = Callable[..., list[str]]


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder; a request with another token than the hub's is refused."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] in (None, "Bearer good"):
            super().do_GET()
        else:
            self.send_error(401)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def hub(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub that serves a folder."""
    folder = tmp_path / "hub"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """`plan` of a workflow that tunes, scores and serves on one L4 each; edits are laid over its stages' sections."""
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)

    def run(source: str = SOURCE, accelerator: Any = None, **edits: dict[str, Any]) -> list[str]:
        sections: dict[str, dict[str, Any]] = {
            "fineTune": {"data": {"train": [{"uri": "volume:train.jsonl"}]}},
            "batch": {"model": {"stage": "tune"}, "input": {"uri": "volume:test.jsonl"}},
            "serve": {"models": [{"modelId": "chat", "model": {"stage": "tune"}}]},
        }
        spec = {
            "model": {"source": source},
            "storage": {"volume": {"claimName": "artifacts"}},
            "ray": {"accelerator": accelerator or {"name": "l4"}},
            "stages": [
                {"name": name, kind: {**sections[kind], **edits.get(name, {})}}
                for name, kind in {"tune": "fineTune", "score": "batch", "chat": "serve"}.items()
            ],
        }
        document = {
            "apiVersion": "llmworkflow.io/v1alpha1",
            "kind": "LLMWorkflow",
            "metadata": {"name": "sized"},
            "spec": spec,
        }
        Path("workflow.yaml").write_text(yaml.safe_dump(document))
        ended = CliRunner().invoke(main, ["plan", "workflow.yaml", "--local"])
        assert ended.exit_code == 0, ended.output
        return ended.output.splitlines()

    return run


def put(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))


def test_a_model_of_the_hub(plan: Plan, hub: Path) -> None:
    put(hub / "Qwen" / "Qwen2.5-7B-Instruct" / "resolve" / "main", QWEN_7B)
    head, tune, score, chat, warning = plan()
    assert head.split()[-1] == "MEMORY"
    assert tune.endswith("28.6 of 22.5 GiB")
    assert score.split()[-4:] == ["17.9", "of", "20.7", "GiB"]
    assert chat.split()[-4:] == ["18.2", "of", "20.7", "GiB"]
    assert warning.startswith(
        "warning: stage tune needs about 28.6 GiB of an L4, which has 22.5 for it (weights 14.2"
    )
    assert "set training.gradientCheckpointing: true or" in warning
    assert "an accelerator of 40 GiB or more, such as A100" in warning


def test_the_hub_refuses_or_lacks_the_model(plan: Plan, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan()[-1] == f"memory is not estimated for {SOURCE}: the hub answers 404 File not found"
    monkeypatch.setenv("HF_TOKEN", "bad")
    assert plan()[-1].endswith("the hub answers 401 Unauthorized; set HF_TOKEN if the model is gated")


def test_without_the_hub_a_copy_on_this_machine_will_do(plan: Plan, tmp_path: Path) -> None:
    assert plan()[-1] == (
        f"memory is not estimated for {SOURCE}: HF_HUB_OFFLINE is set, and the model is not in this machine's cache"
    )
    cache = tmp_path / "hf" / "hub" / "models--Qwen--Qwen2.5-7B-Instruct"
    put(cache / "snapshots" / "abc", QWEN_7B)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    assert plan()[1].endswith("28.6 of 22.5 GiB")


def test_a_hub_that_is_away(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    assert "the hub does not answer: [Errno 111]" in plan()[-1]


def test_a_model_in_a_folder(plan: Plan, tmp_path: Path) -> None:
    put(tmp_path / "model", QWEN_7B)
    assert plan("./model")[1].endswith("28.6 of 22.5 GiB")
    put(tmp_path / "odd", {"model_type": "mamba"})
    assert "the config.json of a model mamba lacks num_attention_heads" in plan("./odd")[-1]
    unknown, absent = plan("./nowhere")[-2:]
    assert unknown.endswith("nowhere: it has no config.json")
    assert absent.endswith("nowhere is not there")


def test_engines_with_other_shares_are_not_estimated(plan: Plan, tmp_path: Path) -> None:
    put(tmp_path / "model", QWEN_7B)
    _, _, score, chat, *_ = plan("./model", score={"engine": "sglang"})
    assert "GiB" not in score
    assert "GiB" in chat


@pytest.mark.capability("memory")
@pytest.mark.parametrize(
    ("accelerator", "edits", "remedies"),
    [
        ({"name": "t4"}, {"chat": {"models": [{"modelId": "chat"}]}}, ["parallelism.tensor: 2, with as many"]),
        (
            {"name": "l4"},
            {"chat": {"models": [{"modelId": "chat", "engineKwargs": {"max_model_len": 131072}}]}},
            ["engineKwargs.max_model_len: 65536", "parallelism.tensor: 2"],
        ),
        ({"name": "h100"}, {"tune": {"method": "full"}}, ["an accelerator of 140.4 GiB or more, such as H200"]),
        ({"name": "a100"}, {"tune": {"method": "full"}}, ["workers.count: 8 with training.distributed.fsdp: {}"]),
        ({"name": "l4", "count": 0.5}, {}, ["method: qlora with training.gradientCheckpointing: true"]),
        ({"name": "h100"}, {"tune": {"training": {"perDeviceTrainBatchSize": 8}}}, ["perDeviceTrainBatchSize: 1"]),
    ],
)  # fmt: skip
def test_what_would_fit(
    plan: Plan, tmp_path: Path, accelerator: Any, edits: dict[str, Any], remedies: list[str]
) -> None:
    put(tmp_path / "model", QWEN_7B)
    told = "\n".join(plan("./model", accelerator, **edits))
    for remedy in remedies:
        assert remedy in told


@pytest.mark.parametrize("accelerator", [{"count": 0}, {"type": "TPU-V4"}, {"count": 1}])
def test_nothing_is_looked_up_without_a_known_accelerator(plan: Plan, accelerator: Any) -> None:
    lines = plan(accelerator=accelerator)
    assert [line.split()[-1] for line in lines] == ["MEMORY", "-", "-", "-"]
