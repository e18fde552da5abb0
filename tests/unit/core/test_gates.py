"""Gates: what a result must hold, and with whom it is compared."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.api.names import Verb

from .builders import BETTER, score, workflow
from .simulator import SimulatedCluster

RATE = "stages.0.fineTune.training.learningRate"


def judged(metrics: dict[str, Any], *edits: tuple[str, object]) -> SimulatedCluster:
    cluster = SimulatedCluster(workflow(*edits))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", metrics)
    return cluster


def against(target: str, low: float | None, **more: Any) -> dict[str, Any]:
    comparison = {"difference": 0.1, "low": low, "high": 0.2, "n": 200, **more}
    return score(0.9, comparisons={target: comparison})


def gates(*bounds: dict[str, Any]) -> tuple[str, object]:
    return ("stages.1.gates", list(bounds))


def evaluate(**bounds: Any) -> tuple[str, object]:
    return ("stages.1.batch.evaluate", {"metrics": ["exactMatch"], **bounds})


@pytest.mark.parametrize(
    ("edit", "metrics", "reason", "message"),
    [
        (gates({"metric": "exactMatch", "min": 0.5}), score(0.5), "Completed", "exactMatch 0.5"),
        (gates({"metric": "exactMatch", "min": 0.5}), score(0.49999), "GateNotMet", "exactMatch 0.49999 < 0.5"),
        (gates({"metric": "exactMatch", "min": 0.5}), score(0.4), "GateNotMet", "exactMatch 0.4 < 0.5"),
        (gates({"metric": "exactMatch", "max": 0.5}), score(0.5), "Completed", "exactMatch 0.5"),
        (gates({"metric": "exactMatch", "max": 0.5}), score(0.6), "GateNotMet", "exactMatch 0.6 > 0.5"),
        (gates(), score(0.0), "Completed", ""),
        (gates({"metric": "exactMatch", "min": 0}), {}, "MetricMissing",
         "metric exactMatch was not measured; measured: none"),
        (gates({"metric": "exactMatch", "min": 0}), score(None), "MetricMissing",
         "metric exactMatch is not a number; measured: exactMatch"),
        (gates({"metric": "exactMatch", "min": 0}), score(float("nan")), "MetricMissing",
         "metric exactMatch is not a number; measured: exactMatch"),
        (gates({"metric": "exactMatch", "min": 0}), score(float("inf")), "MetricMissing",
         "metric exactMatch is not a number; measured: exactMatch"),
        (gates({"metric": "exactMatch", "min": 0}), score(None, message="row 3: KeyError: 'x'"), "MetricMissing",
         "metric exactMatch is not a number; row 3: KeyError: 'x'"),
        (gates({"metric": "exactMatch", "min": 0.5}, {"metric": "exactMatch", "max": 0.6}), score(0.9),
         "GateNotMet", "exactMatch 0.9 > 0.6"),
        (evaluate(minRows=200), score(0.9), "Completed", "exactMatch 0.9"),
        (evaluate(minRows=201), score(0.9), "TooFewRows",
         "exactMatch was measured on 200 rows, evaluate.minRows asks for 201"),
        (evaluate(minRows=1), {"exactMatch": {"value": 0.9}}, "TooFewRows",
         "exactMatch was measured on 0 rows, evaluate.minRows asks for 1"),
        (evaluate(maxErrorRate=0.1), score(0.9, errors=20), "Completed", "exactMatch 0.9"),
        (evaluate(maxErrorRate=0.1), score(0.9, errors=21), "TooManyErrors",
         "21 of 200 rows failed, evaluate.maxErrorRate allows 0.1; see the column of errors in the rows"),
        (evaluate(maxErrorRate=0), score(0.9, errors=0), "Completed", "exactMatch 0.9"),
    ],
)  # fmt: skip
def test_bounds(edit: tuple[str, object], metrics: dict[str, Any], reason: str, message: str) -> None:
    stage = judged(metrics, edit).stage("score")
    assert (stage.reason, stage.message) == (reason, message)
    assert stage.state == ("Succeeded" if reason == "Completed" else "Failed")
    assert stage.failures == 0


@pytest.mark.parametrize(
    ("gate", "metrics", "reason"),
    [
        (BETTER, against("base", 0.01), "Completed"),
        (BETTER, against("base", 0.0), "GateNotMet"),
        (BETTER, against("base", -0.1), "GateNotMet"),
        (BETTER, against("base", None), "Incomparable"),
        (BETTER, against("base", 0.01, comparable=False), "Incomparable"),
        (BETTER, against("serving", 0.01), "Incomparable"),
        (BETTER, score(0.9), "Incomparable"),
        ({**BETTER, "by": 0.05}, against("base", 0.04), "GateNotMet"),
        ({**BETTER, "by": 0.05}, against("base", 0.06), "Completed"),
        ({**BETTER, "by": -0.05}, against("base", -0.04), "Completed"),
        ({**BETTER, "betterThan": "base"}, against("base", 0.01), "Completed"),
        ({**BETTER, "betterThan": "base"}, against("base", 0.01, incumbentRevision="x"), "Incomparable"),
    ],
)
def test_the_first_candidate_is_compared_with_the_base_model(
    gate: dict[str, Any], metrics: dict[str, Any], reason: str
) -> None:
    cluster = judged(metrics, gates(gate))
    assert cluster.stage("score").reason == reason


def test_the_job_is_told_to_measure_the_base_model_itself() -> None:
    cluster = SimulatedCluster(workflow(gates(BETTER)))
    cluster.settle()
    cluster.complete("tune")
    [incumbent] = cluster.works[cluster.child("score").name].incumbents.items()
    name, told = incumbent
    assert (name, told.stage, told.artifact, told.confidence) == ("base", "score", None, 0.95)


def test_gates_share_a_comparison_that_is_as_sure_as_the_strictest_of_them() -> None:
    strict = {"metric": "exactMatch", "betterThan": "base", "confidence": 0.99}
    cluster = SimulatedCluster(workflow(gates(strict, BETTER)))
    cluster.settle()
    cluster.complete("tune")
    [told] = cluster.works[cluster.child("score").name].incumbents.values()
    assert told.confidence == 0.99


@pytest.mark.parametrize(
    ("measured", "low", "reason"),
    [
        (0.95, 0.01, "Incomparable"),  # the gate asks for 99 %
        (0.99, 0.01, "Completed"),
        (0.99, -0.01, "GateNotMet"),
        (0.999, 0.01, "Completed"),  # surer than asked for
        (0.999, -0.01, "Incomparable"),
        (None, 0.01, "Completed"),
    ],
)
def test_a_comparison_counts_at_its_own_confidence(measured: float | None, low: float, reason: str) -> None:
    cluster = judged(against("base", low, confidence=measured), gates({**BETTER, "confidence": 0.99}))
    stage = cluster.stage("score")
    assert stage.reason == reason
    if reason == "Incomparable":
        assert stage.message == (
            f"exactMatch was compared with serving at {100 * (measured or 0):g} %, the gate asks for 99 %; "
            "run `llmworkflow retry viggo --from score`"
        )


def test_why_nothing_was_compared_is_told() -> None:
    told = {"comparable": False, "message": "the batch at file:///s was measured with other data"}
    cluster = judged(score(0.9, comparisons={"base": told}), gates(BETTER))
    assert cluster.stage("score").message == (
        "exactMatch cannot be compared with serving: the batch at file:///s was measured with other data; "
        "measure both alike, or compare with base for one promotion, and with serving again after it"
    )


def test_a_successor_is_compared_with_what_serves() -> None:
    cluster = SimulatedCluster(workflow(gates(BETTER)))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", against("base", 0.01))
    cluster.bring_up()
    incumbent = cluster.stage("score")

    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.complete("tune")
    told = cluster.works[cluster.child("score").name].incumbents["serving"]
    assert (told.revision, told.artifact) == (incumbent.revision, incumbent.artifact)
    cluster.complete("score", against("serving", -0.01, incumbentRevision=incumbent.revision))
    stage = cluster.stage("score")
    assert (stage.state, stage.reason) == ("Failed", "GateNotMet")
    assert stage.message == (
        "exactMatch is +0.1 against serving, between -0.01 and +0.2 at 95 %; more than 0 is asked for"
    )
    assert cluster.states()["chat"] == "Serving"
    assert cluster.status.serving.inputs["score"].revision == incumbent.revision


def test_a_comparison_with_what_no_longer_serves_does_not_count() -> None:
    cluster = SimulatedCluster(workflow(gates(BETTER)))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", against("base", 0.01))
    cluster.bring_up()
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", against("serving", 0.1, incumbentRevision="of another"))
    stage = cluster.stage("score")
    assert (stage.reason, "llmworkflow retry viggo --from score" in stage.message) == ("Incomparable", True)


def test_another_run_of_what_serves_is_compared_with_it() -> None:
    cluster = SimulatedCluster(workflow(gates(BETTER)))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", against("base", 0.01))
    cluster.bring_up()
    cluster.ask(Verb.RETRY, "tune#1")
    cluster.settle()
    cluster.complete("tune")
    told = cluster.works[cluster.child("score").name].incumbents
    assert {name: of.attempt for name, of in told.items()} == {"serving": 1}


def test_a_new_measure_of_what_serves_is_compared_with_the_base_model() -> None:
    cluster = SimulatedCluster(workflow(gates(BETTER)))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", against("base", 0.01))
    cluster.bring_up()
    cluster.edit(("stages.1.batch.sampling.maxTokens", 9))
    cluster.settle()
    assert list(cluster.works[cluster.child("score").name].incumbents) == ["base"]


def test_what_serves_is_not_compared_with_itself_when_its_gates_are_edited() -> None:
    cluster = SimulatedCluster(workflow(gates(BETTER)))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", against("base", 0.05))
    cluster.bring_up()
    cluster.edit(("stages.1.gates.0.by", 0.01))
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Serving"}
    cluster.edit(("stages.1.gates.0.by", 0.06))
    cluster.settle()
    assert cluster.stage("score").reason == "GateNotMet"


def test_a_stage_can_be_the_incumbent_and_is_then_waited_for() -> None:
    spec = workflow().spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    plain = {**spec["stages"][1], "name": "plain", "dependsOn": [], "gates": []}
    plain["batch"] = {**plain["batch"], "model": None}
    gated = {**spec["stages"][1], "dependsOn": ["tune"], "gates": [{**BETTER, "betterThan": "plain"}]}
    cluster = SimulatedCluster(workflow(spec={**spec, "stages": [spec["stages"][0], plain, gated]}))
    cluster.settle()
    cluster.complete("tune")
    assert cluster.states() == {"tune": "Succeeded", "plain": "Starting", "score": "Waiting"}
    cluster.complete("plain")
    told = cluster.works[cluster.child("score").name].incumbents["plain"]
    assert told.artifact == cluster.stage("plain").artifact
    cluster.complete("score", against("plain", 0.01, incumbentRevision=told.revision))
    assert cluster.states()["score"] == "Succeeded"
