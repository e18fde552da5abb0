"""`ray.env` and `ray.envFrom` reach the jobs and endpoints of one machine, as they do the pods of a cluster."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import ray

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.actions import CreateChild, Work
from llmworkflow.job_code import code_folder
from llmworkflow.local.backend import LocalBackend
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.machine import free_port
from llmworkflow.local.port import Port
from llmworkflow.local.ray_process import RayAddress
from llmworkflow.local.secrets import Secrets, secret_names

from .servers import served
from .test_secrets import keep

TRACKER = {"name": "TRACKER_KEY", "valueFrom": {"secretKeyRef": {"name": "tracker", "key": "key"}}}
APPLICATION = {
    "name": "router",
    "importPath": "router:app",
    "routePrefix": "/route",
    "env": [{"name": "COLOUR", "value": "green"}],
}


def workflow(ray: dict[str, Any], stage: dict[str, Any] | None = None) -> LLMWorkflow:
    """Variables of all stages, and of the batch alone."""
    serve = {"models": [{"modelId": "viggo"}], "applications": [APPLICATION]}
    batch = {"input": {"uri": "volume:test.jsonl"}}
    spec = {
        "model": {"source": "volume:tiny"},
        "storage": {"volume": {"claimName": "data"}},
        "ray": ray,
        "stages": [{"name": "score", "batch": batch, "ray": stage or {}}, {"name": "chat", "serve": serve}],
    }
    return LLMWorkflow.model_validate({"metadata": {"name": "viggo"}, "spec": spec})


class Ray:
    """Takes any job and any configuration of Ray Serve, and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, content: bytes) -> tuple[int, str]:
        if path == "/api/version":
            return 200, json.dumps({"ray_version": ray.__version__})
        if method != "GET":
            self.told.append(json.loads(content))
        return 200, json.dumps({"submission_id": "job", "job_id": "job"})


@pytest.fixture
def home(tmp_path: Path) -> WorkflowHome:
    return WorkflowHome(tmp_path, "default", "viggo")


@pytest.fixture
def secrets(home: WorkflowHome) -> Secrets:
    return Secrets(home.root, "default")


def told(home: WorkflowHome, applied: LLMWorkflow, child: CreateChild) -> dict[str, Any]:
    """What Ray is told of a child."""
    fake = Ray()
    with served(fake.answer) as url, closing(Port(free_port())) as port:
        address = RayAddress("session", url, url, "token", str(home.root / "ray"))
        LocalBackend(home, address, port).execute(home.apply(applied), child)
    (content,) = fake.told
    return content


@pytest.mark.capability("own-environment")
def test_a_job_gets_the_variables_of_its_stage(home: WorkflowHome) -> None:
    common = [
        {"name": "COLOUR", "value": "red"},
        {"name": "SIZE", "value": "1"},
        {"name": "EMPTY"},
        {"name": "PYTHONPATH", "value": "/mine"},
        {"name": "LLMWORKFLOW_CONFIG", "value": "/other.json"},
        TRACKER,
    ]
    applied = workflow({"env": common}, {"env": [{"name": "SIZE", "value": "2"}]})
    job = told(home, applied, CreateChild("RayJob", "viggo-score", Work("score", "batch", "0123456789ab", 1)))
    assert job["runtime_env"]["env_vars"] == {
        "COLOUR": "red",
        "SIZE": "2",
        "EMPTY": "",
        "PYTHONPATH": f"{code_folder().parent}:/mine",
        "LLMWORKFLOW_CONFIG": str(home.configs / "viggo-score.json"),
        "LLMWORKFLOW_REPORT": (home.reports / "viggo-score.json").as_uri(),
    }


def test_an_application_wins_over_what_all_get(home: WorkflowHome) -> None:
    applied = workflow({"env": [{"name": "COLOUR", "value": "red"}, {"name": "SIZE", "value": "1"}]})
    child = CreateChild("RayService", "viggo-chat", Work("chat", "serve", "0123456789ab", 1))
    endpoint, router = told(home, applied, child)["applications"]
    colours = [part["runtime_env"]["env_vars"]["COLOUR"] for part in (endpoint, router)]
    sizes = [part["runtime_env"]["env_vars"]["SIZE"] for part in (endpoint, router)]
    assert (colours, sizes) == (["red", "green"], ["1", "1"])


@pytest.mark.capability("own-environment")
def test_values_of_secrets_come_with_the_environment_of_ray(home: WorkflowHome, secrets: Secrets) -> None:
    keep(home.root / "secrets" / "default" / "tracker" / "key", "of the key\n")
    keep(home.root / "secrets" / "default" / "all" / "TRACKER_KEY", "of all")
    keep(home.root / "secrets" / "default" / "all" / "USER", "ann")
    applied = workflow({"env": [TRACKER], "envFrom": [{"secretRef": {"name": "all"}}]})
    assert secrets.environment(applied) == {"TRACKER_KEY": "of the key", "USER": "ann"}
    assert secret_names(applied) == {("TRACKER_KEY", "tracker", "key"), ("", "all")}
    prefixed = workflow({"envFrom": [{"prefix": "MY_", "secretRef": {"name": "all"}}]})
    assert secrets.environment(prefixed) == {"MY_TRACKER_KEY": "of all", "MY_USER": "ann"}


@pytest.mark.parametrize(
    ("ray", "refused"),
    [
        (
            {"env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]},
            "stage score: ray.env NODE takes its value from fieldRef",
        ),
        (
            {"env": [{"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]},
            "stage score: ray.env COLOUR takes its value from configMapKeyRef",
        ),
        (
            {"env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "a"}}}]},
            "stage score: ray.env KEY takes its value from secretKeyRef.*with name and key",
        ),
        (
            {"envFrom": [{"prefix": "MY_", "configMapRef": {"name": "settings"}}]},
            "stage score: ray.envFrom takes variables from configMapRef, .*secretRef",
        ),
    ],
)
def test_what_one_machine_does_not_have_is_refused_by_name(
    secrets: Secrets, ray: dict[str, Any], refused: str
) -> None:
    with pytest.raises(LocalError, match=refused):
        secrets.environment(workflow(ray))


def test_a_missing_secret_is_named(secrets: Secrets) -> None:
    with pytest.raises(LocalError, match="secret default/tracker has no key key on this machine"):
        secrets.environment(workflow({"env": [TRACKER]}))
