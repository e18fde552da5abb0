"""What outlives the command: workflows, statuses and who drives them."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmworkflow.api.load import load_workflow
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, workflows

FILE = """
apiVersion: llmworkflow.io/v1alpha1
kind: LLMWorkflow
metadata: {{name: viggo}}
spec:
  model: {{source: "volume:tiny"}}
  storage: {{volume: {{claimName: data}}}}
  stages:
  - {{name: score, batch: {{input: {{uri: "{uri}"}}}}}}
"""

HOLDER = """
import sys, time
from pathlib import Path
from llmworkflow.local.home import WorkflowHome
with WorkflowHome(Path(sys.argv[1]), "default", "viggo").lock():
    print("locked", flush=True)
    time.sleep(600)
"""


def workflow(uri: str = "volume:test.jsonl") -> LLMWorkflow:
    return load_workflow(FILE.format(uri=uri))


@pytest.fixture
def home(tmp_path: Path) -> WorkflowHome:
    return WorkflowHome(tmp_path, "default", "viggo")


def test_an_unchanged_file_keeps_uid_and_generation(home: WorkflowHome) -> None:
    first, second = home.apply(workflow()), home.apply(workflow())
    assert first.metadata.uid
    assert (second.metadata.uid, second.metadata.generation) == (first.metadata.uid, 1)
    assert home.load() == second


def test_a_workflow_is_as_old_as_its_first_file(home: WorkflowHome) -> None:
    first, second = home.apply(workflow()), home.apply(workflow("volume:other.jsonl"))
    created = first.dump()["metadata"]["creationTimestamp"]
    assert datetime.fromisoformat(created) <= datetime.now(UTC)
    assert second.dump()["metadata"]["creationTimestamp"] == created
    assert home.load().dump()["metadata"]["creationTimestamp"] == created


def test_a_changed_spec_is_another_generation_of_the_same_workflow(home: WorkflowHome) -> None:
    first, second = home.apply(workflow()), home.apply(workflow("volume:other.jsonl"))
    assert (second.metadata.uid, second.metadata.generation) == (first.metadata.uid, 2)


def test_only_what_was_set_is_kept_so_that_defaults_stay_defaults(home: WorkflowHome) -> None:
    home.apply(workflow())
    assert "suspend" not in home.load().spec.model_fields_set


def test_a_file_that_is_applied_again_keeps_what_was_asked_for(home: WorkflowHome) -> None:
    home.apply(workflow())
    home.annotate({"llmworkflow.io/approve": "score@abc#1"})
    home.annotate({"llmworkflow.io/note": "good"})
    again = home.apply(workflow())
    assert again.metadata.generation == 1
    assert again.metadata.annotations == {
        "llmworkflow.io/approve": "score@abc#1",
        "llmworkflow.io/note": "good",
    }


def test_a_suspension_outlives_files_that_do_not_speak_of_it(home: WorkflowHome) -> None:
    home.apply(workflow())
    home.suspend("ann")
    assert home.load().spec.suspend
    again = home.apply(workflow())
    assert (again.spec.suspend, again.metadata.generation) == (True, 2)
    home.resume()
    assert (home.load().spec.suspend, home.load().metadata.annotations) == (False, {})
    assert not home.apply(workflow()).spec.suspend


def test_a_file_that_speaks_of_suspension_has_its_way(home: WorkflowHome) -> None:
    home.apply(workflow())
    home.suspend("ann")
    speaks = workflow().model_copy(update={"spec": workflow().spec.model_copy(update={"suspend": False})})
    assert not home.apply(speaks).spec.suspend
    assert not home.apply(workflow()).spec.suspend


def test_a_suspension_of_a_file_ends_with_it(home: WorkflowHome) -> None:
    suspended = workflow().model_copy(update={"spec": workflow().spec.model_copy(update={"suspend": True})})
    assert home.apply(suspended).spec.suspend
    assert not home.apply(workflow()).spec.suspend


def test_a_status_is_read_back(home: WorkflowHome) -> None:
    assert home.status() == LLMWorkflowStatus()
    home.save_status(LLMWorkflowStatus(phase="Running", stage="tune"))
    assert home.status() == LLMWorkflowStatus(phase="Running", stage="tune")


def test_all_workflows_are_found(tmp_path: Path, home: WorkflowHome) -> None:
    assert workflows(tmp_path) == []
    home.apply(workflow())
    assert [item.folder for item in workflows(tmp_path)] == [home.folder]


def test_only_one_process_drives(home: WorkflowHome) -> None:
    home.apply(workflow())
    home.save_driver({"pid": 1})
    assert home.driver() is None
    with home.lock():
        assert home.driver() == {"pid": 1}
        with pytest.raises(LocalError, match="already driven"), home.lock():
            pass
    assert home.driver() is None


def test_a_killed_process_lets_go_of_the_lock(home: WorkflowHome) -> None:
    home.apply(workflow())
    home.save_driver({"pid": 1})
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, home.root], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "locked\n"
        assert home.driver() is not None
        holder.kill()
    assert home.driver() is None


def test_a_look_whether_it_is_driven_is_in_nobodys_way(home: WorkflowHome) -> None:
    home.apply(workflow())
    home.save_driver({"pid": 1})
    with (home.folder / "lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert home.driver() is None, "another look drives nothing"
        ended = threading.Timer(0.2, fcntl.flock, (other, fcntl.LOCK_UN))
        ended.start()
        with home.lock():
            assert home.driver() == {"pid": 1}
        ended.join()
