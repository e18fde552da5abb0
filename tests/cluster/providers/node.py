"""A node: containerd, kubelet, kube-proxy, kube-router and the cluster's DNS, as programs in a cell."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.binaries import binary
from tests.cluster.control_plane import SERVICE_ADDRESSES
from tests.cluster.images import SANDBOX, reference
from tests.cluster.programs import Program

from . import accounting
from .cell import Cell

NAME = "node"
ADDRESS = "198.18.255.1"  # of the node, its API server and its DNS; a network that is set aside for tests
PODS = "198.18.0.0/24"
SOCKET = "unix:///run/containerd/containerd.sock"
START_SECONDS, LOAD_SECONDS = 60, 900
# Labels of images, in containerd's books.
_BUILT, _STARTED = "llmworkflow.built", "llmworkflow.started"
_LARGE = ("MB", "GB")

# ptp and not bridge: what pods send each other is routed, so Services and network policies see all of it.
_NETWORK: dict[str, Any] = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": False,
            "ipam": {"type": "host-local", "subnet": PODS, "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

_CONTAINERD = """\
version = 2
root = "{root}"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  # Without CAP_SYS_RESOURCE runc cannot lower a score, and no pod would start.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/net.d"
"""

_COREFILE = """\
.:53 {{
    bind {address}
    errors
    kubernetes cluster.local {{
        kubeconfig {kubeconfig}
        ttl 1
    }}
}}
"""


class Node:
    """The programs, in the order in which they start."""

    def __init__(self, folder: Path, cell: Cell, kubeconfig: Path, images: Path) -> None:
        """`images` is what containerd keeps; it may be there already, and serves one node at a time."""
        self._folder = folder
        self._cell = cell
        self._kubeconfig = kubeconfig
        self._images = images
        self._programs: list[Program] = []

    def start(self) -> None:
        """Start everything; the node is ready a little later."""
        (self._folder / "net.d").mkdir()
        self._file("net.d/pods.conflist", json.dumps(_NETWORK))
        containerd = self._start("containerd", "/usr/bin/containerd", "--config", self._containerd())
        containerd.wait_until(self._containerd_answers, START_SECONDS, "containerd answers")
        for kept in self._ctr("images", "ls", "-q").split():
            # Tell containerd's CRI of it, which at its start overlooks images without packed layers.
            self._ctr("images", "label", kept, f"{_STARTED}={time.time_ns()}")

    def join(self) -> None:
        """Start what makes this a node of the cluster; the sandbox's image is there by then."""
        kubeconfig = f"--kubeconfig={self._kubeconfig}"
        flags = (
            f"--config={self._kubelet()}",
            f"--root-dir={self._folder}/kubelet",
            f"--hostname-override={NAME}",
        )
        self._start(
            "kubelet", binary("kubernetes", "kubelet"), kubeconfig, *flags, f"--node-ip={ADDRESS}", "--v=1"
        )
        self._start("kube-proxy", binary("kubernetes", "kube-proxy"), f"--config={self._proxy()}")
        self._start("coredns", binary("coredns", "coredns"), "-conf", self._corefile())

    def enforce(self) -> None:
        """Have network policies enforced; the cluster knows the node by then."""
        router = self._start(
            "kube-router",
            binary("kube-router", "kube-router"),
            f"--kubeconfig={self._kubeconfig}",
            f"--hostname-override={NAME}",
            f"--service-cluster-ip-range={SERVICE_ADDRESSES}",
            "--run-router=false",
            "--run-service-proxy=false",
        )
        router.wait_until(self._enforces, START_SECONDS, "network policies are enforced")

    def stop(self) -> None:
        """End everything, the last first."""
        for program in reversed(self._programs):
            program.stop()

    def has(self, digest: str) -> bool:
        """Whether an image that was built is here, perhaps from another day."""
        return bool(self._ctr("images", "ls", "-q", f'labels."{_BUILT}"=="{digest}"').strip())

    def load(self, name: str, digest: str, archive: Path) -> None:
        """Import an image, and keep its layers unpacked alone."""
        self._ctr("images", "import", archive)
        self._ctr("images", "label", name, f"{_BUILT}={digest}")
        for line in self._ctr("content", "ls").splitlines()[1:]:
            blob, size, *_ = line.split()
            if size.endswith(_LARGE):
                self._ctr("content", "rm", blob)

    def _ctr(self, *arguments: str | Path) -> str:
        return self._cell.run("ctr", "-n", "k8s.io", *arguments, seconds=LOAD_SECONDS)

    def _start(self, name: str, *command: str | Path) -> Program:
        program = Program(name, [*self._cell.enter, *command], self._folder)
        program.start()
        self._programs.append(program)
        return program

    def _containerd_answers(self) -> bool:
        try:
            self._cell.run("ctr", "version", seconds=5)
        except AssertionError:
            return False
        return True

    def _enforces(self) -> bool:
        """Whether the first round is done, whose last rule lets through what no policy forbids."""
        return "-A KUBE-ROUTER-FORWARD" in self._cell.run("iptables", "-S")

    def _containerd(self) -> Path:
        return self._file(
            "containerd.toml",
            _CONTAINERD.format(folder=self._folder, root=self._images, sandbox=reference(SANDBOX)),
        )

    def _kubelet(self) -> Path:
        return self._yaml(
            "kubelet.yaml",
            apiVersion="kubelet.config.k8s.io/v1beta1",
            kind="KubeletConfiguration",
            containerRuntimeEndpoint=SOCKET,
            cgroupDriver="cgroupfs",
            cgroupRoot=f"/{accounting.NAME}",
            enforceNodeAllocatable=[],
            failCgroupV1=False,
            localStorageCapacityIsolation=False,
            failSwapOn=False,
            cpuCFSQuota=False,  # pods ask for little, so that all of them fit, and may use what is there
            oomScoreAdj=0,
            authentication={"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            authorization={"mode": "AlwaysAllow"},  # nobody reaches it from outside the cell
            clusterDomain="cluster.local",
            clusterDNS=[ADDRESS],
            resolvConf=str(self._file("pods-resolv.conf", "")),
            imageGCHighThresholdPercent=100,
            evictionHard={"memory.available": "200Mi"},
            maxPods=60,
        )

    def _proxy(self) -> Path:
        return self._yaml(
            "kube-proxy.yaml",
            apiVersion="kubeproxy.config.k8s.io/v1alpha1",
            kind="KubeProxyConfiguration",
            clientConnection={"kubeconfig": str(self._kubeconfig)},
            hostnameOverride=NAME,
            clusterCIDR=PODS,
            mode="iptables",
            oomScoreAdj=0,
            conntrack={"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            iptables={"minSyncPeriod": "0s"},
            healthzBindAddress="127.0.0.1:10256",
            metricsBindAddress="127.0.0.1:10249",
        )

    def _corefile(self) -> Path:
        return self._file("Corefile", _COREFILE.format(address=ADDRESS, kubeconfig=self._kubeconfig))

    def _yaml(self, name: str, **content: Any) -> Path:
        return self._file(name, yaml.safe_dump(content))

    def _file(self, name: str, content: str) -> Path:
        path = self._folder / name
        path.write_text(content)
        return path
