"""The models that workflows made, told from manifests and from a status alone."""

from __future__ import annotations

from typing import Any

from llmworkflow.core.registry import Manifest, TunedModel, of_status, of_storage

from .builders import workflow
from .simulator import SimulatedCluster

BASE = {"source": "volume:models/base", "digest": "sha256:00"}


def made(stage: str, revision: str, attempt: int, made_at: str, **content: Any) -> Manifest:
    uri = f"s3://elsewhere/{stage}/{revision}/{attempt}"
    known = {"type": "adapter", "base": BASE, "createdAt": made_at, "metrics": {"steps": 9, "trainLoss": 0.5}}
    return Manifest((stage, revision, attempt), uri, f"sha256:{revision}", known | content)


def scored(stage: str, model: str, made_at: str, **metrics: float | None) -> Manifest:
    """A batch that a model answered; its artifact was written down under another address of the storage."""
    measured = {name: {"value": value, "n": 16} for name, value in metrics.items()}
    content = {"type": "rows", "model": {"uri": f"file:///old/place/{model}"}, "metrics": measured}
    return made(stage, f"5c{made_at[-2:]}", 1, made_at, **content)


def served() -> SimulatedCluster:
    return SimulatedCluster(workflow()).until_serving()


def test_models_of_a_storage() -> None:
    cluster = served()
    tune = cluster.stage("tune")
    manifests = [
        made("tune", "0ld", 1, "2026-01-01", metrics={"evalLoss": 0.75, "trainLoss": 0.5, "steps": 3}),
        made("tune", tune.revision or "", 1, "2026-01-03"),
        scored("score", f"tune/{tune.revision}/1", "2026-01-04", exactMatch=0.5, tokenF1=0.7),
        scored("score", f"tune/{tune.revision}/1", "2026-01-05", exactMatch=0.9, jsonValid=None),
        scored("score", "tune/0ld/1", "2026-01-02", exactMatch=0.25),
        made("base", "ba5e", 1, "2026-01-06", type="rows", model=None),
    ]
    newest, oldest = of_storage(cluster.workflow, cluster.status, manifests)
    assert newest == TunedModel(
        namespace="default",
        workflow="viggo",
        stage="tune",
        revision=tune.revision or "",
        attempt=1,
        type="adapter",
        base="volume:models/base",
        uri=f"s3://elsewhere/tune/{tune.revision}/1",
        digest=f"sha256:{tune.revision}",
        made_at="2026-01-03",
        scores={"exactMatch": 0.9, "tokenF1": 0.7},
        losses={"trainLoss": 0.5},
        serves=("viggo",),
    )
    assert (oldest.revision, oldest.scores, oldest.serves) == ("0ld", {"exactMatch": 0.25}, ())
    assert oldest.losses == {"evalLoss": 0.75, "trainLoss": 0.5}
    assert newest.dump()["madeAt"] == "2026-01-03"


def test_models_of_a_status() -> None:
    cluster = served()
    first = cluster.stage("tune").revision
    (model,) = of_status(cluster.workflow, cluster.status)
    assert (model.revision, model.scores, model.serves) == (first, {"exactMatch": 0.9}, ("viggo",))
    cluster.edit(("stages.0.fineTune.training", {"seed": 1}))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", {"exactMatch": {"value": 0.1, "n": 200, "errors": 0}})
    found = {model.revision: model for model in of_status(cluster.workflow, cluster.status)}
    second = cluster.stage("tune").revision
    assert second
    assert first
    assert (found[second].scores, found[second].serves) == ({"exactMatch": 0.1}, ())
    assert (found[first].scores, found[first].serves) == ({"exactMatch": 0.9}, ("viggo",))


def test_what_was_stopped_serves_nothing() -> None:
    cluster = served()
    cluster.edit(("suspend", True))
    cluster.settle()
    (model,) = of_status(cluster.workflow, cluster.status)
    assert (model.scores, model.serves) == ({"exactMatch": 0.9}, ())


def test_names_of_several_adapters() -> None:
    adapters = [{"name": "films", "stage": "tune"}, {"name": "more", "uri": "s3://elsewhere/adapter"}]
    cluster = SimulatedCluster(
        workflow(("stages.2.serve.models", [{"modelId": "chat", "adapters": adapters}, {"modelId": "plain"}]))
    ).until_serving()
    (model,) = of_status(cluster.workflow, cluster.status)
    assert model.serves == ("chat:films",)


def test_a_workflow_that_made_nothing() -> None:
    cluster = SimulatedCluster(workflow())
    cluster.settle()
    assert of_status(cluster.workflow, cluster.status) == []
    assert of_storage(cluster.workflow, cluster.status, []) == []
