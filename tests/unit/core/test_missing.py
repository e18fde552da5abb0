"""What a stage made is gone when another one reads it: it is made again, and nothing else is."""

from __future__ import annotations

import copy

from .builders import SPEC, score, workflow
from .endpoints import judged_twice
from .simulator import SimulatedCluster, started


def test_a_missing_artifact_is_made_again_before_its_reader_runs_again() -> None:
    cluster = started()
    cluster.complete("tune")
    cluster.run("score")
    cluster.fail("score", "ArtifactMissing", retryable=False)
    cluster.settle()
    assert cluster.states() == {"tune": "Starting", "score": "Waiting", "chat": "Waiting"}
    assert (cluster.stage("tune").attempt, cluster.stage("tune").failures) == (2, 0)
    cluster.wait(600)
    cluster.settle()
    assert cluster.states()["score"] == "Waiting", "its input comes first"
    cluster.complete("tune")
    assert (cluster.states()["score"], cluster.stage("score").attempt) == ("Starting", 2)
    cluster.complete("score")
    assert cluster.states()["score"] == "Succeeded"


def test_an_artifact_that_is_missing_again_and_again_ends() -> None:
    cluster = started(("stages.1.retries", 1))
    for _ in range(2):
        cluster.complete("tune")
        cluster.fail("score", "ArtifactMissing", retryable=False)
        cluster.settle()
        cluster.wait(600)
        cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Failed", "chat": "Waiting"}
    assert cluster.stage("score").reason == "ArtifactMissing"


def test_a_file_of_its_own_that_is_gone_is_no_reason_for_another_attempt() -> None:
    cluster = started()
    cluster.run("tune")
    cluster.fail("tune", "ArtifactMissing", "file:///artifacts/tune: checkpoint-8 is gone", retryable=False)
    cluster.settle()
    assert (cluster.states()["tune"], cluster.stage("tune").attempt) == ("Failed", 1)


# several inputs


def two_adapters() -> SimulatedCluster:
    """A batch whose rows are answered by two adapters."""
    spec = copy.deepcopy(SPEC)
    tune, batch, _ = spec["stages"]
    batch["batch"] |= {
        "adapters": [{"name": name, "stage": name} for name in ("tune", "other")],
        "adapterColumn": "adapter",
    }
    del batch["batch"]["model"]
    spec["stages"] = [tune, {**tune, "name": "other"}, batch]
    cluster = SimulatedCluster(workflow(spec=spec))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("other")
    return cluster


def test_only_what_is_missing_is_made_again() -> None:
    cluster = two_adapters()
    cluster.miss("score", "other")
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "other": "Starting", "score": "Waiting"}


def test_all_inputs_are_made_again_where_none_is_named() -> None:
    cluster = two_adapters()
    cluster.fail("score", "ArtifactMissing", "stage other has left no artifact: it has to run again")
    cluster.settle()
    assert (cluster.stage("tune").attempt, cluster.stage("other").attempt) == (2, 1)
    cluster.complete("tune")
    assert cluster.stage("other").attempt == 2


# several readers


def serving(cluster: SimulatedCluster) -> SimulatedCluster:
    cluster.settle()
    for stage in ("tune", "safety", "score"):
        cluster.complete(stage)
    cluster.bring_up()
    assert set(cluster.states().values()) == {"Succeeded", "Serving"}
    return cluster


def made_anew(cluster: SimulatedCluster) -> SimulatedCluster:
    """One of the two is edited, does not find the adapter, and has it made anew."""
    cluster.edit(("stages.2.batch.sampling.maxTokens", 7))
    cluster.settle()
    return missed(cluster)


def made_anew_meanwhile() -> SimulatedCluster:
    """Both are edited, and while the one runs the other has the adapter made anew."""
    cluster = serving(judged_twice())
    cluster.edit(("stages.1.batch.sampling.maxTokens", 7), ("stages.2.batch.sampling.maxTokens", 7))
    cluster.settle()
    cluster.run("safety")
    return missed(cluster)


def missed(cluster: SimulatedCluster) -> SimulatedCluster:
    cluster.miss("score", "tune")
    cluster.settle()
    cluster.wait(600)
    cluster.complete("tune")
    assert cluster.stage("tune").attempt == 2
    return cluster


def served(cluster: SimulatedCluster) -> int:
    """The attempt whose adapter the endpoint was told to serve last."""
    return cluster.works["viggo-chat"].inputs["tune"].attempt


def test_what_was_made_anew_is_judged_by_every_gate_before_it_serves() -> None:
    cluster = made_anew(serving(judged_twice()))
    assert (cluster.states()["safety"], cluster.stage("safety").attempt) == ("Starting", 2)
    cluster.complete("score")
    assert (cluster.states()["chat"], served(cluster)) == ("Serving", 1)
    cluster.complete("safety")
    assert (cluster.states()["chat"], served(cluster)) == ("Upgrading", 2)
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving is not None
    assert cluster.status.serving.inputs["safety"].attempt == 2
    cluster.wait(100_000)
    before = cluster.status
    cluster.settle()
    assert cluster.status == before, "nothing runs once more"


def test_what_was_made_anew_does_not_serve_where_a_gate_fails() -> None:
    cluster = made_anew(serving(judged_twice()))
    cluster.complete("score")
    cluster.complete("safety", score(0.1))
    assert (cluster.states()["safety"], cluster.states()["chat"]) == ("Failed", "Serving")
    assert served(cluster) == 1


def test_a_reader_that_ran_meanwhile_has_read_what_was_there_before() -> None:
    cluster = made_anew_meanwhile()
    cluster.complete("safety")
    assert (cluster.states()["safety"], cluster.stage("safety").attempt) == ("Starting", 2)


def test_an_attempt_whose_number_was_forgotten_is_judged_anew() -> None:
    cluster = serving(judged_twice())
    for seed in range(1, 13):
        cluster.edit(("stages.0.fineTune.training", {"seed": seed}))
        cluster.settle()
        cluster.complete("tune")
    cluster.wait(1)
    cluster.edit(("stages.0.fineTune.training", {}))
    cluster.settle()
    assert cluster.stage("tune").attempt == 1, "as the one that serves, of which the status knows no more"
    cluster.complete("tune")
    assert cluster.states() == {
        "tune": "Succeeded",
        "safety": "Starting",
        "score": "Starting",
        "chat": "Serving",
    }


def test_both_readers_that_miss_it_have_it_made_anew_once() -> None:
    cluster = made_anew_meanwhile()
    cluster.miss("safety", "tune")
    cluster.settle()
    assert (cluster.states()["tune"], cluster.stage("tune").attempt) == ("Succeeded", 2)
    cluster.wait(600)
    cluster.settle()
    for stage in ("safety", "score"):
        cluster.complete(stage)
    assert served(cluster) == 2


def test_what_waits_for_approval_is_measured_anew_before_it_is_asked_for() -> None:
    cluster = serving(judged_twice())
    cluster.edit(("stages.1.approval", {"required": True}))
    cluster.settle()
    assert cluster.states()["safety"] == "AwaitingApproval"
    made_anew(cluster)
    assert (cluster.states()["safety"], cluster.stage("safety").attempt) == ("Starting", 2)


def test_what_was_made_of_it_waits_for_its_turn() -> None:
    """The endpoint depends on the last of a chain alone, which reads rows that the adapter answered."""
    cluster = judged_twice()
    batch = SPEC["stages"][1]["batch"]
    rows = {**batch, "input": {"stage": "safety"}}
    del rows["model"]
    cluster.edit(
        ("stages.2.batch", rows), ("stages.2.dependsOn", ["safety"]), ("stages.3.dependsOn", ["score"])
    )
    serving(cluster)
    another = {"name": "another", "batch": batch, "dependsOn": ["tune"]}
    stages = cluster.workflow.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)["stages"]
    cluster.edit(("stages", [*stages, another]))
    cluster.settle()
    cluster.miss("another", "tune")
    cluster.settle()
    cluster.complete("tune")
    assert cluster.states()["score"] == "Waiting"
    cluster.complete("safety")
    assert (cluster.states()["score"], served(cluster)) == ("Starting", 1)
    cluster.complete("score")
    assert served(cluster) == 2
