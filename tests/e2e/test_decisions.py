"""A run that waits for people: what they decide in another process, while it runs and while it does not."""

from copy import deepcopy

import pytest

from .harness import Command, Workflow, stage_of, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

NAME = "decided"


def test_people_decide_from_another_process(command: Command, demo_workflow: Workflow) -> None:
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = NAME
    first = stage_of(workflow, "base") | {"approval": {"required": True}}
    first["batch"]["input"] |= {"limit": 8}
    workflow["spec"]["stages"] = [first, {**deepcopy(first), "name": "again"}]
    file = command.write(workflow)

    running = command.start("run", file, "--local", "--port", str(command.port))
    awaits(command, "base")
    rejected = command("reject", NAME, "base", "--note", "too few rows")
    assert rejected.returncode == 0
    assert rejected.stdout.startswith("base: Failed rejected by ")
    assert running.wait(120) == 1
    assert command.stages(NAME)["base"]["approval"]["note"] == "too few rows"

    assert command("approve", NAME, "base").stdout.endswith("carried out at the next run\n")
    running = command.start("run", file, "--local", "--port", str(command.port))
    awaits(command, "again")
    assert command("approve", NAME).stdout.startswith("again: Succeeded approved by ")
    assert running.wait(120) == 0
    assert [(stage["state"], stage["attempt"]) for stage in command.stages(NAME).values()] == [
        ("Succeeded", 1),
        ("Succeeded", 1),
    ]
    assert command.processes(NAME) == []


def awaits(command: Command, stage: str) -> None:
    """Wait until a stage waits for a decision."""

    def is_there() -> bool:
        return command.stages(NAME).get(stage, {}).get("state") == "AwaitingApproval"

    wait_until(is_there, 240, f"{stage} awaits approval")
