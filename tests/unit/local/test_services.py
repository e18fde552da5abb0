"""How an endpoint is brought to another configuration: in place, beside the old one, or not at all."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from llmworkflow.core.observation import ChildPhase
from llmworkflow.local.machine import free_port
from llmworkflow.local.port import Port
from llmworkflow.local.ray_process import RayAddress
from llmworkflow.local.services import Services, beside

from .servers import served

NAME = "viggo-chat"
OTHER = {"name": "router", "route_prefix": "/route", "args": {}}


class FakeServe:
    """Ray Serve's API: keeps what it was told, and says of every application what the test sets."""

    def __init__(self) -> None:
        self.applications: list[dict[str, Any]] = []
        self.states: dict[str, str] = {}
        self.refusal = ""
        self.asked = 0
        self.busy = False

    def answer(self, method: str, _: str, content: bytes) -> tuple[int, str]:
        self.asked += 1
        if self.busy:
            return 503, "busy"
        if method == "PUT" and self.refusal:
            return 400, self.refusal
        if method == "PUT":
            self.applications = json.loads(content)["applications"]
            return 200, ""
        names = [part["name"] for part in self.applications]
        states = {name: {"status": self.states.get(name, "DEPLOYING"), "message": ""} for name in names}
        return 200, json.dumps({"applications": states})

    @property
    def routes(self) -> dict[str, str]:
        """Path of each application."""
        return {part["name"]: part["route_prefix"] for part in self.applications}


@pytest.fixture
def fake_serve() -> Iterator[tuple[FakeServe, str]]:
    fake = FakeServe()
    with served(fake.answer) as url:
        yield fake, url


@pytest.fixture
def serve(fake_serve: tuple[FakeServe, str]) -> FakeServe:
    return fake_serve[0]


@pytest.fixture
def port() -> Iterator[Port]:
    with closing(Port(free_port())) as port:
        yield port


@pytest.fixture
def services(fake_serve: tuple[FakeServe, str], port: Port, tmp_path: Path) -> Services:
    address = RayAddress("session", fake_serve[1], fake_serve[1], "token", str(tmp_path))
    return Services(address, port, tmp_path)


def config(engines: str, adapter: str = "one") -> dict[str, Any]:
    endpoint = {
        "name": NAME,
        "route_prefix": "/",
        "args": {"config": "/config.json", "engines": engines},
        "deployments": [{"name": "LLMIngress", "user_config": {"alias": adapter}}],
    }
    return {"applications": [endpoint, OTHER]}


def name_of(successor: dict[str, Any]) -> str:
    """The name of an endpoint that starts beside another."""
    name: str = beside(successor["applications"][0])["name"]
    return name


def phase(services: Services, verdict: bool | None = None) -> ChildPhase:
    return services.seen({NAME: verdict})[NAME][0]


@pytest.fixture
def running(services: Services, serve: FakeServe) -> FakeServe:
    """An endpoint that runs, and was seen to twice."""
    services.apply(NAME, config("a"), surge=True)
    serve.states = {NAME: "RUNNING", "router": "RUNNING"}
    assert [phase(services), phase(services)] == [ChildPhase.RUNNING, ChildPhase.READY]
    return serve


@pytest.mark.parametrize("surge", [True, False])
def test_an_adapter_is_promoted_in_place(services: Services, running: FakeServe, surge: bool) -> None:
    services.apply(NAME, config("a", adapter="two"), surge=surge)
    assert running.routes == {NAME: "/", "router": "/route"}
    assert running.applications[0]["deployments"][0]["user_config"] == {"alias": "two"}


@pytest.mark.capability("surge")
def test_other_engines_replace_the_old_ones_where_asked_to(services: Services, running: FakeServe) -> None:
    services.apply(NAME, config("b"), surge=False)
    assert running.routes == {NAME: "/", "router": "/route"}
    assert running.applications[0]["args"]["engines"] == "b"


def test_other_engines_come_beside_and_take_over_once_verified(
    services: Services, running: FakeServe
) -> None:
    services.apply(NAME, config("b"), surge=True)
    successor = name_of(config("b"))
    assert running.routes == {NAME: "/", "router": "/route", successor: f"/{successor}"}
    assert phase(services) is ChildPhase.RUNNING
    running.states[successor] = "RUNNING"
    assert phase(services) is ChildPhase.RUNNING
    assert NAME in running.routes  # nothing is known of its answers yet
    assert phase(services, verdict=True) is ChildPhase.RUNNING
    assert running.routes == {successor: "/", "router": "/route", NAME: f"/{NAME}"}
    assert [phase(services, True), phase(services, True)] == [ChildPhase.RUNNING, ChildPhase.READY]
    assert running.routes == {successor: "/", "router": "/route"}

    services.apply(NAME, config("b", adapter="two"), surge=True)

    assert running.routes == {successor: "/", "router": "/route"}


@pytest.mark.capability("surge")
def test_a_successor_that_answers_otherwise_never_takes_over(services: Services, running: FakeServe) -> None:
    services.apply(NAME, config("b"), surge=True)
    running.states[name_of(config("b"))] = "RUNNING"
    assert [phase(services, False), phase(services, False)] == [ChildPhase.RUNNING, ChildPhase.READY]
    assert running.routes[NAME] == "/"

    services.apply(NAME, config("a"), surge=True)  # what the plan does then

    assert running.routes == {NAME: "/", "router": "/route"}


def test_other_packages_are_other_engines(services: Services, running: FakeServe) -> None:
    changed = config("a")
    changed["applications"][0]["runtime_env"] = {"pip": ["httpx"]}
    services.apply(NAME, changed, surge=True)
    assert list(running.routes) == [NAME, "router", name_of(changed)]


def test_a_successor_that_fails_is_told_of(services: Services, running: FakeServe) -> None:
    services.apply(NAME, config("b"), surge=True)
    running.states[name_of(config("b"))] = "DEPLOY_FAILED"
    assert phase(services) is ChildPhase.FAILED
    assert running.routes[NAME] == "/"


def test_a_refused_configuration_fails(services: Services, serve: FakeServe) -> None:
    serve.refusal = "no such field"
    services.apply(NAME, config("a"), surge=True)
    assert services.seen({})[NAME] == (
        ChildPhase.FAILED,
        "Ray Serve refused the configuration: no such field",
    )


def test_a_ray_that_is_busy_refuses_nothing(services: Services, serve: FakeServe) -> None:
    serve.busy = True
    with pytest.raises(ConnectionError, match="Ray answered with 503"):
        services.apply(NAME, config("a"), surge=True)
    with pytest.raises(ConnectionError, match="Ray answered with 503"):
        services.seen({})
    serve.busy = False
    assert phase(services) is ChildPhase.RUNNING
    assert serve.routes == {NAME: "/", "router": "/route"}
    serve.busy = True
    with pytest.raises(ConnectionError):
        services.seen({})
    with pytest.raises(ConnectionError):
        services.remove(NAME)
    serve.busy = False
    assert services.seen({}) == {}
    assert serve.applications == []


def test_an_endpoint_never_shares_the_port_of_another_run(
    services: Services, serve: FakeServe, port: Port
) -> None:
    with closing(Port(port.number)) as other:
        other.take()
        services.apply(NAME, config("a"), surge=True)
        services.remove(NAME)
        assert serve.asked == 0, "any word to Ray Serve makes it listen"
        services.apply(NAME, config("a"), surge=True)
        phase, message = services.seen({})[NAME]
        assert phase is ChildPhase.FAILED
        assert f"port {port.number} on 127.0.0.1 is in use by another run" in message
        assert serve.applications == []
    services.apply(NAME, config("a"), surge=True)
    assert serve.routes == {NAME: "/", "router": "/route"}


def test_what_is_removed_is_withdrawn(services: Services, running: FakeServe) -> None:
    services.apply(NAME, config("b"), surge=True)
    services.remove(NAME)
    assert running.applications == []
    assert services.seen({}) == {}
