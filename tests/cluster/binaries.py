"""The programs of a control plane and KubeRay's operator, built from pinned Go modules and kept in the user's cache."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODULES = Path(__file__).parent / "binaries"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "llmworkflow"
BUILD_SECONDS = 45 * 60  # Kubernetes takes 10 minutes on two idle cores
CRDS = "config/crd/bases"  # in the module of KubeRay's operator

_VERSION = re.compile(r"^require (\S+) (v\S+)", re.MULTILINE)


def binary(module: str, name: str) -> Path:
    """The path of a program of a module under `binaries/`; the module is built where it is not in the cache.

    Raises:
        CalledProcessError: the build failed; the compiler's words are on standard error.
    """
    return built(module) / name


def built(module: str) -> Path:
    """The folder with the programs of a module, built at most once on a machine."""
    source = MODULES / module
    path, version = required(module)
    target = CACHE / f"{module}-{version}-{_digest(source)}"
    with _lock(target):
        if not target.exists():
            _build(source, path, version, target)
    return target


def required(module: str) -> tuple[str, str]:
    """The Go module that a module under `binaries/` is there for, and its version."""
    found = _VERSION.search((MODULES / module / "go.mod").read_text())
    assert found, f"{MODULES / module / 'go.mod'} has no line `require <module> <version>`"
    return found[1], found[2]


def _build(source: Path, path: str, version: str, target: Path) -> None:
    print(f"building {path} {version} into {target}", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        flags = f"-s -w -X k8s.io/component-base/version.gitVersion={version}"
        _go(source, "build", "-trimpath", "-ldflags", flags, "-o", f"{unfinished}/", "tool")
        folder = Path(_go(source, "list", "-m", "-f", "{{.Dir}}", path).strip())
        if (folder / CRDS).is_dir():
            shutil.copytree(folder / CRDS, unfinished / "crds")
        unfinished.chmod(0o755)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _go(source: Path, *arguments: str) -> str:
    # CGO would tie the programs to this machine's C library; the checksums are those of go.sum.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    command = ["nice", "go", *arguments]
    return subprocess.run(
        command, cwd=source, env=environment, check=True, timeout=BUILD_SECONDS, stdout=subprocess.PIPE, text=True
    ).stdout


def _digest(source: Path) -> str:
    content = b"".join((source / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(content).hexdigest()[:8]


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
