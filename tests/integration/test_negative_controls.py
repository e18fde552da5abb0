"""What must fail a gate does: each control trains or answers for real, and the planner judges what the job reports.

A learning rate of 0 is a control too, in tests/e2e/test_whole_way.py.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import Resolved, StageState, StageStatus, Verdict
from llmworkflow.cli.demo import CACHE
from llmworkflow.core.observation import Observed
from llmworkflow.core.policies.gate import judge
from llmworkflow.core.report import parse_report
from llmworkflow.core.view import World
from llmworkflow.demo import base_model, grammar
from llmworkflow_jobs import config, storage

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]

GOOD_ENOUGH = {"metric": "exactMatch", "min": 0.8}
BETTER_THAN_BASE = {"metric": "exactMatch", "betterThan": "base"}
BETTER_THAN_FIRST = {"metric": "exactMatch", "betterThan": "first"}

REVISION = "0123456789ab"
ROWS = 100
WAIT = 400  # seconds; alone a job takes a tenth of it, but tests may share the machine

# No turns, and none of the tokens that the model was tuned with.
OTHER_TEMPLATE = "{% for message in messages %}[INST] {{ message.content }} [/INST]{% endfor %}"


@dataclass(frozen=True)
class Lab:
    """The demo's base model and data on a volume, and the jobs to run on them."""

    volume: Path
    document: Callable[..., dict[str, Any]]
    start: Any

    def tune(self, name: str, data: str, epochs: int) -> dict[str, Any]:
        """Fine-tune on a file of the volume as the demo does; returns the artifact."""
        document = self.document(
            "fineTune",
            self.volume.as_uri(),
            stage={"name": name},
            data={"train": [{"uri": f"volume:{data}", "format": None, "dataset": None}]},
            training={
                "numTrainEpochs": epochs,
                "learningRate": 2e-3,
                "perDeviceTrainBatchSize": 32,
                "globalBatchSize": 32,
                "saveSteps": 1000,
            },
        )
        report = self.start("fine_tune", document).wait(WAIT)
        assert report["state"] == "Succeeded", report["error"]
        return report["artifact"]

    def score(self, name: str, adapter: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Answer and score held-out rows with an adapter; returns the report."""
        told = {"stage": "tune", "kind": "fineTune", "revision": REVISION, "attempt": 1, "artifact": adapter}
        wanted = {
            "input": {"limit": ROWS},
            "sampling": {"maxTokens": 64},
            "evaluate": {"metrics": ["exactMatch", "tokenF1"]},
            "output": {"format": "parquet"},
            "batchSize": 256,
        } | changes
        document = self.document(
            "batch", self.volume.as_uri(), stage={"name": name}, inputs={"tune": told}, **wanted
        )
        document["batch"]["model"] = {"stage": "tune"}
        return self.start("batch", document).wait(WAIT)


def incumbent(stage: str, revision: str, artifact: dict[str, Any] | None) -> dict[str, Any]:
    """What a batch is told of whom it is compared with."""
    told = {"stage": stage, "kind": "batch", "revision": revision, "attempt": 1, "artifact": artifact}
    return told | {"confidence": 0.95}


def judged(report: dict[str, Any], *gates: dict[str, Any]) -> tuple[str, str, str]:
    """State, reason and message of stage `score` after the planner looked at a batch's report."""
    assert report["state"] == "Succeeded", report["error"]
    stages = [
        {"name": "tune", "fineTune": {"data": {"train": [{"uri": "volume:train.jsonl"}]}}},
        {"name": "first", "batch": BATCH},
        {"name": "score", "batch": BATCH, "gates": list(gates)},
    ]
    spec = {
        "model": {"source": "volume:model"},
        "storage": {"volume": {"claimName": "lab"}},
        "stages": stages,
    }
    workflow = LLMWorkflow.model_validate({"metadata": {"name": "lab", "uid": "0"}, "spec": spec})
    parsed = parse_report(report)
    assert parsed is not None
    verdict = Verdict(kind="batch", revision=REVISION, attempt=1, metrics=parsed.metrics, finished_at="")
    done = StageStatus(
        name="first", kind="batch", state=StageState.SUCCEEDED, revision=REVISION, results=[verdict]
    )
    checked = done.model_copy(
        update={"name": "score", "state": StageState.CHECKING, "metrics": parsed.metrics}
    )
    world = World(
        workflow=workflow,
        resolved=Resolved(),
        observed=Observed(),
        now=datetime(2026, 1, 1, tzinfo=UTC),
        revisions=dict.fromkeys(("tune", "first", "score"), REVISION),
        stages={"first": done, "score": checked},
    )
    after = judge(world.view("score"))
    assert after is not None
    return after.state, after.reason, after.message


BATCH = {
    "model": {"stage": "tune"},
    "input": {"uri": "volume:test.jsonl"},
    "evaluate": {"metrics": ["exactMatch", "tokenF1"], "minRows": ROWS, "maxErrorRate": 0},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, stage_document: Any, start_shared_job: Any) -> Lab:
    volume = tmp_path_factory.mktemp("lab")
    shutil.copytree(base_model.cached(CACHE, lambda part, message: None), volume / "model")
    grammar.write_dataset(volume)
    return Lab(volume, stage_document, start_shared_job)


@pytest.fixture(scope="module")
def adapter(lab: Lab) -> dict[str, Any]:
    """An adapter that learned what it should."""
    return lab.tune("tune", "train.jsonl", epochs=3)


@pytest.fixture(scope="module")
def first(lab: Lab, adapter: dict[str, Any]) -> dict[str, Any]:
    """The report of a batch that nothing is wrong with."""
    return lab.score("first", adapter, incumbents={"base": incumbent("score", "base", None)})


@pytest.fixture(scope="module")
def against_first(first: dict[str, Any]) -> dict[str, Any]:
    return {"first": incumbent("first", REVISION, first["artifact"])}


@pytest.mark.capability("metrics", "gates")
def test_what_learned_passes_and_is_better_than_the_base(first: dict[str, Any], lab: Lab) -> None:
    state, reason, message = judged(first, GOOD_ENOUGH, BETTER_THAN_BASE)
    assert (state, reason) == ("Succeeded", "Completed"), message
    metrics = first["metrics"]
    assert (metrics["promptsTrainedOn"]["value"], metrics["targetsTrainedOn"]["value"]) == (0, 0)
    assert metrics["exactMatch"]["comparisons"]["base"]["n"] == ROWS
    ours, base = (rows_of(first, folder) for folder in ("rows", "base"))
    assert [row["row_id"] for row in ours] == [row["row_id"] for row in base]
    difference = sum(row["score_exactMatch"] for row in ours) - sum(row["score_exactMatch"] for row in base)
    assert metrics["exactMatch"]["comparisons"]["base"]["difference"] == pytest.approx(difference / ROWS)


def rows_of(report: dict[str, Any], folder: str) -> list[dict[str, Any]]:
    path = Path(report["artifact"]["uri"].removeprefix("file://")) / folder / "part-00000.parquet"
    return parquet.read_table(path).to_pylist()


@pytest.mark.capability("gates")
def test_a_detached_adapter_fails(lab: Lab, adapter: dict[str, Any], against_first: dict[str, Any]) -> None:
    report = lab.score("detached", detached(lab, adapter), incumbents=against_first)
    state, reason, message = judged(report, GOOD_ENOUGH)
    assert (state, reason) == ("Failed", "GateNotMet"), message
    state, reason, message = judged(report, BETTER_THAN_FIRST)
    assert (state, reason) == ("Failed", "GateNotMet"), message
    assert report["metrics"]["exactMatch"]["comparisons"]["first"]["high"] < 0


def detached(lab: Lab, adapter: dict[str, Any]) -> dict[str, str]:
    """The adapter as an artifact whose weights change nothing."""
    from safetensors.torch import load_file, save_file

    job = config.parse(lab.document("fineTune", lab.volume.as_uri(), stage={"name": "detached-adapter"}))
    folder = Path(storage.local_path(job.output_uri, job))
    shutil.copytree(storage.local_path(adapter["uri"], job), folder)
    weights = load_file(folder / "adapter/adapter_model.safetensors")
    assert any(name for name in weights if "lora_B" in name)
    without = {name: weight * ("lora_B" not in name) for name, weight in weights.items()}
    save_file(without, folder / "adapter/adapter_model.safetensors", metadata={"format": "pt"})
    base = storage.read_manifest(adapter, job)["base"]
    return storage.publish(job, "adapter", ["adapter", "trained-on.parquet"], {"base": base})


@pytest.mark.capability("gates")
def test_shuffled_labels_fail(lab: Lab, against_first: dict[str, Any]) -> None:
    rows = [json.loads(line) for line in (lab.volume / "train.jsonl").read_text().splitlines()]
    labels = [row["output"] for row in rows]
    random.Random(0).shuffle(labels)
    shuffled = [row | {"output": label} for row, label in zip(rows, labels, strict=True)]
    (lab.volume / "shuffled.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in shuffled))

    report = lab.score("shuffled", lab.tune("misled", "shuffled.jsonl", epochs=1), incumbents=against_first)
    for gate in (GOOD_ENOUGH, BETTER_THAN_FIRST):
        state, reason, message = judged(report, gate)
        assert (state, reason) == ("Failed", "GateNotMet"), message


@pytest.mark.capability("one-prompt")
def test_another_chat_template_fails(
    lab: Lab, adapter: dict[str, Any], against_first: dict[str, Any]
) -> None:
    report = lab.score("template", adapter, prompt={"chatTemplate": OTHER_TEMPLATE}, incumbents=against_first)
    state, reason, message = judged(report, GOOD_ENOUGH)
    assert (state, reason) == ("Failed", "GateNotMet"), message
    state, reason, message = judged(report, BETTER_THAN_FIRST)
    assert (state, reason) == ("Failed", "Incomparable"), message
    assert "was measured with other prompts" in message


@pytest.mark.capability("overlap")
def test_rows_that_were_trained_on_are_not_scored(lab: Lab, adapter: dict[str, Any]) -> None:
    report = lab.score("overlap", adapter, input={"uri": "volume:train.jsonl", "limit": ROWS})
    assert (report["state"], report["error"]["reason"]) == ("Failed", "DataOverlap")
    assert "the prompts of 100 of 100 rows were trained on" in report["error"]["message"]
