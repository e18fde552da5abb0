"""Edits of the spec: what runs again, what is reused, what is only judged again."""

from __future__ import annotations

from dataclasses import replace

from llmworkflow.api.names import Verb
from llmworkflow.core.plan import plan

from .builders import score, workflow
from .simulator import SimulatedCluster

RATE = "stages.0.fineTune.training.learningRate"
SCORE_ROOT = [("stages.1.dependsOn", []), ("stages.1.batch.model", None)]


def test_an_edit_of_the_result_stops_the_run_at_once_and_starts_the_next_after_it_is_gone() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.run("tune")
    cluster.settle()
    first = cluster.child("tune").name
    old = cluster.stage("tune").revision
    cluster.edit((RATE, 1e-3))
    cluster.plan()
    assert cluster.stage("tune").state == "Stopping"
    assert cluster.child("tune").terminating
    cluster.plan()
    assert cluster.states()["tune"] == "Stopping", "the next starts only when this one is gone"
    cluster.finish_deletions()
    cluster.settle()
    tune = cluster.stage("tune")
    assert (tune.state, tune.attempt, tune.failures) == ("Starting", 1, 0)
    assert tune.revision != old
    assert cluster.child("tune").name != first


def test_an_operational_edit_leaves_a_running_job_alone() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.run("tune")
    cluster.settle()
    before = cluster.stage("tune")
    cluster.edit(("ray.worker", {"memory": "64Gi"}), ("stages.0.retries", 5))
    planned = cluster.plan()
    assert planned.actions == ()
    assert cluster.stage("tune") == before
    assert cluster.status.observed_generation == 2


def test_an_edit_runs_what_it_changes_and_what_depends_on_it() -> None:
    cluster = SimulatedCluster().until_serving()
    revisions = {stage.name: stage.revision for stage in cluster.status.stages}
    cluster.edit(("stages.1.batch.sampling.maxTokens", 99))
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Starting", "chat": "Serving"}
    assert cluster.stage("tune").revision == revisions["tune"]
    assert cluster.stage("score").revision != revisions["score"]
    assert cluster.stage("chat").revision == revisions["chat"], "how it is scored is not what is served"
    cluster.complete("score")
    assert cluster.states()["chat"] == "Serving"
    assert cluster.created["viggo-chat"] == 1
    assert cluster.status.serving.inputs["score"].revision == cluster.stage("score").revision


def test_going_back_to_a_revision_reuses_it() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    before = {name: cluster.stage(name) for name in ("tune", "score")}
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.complete("tune")
    assert cluster.states()["score"] == "Starting"
    jobs = sum(cluster.created.values())
    cluster.edit((RATE, 1e-4))
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Starting"}
    for name, old in before.items():
        now = cluster.stage(name)
        assert now.reused
        assert (now.revision, now.artifact, now.metrics) == (old.revision, old.artifact, old.metrics)
    assert sum(cluster.created.values()) == jobs + 1, "only the service is new"


def test_an_edit_back_before_anything_was_done_takes_a_new_attempt() -> None:
    """Its folder on the storage must not be that of the run which the edit stopped."""
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.edit((RATE, 1e-4))
    cluster.settle()
    assert cluster.stage("tune").attempt == 2
    assert cluster.stage("tune").failures == 0


def test_verdicts_are_kept_for_as_many_revisions_as_artifacts() -> None:
    cluster = SimulatedCluster(workflow(("storage.retention", {"keepRevisions": 2})))
    cluster.settle()
    for rate in (1e-3, 2e-3, 3e-3, 4e-3):
        cluster.edit((RATE, rate))
        cluster.settle()
        cluster.complete("tune")
    assert len(cluster.stage("tune").results) == 2
    assert cluster.stage("tune").results[0].revision == cluster.stage("tune").revision


# gates


def test_gates_are_judged_again_without_a_run() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", score(0.4))
    assert (cluster.stage("score").state, cluster.stage("score").reason) == ("Failed", "GateNotMet")
    assert cluster.stage("score").message == "exactMatch 0.4 < 0.5"
    assert cluster.stage("score").failures == 0, "a gate that fails is never retried"
    jobs = cluster.created.total()

    cluster.edit(("stages.1.gates.0.min", 0.3))
    cluster.settle()
    assert cluster.states()["score"] == "Succeeded"
    assert cluster.created.total() == jobs + 1, "the service"


def test_a_gate_that_fails_later_touches_nothing_that_serves() -> None:
    cluster = SimulatedCluster().until_serving()
    serving = cluster.status.serving
    cluster.edit(("stages.1.gates.0.min", 0.95))
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Failed", "chat": "Serving"}
    assert cluster.stage("chat").reason == "DependencyFailed"
    assert cluster.status.serving == serving
    assert conditions(cluster) == {
        "Ready": "False", "Available": "True", "Progressing": "False", "Stalled": "True", "Succeeded": "False",
        "Failed": "True",
    }  # fmt: skip
    cluster.edit(("stages.1.gates.0.min", 0.5))
    cluster.settle()
    assert conditions(cluster)["Ready"] == "True"
    assert cluster.created["viggo-chat"] == 1


def test_other_edits_do_not_run_a_failed_gate_again() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", score(0.4))
    jobs = cluster.created.total()
    cluster.edit(("stages.1.retries", 9), ("stages.1.timeoutSeconds", 9))
    cluster.settle()
    assert cluster.states()["score"] == "Failed"
    assert cluster.created.total() == jobs


# stages that failed get another chance


def test_an_edit_of_what_made_it_fail_tries_again() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.fail("tune", "OutOfMemory", retryable=False)
    cluster.settle()
    cluster.edit(("stages.2.serve.upgrade", "replace"))
    cluster.settle()
    assert cluster.states()["tune"] == "Failed", "an edit elsewhere mends nothing here"
    cluster.edit(("stages.0.ray", {"worker": {"memory": "64Gi"}}))
    cluster.settle()
    tune = cluster.stage("tune")
    assert (tune.state, tune.attempt, tune.failures) == ("Starting", 2, 0)


def test_a_failed_stage_runs_its_new_revision() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.fail("tune", "DataInvalid", retryable=False)
    cluster.settle()
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    assert (cluster.stage("tune").state, cluster.stage("tune").failures) == ("Starting", 0)


# stages come and go


def test_a_stage_that_is_removed_goes_after_its_child() -> None:
    cluster = SimulatedCluster(workflow(*SCORE_ROOT))
    cluster.settle()
    cluster.run("score")
    cluster.settle()
    spec = cluster.workflow.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    stages = [spec["stages"][0], {**spec["stages"][2], "dependsOn": ["tune"]}]
    cluster.edit(("stages", stages))
    cluster.plan()
    assert cluster.stage("score").state == "Stopping"
    assert cluster.stage("score").reason == "StageRemoved"
    cluster.finish_deletions()
    cluster.settle()
    assert set(cluster.states()) == {"tune", "chat"}
    assert {child.stage for child in cluster.children.values()} == {"tune"}


def test_stages_can_be_reordered() -> None:
    cluster = SimulatedCluster(workflow(*SCORE_ROOT, ("stages.2.dependsOn", ["tune", "score"])))
    cluster.settle()
    before = dict(cluster.children)
    stages = cluster.workflow.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)["stages"]
    stages[0]["dependsOn"] = []
    cluster.edit(("stages", [stages[1], stages[0], stages[2]]))
    cluster.settle()
    assert list(cluster.states()) == ["score", "tune", "chat"]
    assert cluster.children == before


def test_a_stage_that_becomes_another_kind_starts_afresh() -> None:
    cluster = SimulatedCluster(workflow(*SCORE_ROOT, ("stages.2.dependsOn", ["tune"])))
    cluster.settle()
    cluster.run("score")
    cluster.settle()
    stages = cluster.workflow.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)["stages"]
    stages[1] = {"name": "score", "dependsOn": [], "prefetch": {}}
    cluster.edit(("stages", stages))
    cluster.plan()
    assert cluster.stage("score").state == "Stopping"
    cluster.finish_deletions()
    cluster.settle()
    assert (cluster.stage("score").kind, cluster.stage("score").state) == ("prefetch", "Starting")


# inputs


def test_inputs_are_pinned_when_they_are_first_seen() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.run("tune")
    cluster.settle()
    cluster.succeed("tune", resolved={"volume:train.jsonl": "sha256:a", "volume:models/base": "sha256:m"})
    cluster.settle()
    resolved = cluster.status.resolved
    assert resolved.inputs == {"volume:train.jsonl": "sha256:a", "volume:models/base": "sha256:m"}
    assert (resolved.code_digest, resolved.image) == ("code-1", "image-1")
    assert cluster.works[cluster.child("score").name].pinned["volume:models/base"] == "sha256:m"
    revision = cluster.stage("tune").revision
    cluster.input_digests = {"volume:train.jsonl": "sha256:b"}
    cluster.settle()
    assert cluster.status.resolved.inputs["volume:train.jsonl"] == "sha256:a"
    assert cluster.stage("tune").revision == revision


def test_changed_inputs_are_new_revisions_where_that_is_asked_for() -> None:
    cluster = SimulatedCluster(workflow(("inputs", "recheck")))
    cluster.input_digests = {"volume:train.jsonl": "sha256:a", "volume:test.jsonl": "sha256:t"}
    cluster.until_serving()
    first = {stage.name: stage.revision for stage in cluster.status.stages}
    cluster.input_digests["volume:train.jsonl"] = "sha256:b"
    cluster.settle()
    assert cluster.status.resolved.changed == {"volume:train.jsonl": "sha256:b"}
    assert cluster.states() == {"tune": "Starting", "score": "Waiting", "chat": "Serving"}
    assert cluster.works[cluster.child("tune").name].pinned["volume:train.jsonl"] == "sha256:b"
    assert cluster.stage("tune").revision != first["tune"]
    cluster.input_digests["volume:train.jsonl"] = "sha256:a"
    cluster.settle()
    assert cluster.status.resolved.changed == {}
    assert cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Serving"}
    assert cluster.stage("tune").reused


def test_where_the_shell_sees_no_input_a_job_finds_out_that_it_changed() -> None:
    cluster = SimulatedCluster(workflow(("inputs", "recheck")))
    cluster.settle()
    cluster.run("tune")
    cluster.tell("tune", resolved={"volume:train.jsonl": "sha256:a"})
    cluster.settle()
    first = cluster.stage("tune").revision
    cluster.fail("tune")
    cluster.settle()
    cluster.wait(600)
    cluster.settle()
    assert cluster.works[cluster.child("tune").name].pinned == {}, "a pin would refuse what changed"
    cluster.run("tune")
    cluster.tell("tune", resolved={"volume:train.jsonl": "sha256:b"})
    cluster.settle()
    assert cluster.status.resolved.changed == {"volume:train.jsonl": "sha256:b"}
    assert cluster.stage("tune").revision != first
    cluster.run("tune")
    cluster.tell("tune", resolved={"volume:train.jsonl": "sha256:b"})
    cluster.settle()
    assert cluster.states()["tune"] == "Running"


def test_only_the_stages_that_read_it_run_again_when_an_input_changes() -> None:
    cluster = SimulatedCluster(workflow(("inputs", "recheck")))
    cluster.input_digests = {"volume:train.jsonl": "sha256:a", "volume:test.jsonl": "sha256:t"}
    cluster.until_serving()
    cluster.input_digests["volume:test.jsonl"] = "sha256:u"
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Starting", "chat": "Serving"}


def test_an_upgrade_of_the_operator_runs_nothing_again() -> None:
    cluster = SimulatedCluster().until_serving()
    newer = replace(cluster.observed(), code_digest="code-2", image="image-2")
    planned = plan(cluster.workflow, cluster.status, newer, cluster.now)
    assert (planned.status, planned.actions) == (cluster.status, ())


def test_a_workflow_that_was_made_anew_starts_from_nothing() -> None:
    cluster = SimulatedCluster().until_serving()
    cluster.ask(Verb.APPROVE, "score@abc#1")
    again = SimulatedCluster(
        workflow(
            uid="22222222-2222-2222-2222-222222222222", annotations=cluster.workflow.metadata.annotations
        )
    )
    again.children = dict(cluster.children)
    planned = again.look_and_plan()
    assert [action.description[:6] for action in planned.actions] == ["create"], (
        "an older one's child is not touched"
    )


def conditions(cluster: SimulatedCluster) -> dict[str, str]:
    return {item.type: item.status for item in cluster.status.conditions}
