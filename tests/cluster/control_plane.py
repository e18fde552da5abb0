"""A real Kubernetes control plane: etcd, API server, controllers and scheduler, on loopback and without root."""

import secrets
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from llmworkflow.local.machine import HOST, free_port

from .binaries import binary
from .programs import Program

START_SECONDS = 90
# Nothing routes to these addresses: they are names that the API hands out.
SERVICE_ADDRESSES = "198.19.0.0/16"
# What an installation has; without the controllers that need a cloud, or that would evict from the fake node.
CONTROLLERS = (
    "garbage-collector-controller",
    "job-controller",
    "endpointslice-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "resourcequota-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "validatingadmissionpolicy-status-controller",
    "clusterrole-aggregation-controller",
    "disruption-controller",
)

# A pool that closes what has been idle for long does so, now and then, while another thread begins to use it.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)

ADMIN = "admin"
MASTERS = "system:masters"
PEOPLE = ("alice", "bob")  # without any rights, until a test gives them some


@dataclass(frozen=True)
class User:
    """Someone whom the API server knows by a token."""

    name: str
    token: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Network:
    """Where the programs run, and what pods know the API server by."""

    address: str = HOST
    within: tuple[str, ...] = ()
    """What makes a command run there."""
    port: int | None = None
    """Where the API server listens there; none: at the port that its clients know."""

    @property
    def has_nodes(self) -> bool:
        """Whether real nodes are there, which need all controllers and reach the API server."""
        return self.address != HOST


class ControlPlane:
    """Starts and stops the programs, and hands out kubeconfigs."""

    def __init__(
        self,
        folder: Path,
        apiserver_flags: Mapping[str, Any] = MappingProxyType({}),
        network: Network = Network(),
    ) -> None:
        self.folder = folder
        self._network = network
        self.port, self._etcd_port = free_port(), free_port()
        # One that listens everywhere has a certificate for this name, not for the address.
        self.url = f"https://{'localhost' if network.has_nodes else HOST}:{self.port}"
        self._users = {
            user.name: user
            for user in (
                User(ADMIN, secrets.token_hex(16), (MASTERS,)),
                User("system:kube-controller-manager", secrets.token_hex(16)),
                User("system:kube-scheduler", secrets.token_hex(16)),
                *(User(name, secrets.token_hex(16)) for name in PEOPLE),
            )
        }
        self.etcd = self._program("etcd", "etcd", "server", self._etcd_flags())
        self.apiserver = self._program(
            "kubernetes",
            "kube-apiserver",
            "kube-apiserver",
            {**self._apiserver_flags(), **apiserver_flags},
        )
        self.controllers = self._client("kube-controller-manager", self._controllers_flags())
        self.scheduler = self._client("kube-scheduler", {})

    @property
    def certificate(self) -> Path:
        """The API server's certificate, which it makes and signs itself."""
        return self.folder / "certificates" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of someone who may do everything."""
        return self.kubeconfig_of(ADMIN)

    def start(self) -> None:
        """Start everything, and wait until the API answers."""
        self._write_keys()
        for program in (self.etcd, self.apiserver):
            program.start()
        self.wait_until_ready()
        for program in (self.controllers, self.scheduler):
            program.start()

    def restart_controllers(self) -> None:
        """Let them know of definitions that came: by themselves they look for such every 30 s.

        Until then nothing of them is removed whose deletion waits for what it owns.
        """
        self.controllers.stop()
        self.controllers.start()

    def wait_until_ready(self) -> None:
        """Wait until the API server says that it is ready."""
        self.apiserver.wait_until(self._ready, START_SECONDS, "the API server is ready")

    def stop(self) -> None:
        """End everything."""
        for program in (self.scheduler, self.controllers, self.apiserver, self.etcd):
            program.stop()

    @contextmanager
    def away(self) -> Iterator[None]:
        """The API server is gone for as long as this lasts, and then back."""
        self.apiserver.kill()
        yield
        self.apiserver.start()
        self.wait_until_ready()

    def compact(self) -> None:
        """Let etcd forget all history, so that watches from before have to begin anew."""
        with httpx.Client(base_url=f"http://{HOST}:{self._etcd_port}/v3/kv", trust_env=False) as etcd:
            revision = (
                etcd.post("/range", json={"key": "AA=="}).raise_for_status().json()["header"]["revision"]
            )
            etcd.post("/compaction", json={"revision": revision, "physical": True}).raise_for_status()

    def kubeconfig_of(self, name: str, token: str | None = None) -> Path:
        """The kubeconfig of a user, or of whoever the token belongs to."""
        path = self.folder / f"{name.replace(':', '-')}.kubeconfig"
        user = {"token": token or self._users[name].token}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority": str(self.certificate)},
                }
            ],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        fresh = path.with_suffix(f".{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_text(yaml.safe_dump(content))
        return fresh.replace(path)  # at once, as others may be reading it

    def http(self, name: str = ADMIN, token: str | None = None) -> httpx.Client:
        """A plain client of the API, for what tests do beside the programs that they test."""
        bearer = token or self._users[name].token
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {bearer}"},
            verify=ssl.create_default_context(cafile=self.certificate),
            trust_env=False,
            timeout=90,
            limits=_LIMITS,
        )

    def _ready(self) -> bool:
        try:
            with self.http() as client:
                return client.get("/readyz").is_success
        except (
            httpx.TransportError,
            FileNotFoundError,
            ssl.SSLError,
        ):  # the certificate is yet to be written
            return False

    def _write_keys(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._key.touch(mode=0o600)
        self._key.write_bytes(text)
        lines = [
            f'{user.token},{user.name},{user.name},"{",".join(user.groups)}"' for user in self._users.values()
        ]
        self._tokens.touch(mode=0o600)
        self._tokens.write_text("\n".join(lines))

    @property
    def _key(self) -> Path:
        return self.folder / "service-accounts.key"

    @property
    def _tokens(self) -> Path:
        return self.folder / "tokens.csv"

    def _client(self, name: str, flags: dict[str, Any]) -> Program:
        """A program that works through the API, as the user of its name."""
        kubeconfig = self.kubeconfig_of(f"system:{name}")
        common = {"kubeconfig": kubeconfig, "leader-elect": "false", "secure-port": 0}
        return self._program("kubernetes", name, name, common | flags)

    def _program(self, module: str, name: str, file: str, flags: dict[str, Any]) -> Program:
        command: list[str | Path] = [*self._network.within, binary(module, file)]
        command += [f"--{flag}={value}" for flag, value in flags.items()]
        return Program(name, command, self.folder)

    def _etcd_flags(self) -> dict[str, Any]:
        clients, peers = f"http://{HOST}:{self._etcd_port}", f"http://{HOST}:{free_port()}"
        return {
            "data-dir": self.folder / "etcd",
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
            "unsafe-no-fsync": "true",  # what a crash of the machine loses is lost with the tests
        }

    def _apiserver_flags(self) -> dict[str, Any]:
        if self._network.has_nodes:
            announced = {"bind-address": "0.0.0.0", "advertise-address": self._network.address}
        else:  # announcing a loopback address would be refused
            announced = {"bind-address": HOST, "advertise-address": HOST, "endpoint-reconciler-type": "none"}
        return {
            "etcd-servers": f"http://{HOST}:{self._etcd_port}",
            **announced,
            "secure-port": self._network.port or self.port,
            "cert-dir": self.folder / "certificates",
            "token-auth-file": self._tokens,
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self._key,
            "service-account-signing-key-file": self._key,
            "service-cluster-ip-range": SERVICE_ADDRESSES,
            "allow-privileged": "true",
            "kubelet-preferred-address-types": "InternalIP",  # nobody knows nodes by their names
            "profiling": "false",
        }

    def _controllers_flags(self) -> dict[str, Any]:
        return {
            "controllers": "*" if self._network.has_nodes else ",".join(CONTROLLERS),
            "service-account-private-key-file": self._key,
            "root-ca-file": self.certificate,
            "resource-quota-sync-period": "5s",  # else a quota of a kind that is new counts nothing for minutes
            "use-service-account-credentials": "true",
            "kube-api-qps": 200,
            "kube-api-burst": 400,
            "pvclaimbinder-sync-period": "1s",  # else a claim may wait for a quarter of a minute
        }
