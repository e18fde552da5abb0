"""The control plane itself: what the other tests stand on."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from .api import ApiError, eventually
from .conftest import Cluster


def test_authorisation_is_on(cluster: Cluster, namespace: str) -> None:
    with cluster.as_user("alice") as api, pytest.raises(ApiError) as refused:
        api.list("RayJob", namespace)
    assert refused.value.status == 403
    assert 'User "alice" cannot list resource "rayjobs"' in refused.value.message


def test_service_accounts_have_their_rights_and_no_others(cluster: Cluster, namespace: str) -> None:
    role = {"name": "reads-pods", "namespace": namespace}
    cluster.api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": role,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
        }
    )
    cluster.api.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": role,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reads-pods"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        }
    )
    api = cluster.api.as_bearer(cluster.api.token_of("default", namespace))
    assert eventually(lambda: _allowed(lambda: api.list("Pod", namespace)), 10, "the role is known")
    assert not _allowed(lambda: api.list("Secret", namespace))


def test_pod_security_is_enforced(cluster: Cluster, namespace: str) -> None:
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.api.patch("Namespace", namespace, None, {"metadata": {"labels": label}})
    pod = {"containers": [{"name": "main", "image": "image"}]}
    with pytest.raises(ApiError, match=r"violates PodSecurity \"restricted:latest\""):
        cluster.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "root", "namespace": namespace},
                "spec": pod,
            }
        )


def test_what_is_stored_outlives_an_outage_and_a_compaction(cluster: Cluster, namespace: str) -> None:
    with cluster.control_plane.away():
        assert not cluster.control_plane.apiserver.alive
        cluster.control_plane.compact()
    assert cluster.api.get("Namespace", namespace)


def test_programs_end_with_whoever_started_them(tmp_path: Path) -> None:
    script = f"""
        import pathlib, sys, time
        sys.path.insert(0, {str(Path(__file__).parents[2])!r})
        from tests.cluster.control_plane import ControlPlane
        plane = ControlPlane(pathlib.Path({str(tmp_path)!r}))
        plane.start()
        print(*[part.pid for part in (plane.etcd, plane.apiserver, plane.controllers, plane.scheduler)], flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 4
        owner.send_signal(signal.SIGKILL)
    eventually(lambda: not any(map(_runs, pids)), 30, f"processes {pids} have ended")


def test_people_have_kubeconfigs(cluster: Cluster) -> None:
    assert (
        cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", user="bob") == "bob"
    )


def _allowed(act: Callable[[], object]) -> bool:
    try:
        act()
    except ApiError as error:
        if error.status != 403:
            raise
        return False
    return True


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
