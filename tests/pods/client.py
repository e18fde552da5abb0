"""A plain client of the API from any kubeconfig, for what tests do beside the programs that they test."""

from __future__ import annotations

import ssl
from base64 import b64decode
from pathlib import Path

import httpx
import yaml


def client_of(kubeconfig: Path) -> httpx.Client:
    """A client as the first user of a kubeconfig."""
    content = yaml.safe_load(kubeconfig.read_text())
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    trusted = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
    if "certificate-authority-data" in cluster:
        trusted.load_verify_locations(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    if "client-certificate-data" in user:
        _present(trusted, user, kubeconfig.parent)
    token = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return httpx.Client(
        base_url=cluster["server"], headers=token, verify=trusted, trust_env=False, timeout=30
    )


def _present(trusted: ssl.SSLContext, user: dict[str, str], folder: Path) -> None:
    """Have the client show the user's certificate, which Python reads from a file alone."""
    pair = folder / "client.pem"
    pair.touch(mode=0o600)
    pair.write_bytes(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
    trusted.load_cert_chain(pair)
    pair.unlink()
