"""The project's images, built with buildah from a Debian root that debootstrap makes: no registry is needed.

Layers are kept in the user's cache, so that only what changed is built anew.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmworkflow import __version__

from . import packages
from .binaries import CACHE, built

ROOT = Path(__file__).parents[2]
# As the chart and the manifests name them: what is built here is what they would pull.
PREFIX, TAG = "docker.io/llmworkflow", __version__
CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt"  # those of this machine: its way to the registries may need them
)
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
PACKAGES = "ca-certificates,python3,python3-venv"
NEEDS = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",  # with which it checks what it gets
    CERTIFICATES: "ca-certificates",
}
BUILD_SECONDS = 30 * 60
STORE = CACHE / "images"

SANDBOX = "sandbox"  # of the process that holds a pod's namespaces
# The image that each one is built from.
BASES = {"operator": "debian", "ray-cpu": "debian", "jobs": "ray-cpu", "llama-factory": "jobs"}
# Images of one program, by the module that it is built from.
PROGRAMS = {"kuberay": "ray-operator", "versitygw": "versitygw"}


def reference(name: str) -> str:
    """How manifests name an image."""
    return f"{PREFIX}/{name}:{TAG}"


def build(name: str) -> str:
    """Build an image where it, or what is in it, has changed; returns its digest."""
    packages.need(NEEDS)
    with _lock():
        _build(name)
        return _buildah("images", "--no-trunc", "--quiet", reference(name)).strip()


@contextmanager
def saved(name: str, folder: Path) -> Iterator[Path]:
    """A docker archive of an image that was built, for as long as this lasts."""
    archive = folder / f"{name}.tar"
    try:
        with _lock():
            _buildah("push", reference(name), f"docker-archive:{archive}:{reference(name)}")
        yield archive
    finally:
        archive.unlink(missing_ok=True)


def _build(name: str) -> None:
    if name == "debian":
        _build_debian()
    elif name in BASES:
        _build(BASES[name])
        _bud(name, ROOT / "images" / name / "Dockerfile", ROOT, base=BASES[name])
    elif name in PROGRAMS:
        program = PROGRAMS[name]
        _from_text(name, f'FROM scratch\nCOPY {program} /\nENTRYPOINT ["/{program}"]\n', built(name))
    else:
        _build_debian()
        _from_text(name, f'FROM {reference("debian")}\nCMD ["sleep", "infinity"]\n', STORE)


def _build_debian() -> None:
    if _buildah("images", "--quiet", "--filter", f"reference={reference('debian')}"):
        return
    root = STORE / "debian"
    shutil.rmtree(root, ignore_errors=True)
    command: list[str | Path] = [
        "debootstrap",
        "--variant=minbase",
        f"--include={PACKAGES}",
        SUITE,
        root,
        MIRROR,
    ]
    subprocess.run(command, check=True, timeout=BUILD_SECONDS, stdout=subprocess.DEVNULL)
    _from_text("debian", 'FROM scratch\nCOPY . /\nCMD ["bash"]\n', root)
    shutil.rmtree(root)


def _from_text(name: str, dockerfile: str, context: Path) -> None:
    file = STORE / f"{name}.Dockerfile"
    file.write_text(dockerfile)
    _bud(name, file, context)


def _bud(name: str, file: Path, context: Path, base: str = "") -> None:
    print(f"building image {reference(name)}", flush=True)
    uv = Path(os.environ.get("UV_CACHE_DIR") or "~/.cache/uv").expanduser()
    uv.mkdir(parents=True, exist_ok=True)
    mounts = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--volume", f"{uv}:/var/cache/uv"]
    bases = ["--build-arg", f"BASE={reference(base)}"] if base else []
    _buildah("bud", "--layers", *mounts, *bases, "--file", str(file), "--tag", reference(name), str(context))


def _buildah(*arguments: str) -> str:
    environment = {**os.environ, "STORAGE_DRIVER": "overlay", "BUILDAH_ISOLATION": "chroot"}
    command: list[str | Path] = ["buildah", "--root", STORE / "store", "--runroot", STORE / "run", *arguments]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, timeout=BUILD_SECONDS
    )
    assert done.returncode == 0, f"buildah {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
    return done.stdout


@contextmanager
def _lock() -> Iterator[None]:
    STORE.mkdir(parents=True, exist_ok=True)
    with (STORE / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
