"""What commands on a cluster read from the dashboard of a Ray, read from a real one that asks for its token."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from llmworkflow.client.dashboard import Dashboard
from llmworkflow.client.errors import ClientError
from llmworkflow.local.ray_process import RayAddress, RayProcess

from ..cluster.api import eventually  # noqa: TID252 - tests is on no path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SECONDS = 120
TALKS = """
import time
for number in range(8):
    print("line", number, flush=True)
    time.sleep(0.5)
"""
APPLICATION = """
import logging
from ray import serve

@serve.deployment(ray_actor_options={"num_cpus": 0.1})
class Talks:
    def __init__(self) -> None:
        logging.getLogger("ray.serve").info("a replica is up")

    def __call__(self) -> str:
        return "words"

app = Talks.bind()
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayAddress]:
    folder = tmp_path_factory.mktemp("code")
    (folder / "application.py").write_text(APPLICATION)
    (folder / "talks.py").write_text(TALKS)
    ray = RayProcess()
    try:
        yield ray.start([str(folder)])
    finally:
        ray.stop()


@pytest.fixture
def dashboard(address: RayAddress) -> Dashboard:
    return Dashboard(address.dashboard, _token(address))


def _token(address: RayAddress) -> dict[str, str]:
    return {"authorization": f"Bearer {address.token}"}


def _send(address: RayAddress, method: str, path: str, content: object) -> None:
    url = f"{address.dashboard}{path}"
    httpx.request(
        method, url, json=content, headers=_token(address), timeout=SECONDS, trust_env=False
    ).raise_for_status()


def test_a_job_is_followed_to_its_end_and_read_whole(address: RayAddress, dashboard: Dashboard) -> None:
    assert dashboard.newest_job() is None
    _send(address, "POST", "/api/jobs/", {"entrypoint": "python -m talks", "submission_id": "talks"})
    assert dashboard.newest_job() == "talks"
    told = "".join(dashboard.follow("talks"))
    lines = [line for line in told.splitlines() if line.startswith("line ")]
    assert lines == [f"line {number}" for number in range(8)]
    assert "line 7" in dashboard.log("talks")


def test_the_logs_of_replicas_are_found_and_followed(address: RayAddress, dashboard: Dashboard) -> None:
    application = {"name": "talks", "import_path": "application:app"}
    _send(address, "PUT", "/api/serve/applications/", {"applications": [application]})
    (replica,) = eventually(dashboard.replicas, SECONDS, "the replica has a log")
    eventually(
        lambda: "a replica is up" in "".join(dashboard.replica_log(replica, follow=False)),
        SECONDS,
        "it talks",
    )
    following = dashboard.replica_log(replica, follow=True)
    assert next(following)
    following.close()  # type: ignore[attr-defined]


def test_without_the_token_nothing_is_told(address: RayAddress) -> None:
    with pytest.raises(ClientError, match="answers 401"):
        Dashboard(address.dashboard, {}).newest_job()
    with pytest.raises(ClientError, match="cannot be followed"):
        list(Dashboard(address.dashboard, {}).follow("talks"))
