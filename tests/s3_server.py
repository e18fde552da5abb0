"""A real S3-compatible server for tests: versitygw, whose buckets are the folders of a folder."""

from __future__ import annotations

import secrets
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmworkflow.local.machine import free_port

from .cluster.binaries import binary

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
    port = free_port()
    server = S3Server(
        f"http://127.0.0.1:{port}", folder, secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    )
    environment = {"ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [binary("versitygw", "versitygw"), "--port", f"127.0.0.1:{port}", "posix", folder],
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
