"""One cluster for all tests, with KubeRay and the operator installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.api import Api
from tests.cluster.providers.provider import Provider, chosen

from .client import client_of
from .cluster import Pods
from .installation import install_kuberay, install_operator

HERE = Path(__file__).parent
TEST_SECONDS = 900
IMAGES = ("kuberay", "operator", "jobs", "versitygw")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, so that they can be run, or left out, by that."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.pods)
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


def pytest_report_header() -> str:
    """Say which cluster it will be."""
    return f"cluster: {chosen().name}"


@pytest.fixture(scope="module")
def pods(cluster: Pods) -> Iterator[Pods]:
    """The same, for one module: what its tests made goes with it, however they end."""
    yield cluster
    cluster.clean()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """A cluster with the images on its node, KubeRay and the operator as pods."""
    folder = tmp_path_factory.mktemp("pods")
    provider: Provider = chosen()(folder)
    try:
        provider.create()
        for name in IMAGES:
            provider.load(name)
        with client_of(provider.kubeconfig) as client:
            api = Api(client)
            install_kuberay(api)
            install_operator(provider.kubeconfig, api, provider.values)
            yield Pods(api, provider.kubeconfig, provider.values)
    finally:
        provider.delete()
