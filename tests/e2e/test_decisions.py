"""A run that waits for people: what they decide in another process, while it runs and while it does not."""

from copy import deepcopy

import pytest

from .harness import Command, Workflow, stage_of, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NAME = "decided"


@pytest.mark.capability("approval")
def test_people_decide_from_another_process(command: Command, demo_workflow: Workflow) -> None:
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = NAME
    first = stage_of(workflow, "base") | {"approval": {"required": True}}
    first["batch"]["input"] |= {"limit": 8}
    workflow["spec"]["stages"] = [first, {**deepcopy(first), "name": "again"}]

    running = command.start("run", command.write(workflow), "--local", "--port", str(command.port))
    awaits(command, "base")
    assert command("approve", NAME).stdout.startswith("base: Succeeded approved by ")
    awaits(command, "again")  # which could not start before
    rejected = command("reject", NAME, "again", "--note", "too few rows")
    assert rejected.returncode == 0
    assert rejected.stdout.startswith("again: Failed rejected by ")
    output, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "again: Rejected" in output
    assert command.stages(NAME)["again"]["approval"]["note"] == "too few rows"
    assert command.processes(NAME) == []

    assert command("approve", NAME, "again").stdout.endswith("carried out at the next run\n")


def awaits(command: Command, stage: str) -> None:
    """Wait until a stage waits for a decision."""

    def is_there() -> bool:
        return command.stages(NAME).get(stage, {}).get("state") == "AwaitingApproval"

    wait_until(is_there, 240, f"{stage} awaits approval")
