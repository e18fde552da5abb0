"""Serving on one GPU: this project's endpoint beside `vllm serve`, asked the same by as many clients.

    PYTHONPATH=operator:jobs:bench/gpu VLLM_USE_FLASHINFER_SAMPLER=0 python bench/gpu/serve.py DATA \
        [--requests 2048] [--clients 64] [--tokens 128] [--servers ours plain]

DATA is a folder with ViGGO's train.jsonl. The weights are vLLM's dummies. Loading is left out of the figures; questions
are distinct but for the instruction, and prefix caching is on in both. Beside the figures stand the processes that were
busiest meanwhile, in cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import workload
from load_clients import Load, Question, measure

from llmworkflow.api.spec.serve import Serve

_NAME = "viggo"
_PORT = 8123
_URL = f"http://127.0.0.1:{_PORT}"
_START_SECONDS = 400


@contextmanager
def ours(folder: Path) -> Iterator[None]:
    """The application that `llmworkflow_jobs.serving` makes, declared to Ray Serve as the operator does it."""
    import ray
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": _PORT})
    application = {
        "name": "bench",
        "route_prefix": "/",
        "import_path": "llmworkflow_jobs.serving:build",
        "args": {"config": str(_config(folder)), "report": (folder / "report.json").as_uri()},
        "deployments": [
            {
                "name": "LLMIngress",
                "user_config": {"revision": "0", "attempt": 1, "aliases": {_NAME: None}, "verify": None},
            }
        ],
    }
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate({"applications": [application]}))
    _wait(lambda: _told()["verification"]["passed"])
    yield
    serve.shutdown()
    ray.shutdown()


@contextmanager
def plain(folder: Path) -> Iterator[None]:
    """`vllm serve` with the same engine."""
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(folder / "model")]
    command += ["--served-model-name", _NAME, "--host", "127.0.0.1", "--port", str(_PORT)]
    for name, value in workload.ENGINE.items():
        command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    with subprocess.Popen([*command, "--disable-uvicorn-access-log"]) as server:
        _wait(lambda: bool(_read("/v1/models")))
        yield
        server.terminate()


def run(
    server: Callable[[Path], AbstractContextManager[None]], folder: Path, load: Load, asked: list[Question]
) -> dict[str, Any]:
    """The figures of a server, for answers that come whole and for those that are streamed."""
    part = len(asked) // 9
    with server(folder):
        measure(_URL, load, asked[:part], stream=False)  # until nothing is compiled or captured any more
        return {
            "whole": _busy(lambda: measure(_URL, load, asked[part : 5 * part], stream=False)),
            "streamed": _busy(lambda: measure(_URL, load, asked[5 * part :], stream=True)),
        }


def _config(folder: Path) -> Path:
    """The file that the endpoint's engines start with."""
    models = [{"modelId": _NAME, "engineKwargs": workload.ENGINE}]
    document = workload.document("serve", folder, Serve.model_validate({"models": models}), "ours")
    served = [{**model, "loadsAdapters": False} for model in document["serve"]["models"]]
    document["serve"] |= {"models": served, "apiKeys": False}
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return path


def _busy(measured: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `measured` returns, and the cores that the busiest processes took meanwhile."""
    before, began = _seconds(), time.monotonic()
    figures = measured()
    took = time.monotonic() - began
    cores = {key: (spent - before.get(key, 0.0)) / took for key, spent in _seconds().items()}
    busiest = sorted(cores, key=lambda key: -cores[key])[:6]
    return figures | {"cores": [f"{name} {cores[pid, name]:.2f}" for pid, name in busiest]}


def _seconds() -> dict[tuple[int, str], float]:
    """Seconds of CPU of each process."""
    found = {}
    for process in psutil.process_iter():
        with process.oneshot():
            try:
                name = " ".join(process.cmdline())[:60] or process.name()
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
        found[process.pid, name] = times.user + times.system
    return found


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except (OSError, TypeError, KeyError):  # not there yet, or nothing told yet
            pass
        time.sleep(0.5)
    raise TimeoutError(f"no endpoint within {_START_SECONDS} s")


def _told() -> Any:
    return json.loads(_read("/llmworkflow/report"))


def _read(path: str) -> bytes:
    with urllib.request.urlopen(_URL + path, timeout=10) as reply:
        return bytes(reply.read())


def _questions(data: Path, count: int) -> list[Question]:
    """Messages of as many chats; a number at the beginning tells those of one row apart."""
    rows = workload.read_rows(data / "train.jsonl")
    asked = (f"{workload.INSTRUCTION}\n{n}: {rows[n % len(rows)]['input']}" for n in range(count))
    return [[{"role": "user", "content": content}] for content in asked]


def main() -> None:
    """Measure both, and print one JSON object a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--requests", type=int, default=2048)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--servers", choices=("ours", "plain"), nargs="+", default=("ours", "plain"))
    options = parser.parse_args()
    load = Load(_NAME, options.clients, options.tokens)
    asked = _questions(options.data, options.requests * 9 // 4)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workload.make_model(folder / "model", workload.texts(options.data), weights=False)
        for server in options.servers:
            print(
                server,
                json.dumps(workload.in_process(run, globals()[server], folder, load, asked)),
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
