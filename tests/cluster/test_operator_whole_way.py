"""A workflow on a real API server with the real KubeRay, from apply to an endpoint, and away again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .api import eventually
from .conftest import Cluster
from .operator_process import OperatorProcess, at_work
from .workflows import NAME, begin, left, states, wait_for

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with at_work(cluster, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


def test_four_stages_to_an_endpoint_and_nothing_left_after(
    cluster: Cluster, namespace: str, operator: OperatorProcess
) -> None:
    begin(cluster, namespace)
    found = wait_for(cluster, namespace, "Ready")
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "--timeout=55s", f"llmwf/{NAME}")
    status = found["status"]
    assert states(cluster.api, namespace) == {
        "tune": "Succeeded",
        "score": "Succeeded",
        "label": "Succeeded",
        "chat": "Serving",
    }
    assert status["url"] == f"http://{NAME}-chat-serve-svc.{namespace}.svc:8000"
    assert status["stages"][1]["metrics"]["exactMatch"]["value"] == 0.81
    assert status["stages"][3]["verification"]["passed"] is True
    assert status["phase"] == "Serving"
    eventually(lambda: not cluster.api.list("RayJob", namespace), 180, "the jobs that are done are gone")
    cluster.kubectl("-n", namespace, "delete", "llmwf", NAME, "--wait=false")
    eventually(lambda: not left(cluster.api, namespace), 180, "nothing is left")
