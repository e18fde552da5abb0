"""Programs of Debian's packages, unpacked into the user's cache: nothing is installed, and none of it needs root."""

import fcntl
import shutil
import subprocess
from pathlib import Path

from .binaries import CACHE

SECONDS = 300


def program(package: str, name: str) -> Path:
    """The path of a program of a package, which is downloaded once on a machine."""
    target = CACHE / f"debian-{package}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _unpack(package, target)
    return target / "usr" / "bin" / name


def _unpack(package: str, target: Path) -> None:
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a download that was killed
    unfinished.mkdir()
    try:
        _apt(unfinished, "download", package)
    except subprocess.CalledProcessError:  # this machine has no lists of packages, or old ones
        own = _own_lists(unfinished)
        _apt(unfinished, *own, "update")
        _apt(unfinished, *own, "download", package)
    (archive,) = unfinished.glob("*.deb")
    subprocess.run(["dpkg", "-x", archive, unfinished / "root"], check=True, timeout=SECONDS)
    (unfinished / "root").rename(target)
    shutil.rmtree(unfinished)


def _own_lists(folder: Path) -> list[str]:
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "archives" / "partial").mkdir(parents=True)
    return ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}"]


def _apt(folder: Path, *arguments: str) -> None:
    # apt's own user cannot write into the folder of another.
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", *arguments]
    subprocess.run(command, cwd=folder, check=True, timeout=SECONDS, stdout=subprocess.DEVNULL)
