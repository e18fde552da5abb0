"""Where commands work, and as whom."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from llmworkflow.client.cluster import Cluster
from llmworkflow.client.connect import connect, kubeconfig_files
from llmworkflow.client.errors import ClientError, RefusedError
from llmworkflow.client.machine import Machine
from llmworkflow.client.target import chosen, is_obvious

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters:
- {name: one, cluster: {server: "https://one.example"}}
- {name: two, cluster: {server: "https://two.example"}}
users:
- {name: someone, user: {token: secret}}
contexts:
- {name: first, context: {cluster: one, user: someone, namespace: team}}
- {name: second, context: {cluster: two, user: someone}}
current-context: first
"""


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([str(tmp_path / "absent"), str(path)]))
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path / "home"))
    return path


@pytest.mark.capability("python")
def test_a_kubeconfig_means_its_current_context(kubeconfig: Path) -> None:
    assert kubeconfig_files() == [kubeconfig]
    with chosen(local=False, context=None, namespace=None) as target:
        assert isinstance(target, Cluster)
        assert target.api.server == "https://one.example"
        assert target.place == "namespace team of cluster first"


def test_a_context_and_a_namespace_are_taken_as_told(kubeconfig: Path) -> None:
    with chosen(local=False, context="second", namespace=None) as target:
        assert isinstance(target, Cluster)
        assert (target.api.server, target.namespace) == ("https://two.example", "default")
    with chosen(local=False, context=None, namespace="other") as target:
        assert isinstance(target, Cluster)
        assert target.namespace == "other"
    with pytest.raises(ClientError, match="has no context third; --context takes: first, second"):
        connect("third")


@pytest.mark.capability("python")
def test_local_means_this_machine(kubeconfig: Path) -> None:
    with chosen(local=True, context=None, namespace=None) as target:
        assert isinstance(target, Machine)
    with pytest.raises(ClientError, match="give one of them"), chosen(True, "first", None):
        pass


@pytest.mark.capability("python")
def test_what_fails_on_this_machine_is_a_client_error(kubeconfig: Path) -> None:
    with chosen(local=True) as target, pytest.raises(ClientError, match="nosuch"):
        target.workflow("nosuch")


def test_without_a_kubeconfig_it_is_this_machine() -> None:
    assert kubeconfig_files() == []  # as the tests' own, which is empty
    with chosen(local=False, context=None, namespace=None) as target:
        assert isinstance(target, Machine)
    with pytest.raises(ClientError, match="there is no kubeconfig"), chosen(False, "first", None):
        pass


def test_the_place_is_told_where_both_have_workflows(kubeconfig: Path, tmp_path: Path) -> None:
    assert is_obvious(local=False, context=None)
    applied = tmp_path / "home" / "workflows" / "default" / "viggo" / "workflow.json"
    applied.parent.mkdir(parents=True)
    applied.touch()
    assert not is_obvious(local=False, context=None)
    assert is_obvious(local=True, context=None)
    assert is_obvious(local=False, context="first")


@pytest.mark.parametrize(
    "content", ["contexts: [", "only a text", "contexts: [{name: x}]\ncurrent-context: x\n"]
)
def test_a_kubeconfig_that_is_none_is_told(kubeconfig: Path, content: str) -> None:
    kubeconfig.write_text(content)
    with pytest.raises(ClientError, match="the kubeconfig cannot be used"):
        connect(None)


def test_a_kubeconfig_that_is_named_and_absent_is_not_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    for context in (None, "first"):
        with pytest.raises(ClientError, match="absent, where no file is"), chosen(context=context):
            pass
    with chosen(local=True) as target:
        assert isinstance(target, Machine)


def test_of_several_kubeconfigs_the_first_one_counts_as_with_kubectl(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = kubeconfig.with_name("before")
    before.write_text("contexts:\n- {name: first, context: {cluster: two, user: someone}}\n")
    monkeypatch.setenv("KUBECONFIG", f"{before}:{kubeconfig}")
    found = connect(None)
    assert (found.context, found.api.server, found.namespace) == ("first", "https://two.example", "default")
    before.write_text("current-context: second\n")
    assert connect(None).context == "second"


def test_without_a_current_context_one_is_asked_for(kubeconfig: Path) -> None:
    kubeconfig.write_text(KUBECONFIG.replace("current-context: first", ""))
    assert connect("second").api.server == "https://two.example"
    with pytest.raises(ClientError, match="no current context; --context takes: first, second"):
        connect(None)


def test_a_stream_that_is_refused_is_told_as_any_other_request(kubeconfig: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told = b'{"reason": "Forbidden", "message": "bob cannot create pods/portforward"}'
            self.send_response(403)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        kubeconfig.write_text(
            KUBECONFIG.replace("https://one.example", f"http://127.0.0.1:{server.server_port}")
        )
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(RefusedError, match="bob cannot create pods/portforward; `llmworkflow doctor`"):
            connect(None).api.stream(
                "/api/v1/namespaces/team/pods/x/portforward?ports=1", "v4.channel.k8s.io"
            )
