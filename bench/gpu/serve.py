"""Serving on one GPU: this project's endpoint beside `vllm serve`, asked the same by as many clients.

    PYTHONPATH=operator:jobs:bench/gpu VLLM_USE_FLASHINFER_SAMPLER=0 python bench/gpu/serve.py DATA \
        [--requests 1024] [--clients 64] [--tokens 128]

DATA is a folder with ViGGO's train.jsonl. The weights are vLLM's dummies. Both run at once, each with its share of the
GPU's memory, and are asked by turns, first one and then the other, so that what else the machine does is in the figures
of both. Loading is left out of the figures; questions are distinct but for the instruction, and prefix caching is on in
both. Beside the figures stand the processes that were busiest meanwhile, in cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import workload
from load_clients import Load, Question, measure

from llmworkflow.api.spec.serve import Serve
from llmworkflow.render.serve_config import PROXY_VARIABLES

_NAME = "viggo"
_PORTS = {"ours": 8123, "plain": 8124}
_START_SECONDS = 500
# Two engines fit; how much is left for their caches is said, as neither can find out while the other starts.
_ENGINE = workload.ENGINE | {"gpu_memory_utilization": 0.4, "kv_cache_memory_bytes": 16 << 30}
# Who is asked first, and how answers come.
_TURNS = [
    (server, stream)
    for servers in (("ours", "plain"), ("plain", "ours"))
    for stream in (False, True)
    for server in servers
]


@contextmanager
def ours(folder: Path) -> Iterator[None]:
    """The application that `llmworkflow_jobs.serving` makes, declared to Ray Serve as the operator does it."""
    import ray
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    os.environ.update(PROXY_VARIABLES)
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": _PORTS["ours"]})
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
    yield
    serve.shutdown()
    ray.shutdown()


@contextmanager
def plain(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`vllm serve` with the same engine."""
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(folder / "model")]
    command += ["--served-model-name", _NAME, "--host", "127.0.0.1", "--port", str(_PORTS["plain"])]
    for name, value in _ENGINE.items():
        command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    own = os.environ | {"VLLM_CACHE_ROOT": str(folder / "plain")}  # what is compiled is compiled by each
    with subprocess.Popen([*command, "--disable-uvicorn-access-log"], env=own) as server:
        yield server
        server.terminate()


def run(folder: Path, load: Load, asked: list[Question]) -> None:
    """Print the figures of each turn, one JSON object a line, and then how much faster the one is than the other."""
    part = len(asked) // (len(_TURNS) + 2)
    shares = iter(asked[number * part : (number + 1) * part] for number in range(len(_TURNS) + 2))
    rates: dict[tuple[str, bool], list[float]] = {}
    with ours(folder), plain(folder) as server_of_vllm:
        _wait("plain", lambda: bool(_read("plain", "/v1/models")), server_of_vllm)
        _wait("ours", lambda: _told()["verification"]["passed"])
        for server in _PORTS:  # until nothing is compiled or captured any more
            measure(_url(server), load, next(shares), stream=False)
        for server, stream in _TURNS:
            figures = _busy(lambda: measure(_url(server), load, next(shares), stream=stream))  # noqa: B023
            rates.setdefault((server, stream), []).append(figures["tokensPerSecond"])
            print(server, json.dumps({"stream": stream} | figures), flush=True)
    for stream in (False, True):
        ratio = statistics.mean(rates["ours", stream]) / statistics.mean(rates["plain", stream])
        print("ours / plain,", "streamed" if stream else "whole", round(ratio, 3), flush=True)


def _url(server: str) -> str:
    return f"http://127.0.0.1:{_PORTS[server]}"


def _config(folder: Path) -> Path:
    """The file that the endpoint's engines start with."""
    models = [{"modelId": _NAME, "engineKwargs": _ENGINE}]
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


def _wait(server: str, ready: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    began = time.monotonic()
    while time.monotonic() < began + _START_SECONDS:
        if process and process.poll() is not None:
            raise ChildProcessError(f"{server} ended with {process.returncode}")
        try:
            if ready():
                print(server, "is up after", round(time.monotonic() - began), "s", flush=True)
                return
        except (OSError, TypeError, KeyError):  # not there yet, or nothing told yet
            pass
        time.sleep(0.5)
    raise TimeoutError(f"no endpoint of {server} within {_START_SECONDS} s")


def _told() -> Any:
    return json.loads(_read("ours", "/llmworkflow/report"))


def _read(server: str, path: str) -> bytes:
    with urllib.request.urlopen(_url(server) + path, timeout=10) as reply:
        return bytes(reply.read())


def _questions(data: Path, count: int) -> list[Question]:
    """Messages of as many chats; a number at the beginning tells those of one row apart."""
    rows = workload.read_rows(data / "train.jsonl")
    asked = (f"{workload.INSTRUCTION}\n{n}: {rows[n % len(rows)]['input']}" for n in range(count))
    return [[{"role": "user", "content": content}] for content in asked]


def main() -> None:
    """Measure both by turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--requests", type=int, default=1024, help="of each turn")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    load = Load(_NAME, options.clients, options.tokens)
    asked = _questions(options.data, options.requests * (len(_TURNS) + 2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workload.make_model(folder / "model", workload.texts(options.data), weights=False)
        run(folder, load, asked)


if __name__ == "__main__":
    sys.exit(main())
