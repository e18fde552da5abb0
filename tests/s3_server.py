"""A real S3-compatible server for tests: versitygw, whose buckets are the folders of a folder."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.8.0"
PACKAGE = f"github.com/versity/versitygw/cmd/versitygw@v{VERSION}"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "llmworkflow"
GO = Path(__file__).parent.parent / "scripts" / "go"
BUILD_SECONDS = 600
START_SECONDS = 30


@dataclass(frozen=True)
class S3Server:
    """A running server. Its one user may do everything."""

    endpoint: str
    folder: Path  # of the buckets
    access_key: str
    secret_key: str

    @property
    def variables(self) -> dict[str, str]:
        """What clients read; the keys of a Secret for `credentialsFrom`."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def bucket(self, name: str) -> Path:
        """The folder of a new bucket; files may be put there and looked at."""
        path = self.folder / name
        path.mkdir()
        return path


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Serve `folder` on loopback."""
    port = _free_port()
    server = S3Server(
        f"http://127.0.0.1:{port}", folder, secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    )
    environment = {"ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [binary(), "--port", f"127.0.0.1:{port}", "posix", folder],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_up(server, process)
        yield server
    finally:
        process.kill()
        process.wait(START_SECONDS)


def binary() -> Path:
    """The server's program, built the first time and kept in the user's cache."""
    path = CACHE / f"versitygw-{VERSION}" / "versitygw"
    if not path.exists():
        # `go install` puts the program in its place when it is done; two at a time make the same one.
        environment = os.environ | {"GOBIN": str(path.parent), "CGO_ENABLED": "0"}
        subprocess.run([GO, "install", PACKAGE], env=environment, check=True, timeout=BUILD_SECONDS)
    return path


def _wait_until_up(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server.endpoint):
        assert process.poll() is None, f"versitygw ended with {process.returncode}"
        assert time.monotonic() < deadline, f"versitygw did not answer within {START_SECONDS} s"
        time.sleep(0.05)


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=2).close()
    except urllib.error.HTTPError:
        return True  # who has no credentials is refused
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
