"""A workflow whose models and artifacts are in a bucket, by the command, with credentials from a Secret.

What it trains on is CSV of an http server; all other data are in the bucket too.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from llmworkflow.cli.demo import CACHE
from llmworkflow.demo import base_model, grammar

from ..s3_server import S3Server, s3_server  # noqa: TID252 - tests is on no path
from .harness import Command, Workflow, stage_of

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1500)]

NAME = "bucket"
ROWS = 320


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("buckets")) as server:
        yield server


@pytest.fixture(scope="module")
def bucket(server: S3Server) -> Path:
    """A bucket with the tiny base model, and data to score."""
    bucket = server.bucket("team")
    shutil.copytree(base_model.cached(CACHE, lambda part, message: None), bucket / "models" / "tiny")
    grammar.write_dataset(bucket / "data")
    return bucket


@pytest.fixture(scope="module")
def csv_url(bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an http server has the rows to train on, and nobody else has them as CSV."""
    folder = tmp_path_factory.mktemp("web")
    rows = [json.loads(line) for line in (bucket / "data" / "train.jsonl").read_text().splitlines()[:ROWS]]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    (folder / "train.csv").write_text(text.getvalue(), newline="")
    (bucket / "data" / "train.jsonl").unlink()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/train.csv"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def workflow(demo_workflow: Workflow, server: S3Server, bucket: Path, csv_url: str) -> Workflow:
    """Tune shortly, answer some rows and serve: the demo without its first batch and its gate."""
    workflow: Workflow = json.loads(json.dumps(demo_workflow).replace("volume:", f"s3://{bucket.name}/"))
    workflow["metadata"]["name"] = NAME
    workflow["spec"]["storage"] = {
        "uri": f"s3://{bucket.name}/made",
        "endpoint": server.endpoint,
        "credentialsFrom": {"secretRef": {"name": "s3"}},
        "retention": {"keepRevisions": 1},
    }
    tune, score = stage_of(workflow, "tune"), stage_of(workflow, "score")
    tune["fineTune"]["data"]["train"] = [{"uri": csv_url}]
    tune["fineTune"]["training"] |= {"numTrainEpochs": 1, "saveSteps": 5}
    score["batch"]["input"]["limit"] = 12
    del score["gates"], score["batch"]["evaluate"]["minRows"]
    workflow["spec"]["stages"] = [tune, score, stage_of(workflow, "chat")]
    return workflow


@pytest.fixture(scope="module")
def serving(command: Command, workflow: Workflow, server: S3Server) -> dict[str, Any]:
    """The status once the workflow serves, in the background."""
    secret = command.root / "secrets" / "default" / "s3"
    secret.mkdir(parents=True)
    for name, value in server.variables.items():
        (secret / name).touch(0o600)
        (secret / name).write_text(f"{value}\n")
    assert command.run(workflow, "--detach", timeout=240).returncode == 0
    assert command.run(workflow, timeout=600).returncode == 0
    return command.status(NAME)


def made(bucket: Path, stage: dict[str, Any]) -> Path:
    """The folder of what a stage made."""
    return bucket.parent / stage["artifact"]["uri"].removeprefix("s3://")


@pytest.mark.capability("secrets")
def test_a_missing_secret_is_named(command: Command, workflow: Workflow) -> None:
    other = json.loads(json.dumps(workflow))
    other["metadata"]["name"] = "no-secret"
    other["spec"]["storage"]["credentialsFrom"]["secretRef"]["name"] = "missing"
    ended = command.run(other)
    assert ended.returncode == 1
    assert "secret default/missing is not on this machine" in ended.stdout
    assert "Traceback" not in ended.stdout


@pytest.mark.capability("sources", "model-sources", "bucket")
def test_what_was_read_by_http_is_in_the_bucket(
    serving: dict[str, Any], command: Command, bucket: Path, csv_url: str
) -> None:
    stages = {stage["name"]: stage for stage in serving["stages"]}
    assert stages["chat"]["state"] == "Serving"
    assert stages["chat"]["verification"]["rows"] == 12
    for name, file in (("tune", "adapter/adapter_model.safetensors"), ("score", "replay.jsonl")):
        manifest = json.loads((made(bucket, stages[name]) / "manifest.json").read_text())
        assert file in [item["path"] for item in manifest["files"]]
    tuned = json.loads((made(bucket, stages["tune"]) / "manifest.json").read_text())
    assert csv_url in tuned["data"]
    assert list((made(bucket, stages["tune"]) / "checkpoints").glob("checkpoint-10/complete.json"))
    assert list((made(bucket, stages["score"]) / "rows").glob("*.parquet"))
    assert command("chat", NAME, "Is it Iron Harbor?").stdout.strip()
    assert not list(command.root.glob("volumes/*/default"))


@pytest.mark.capability("secrets")
def test_no_credential_is_seen_anywhere(
    serving: dict[str, Any], command: Command, server: S3Server, bucket: Path
) -> None:
    kept = command.root / "secrets"
    ray = Path(command.driver(NAME)["folder"])
    files = [path for root in (command.root, bucket, ray) for path in root.rglob("*") if path.is_file()]
    looked = [path for path in files if not path.is_relative_to(kept)]
    assert any(path.suffix == ".log" for path in looked)
    texts = {str(path): path.read_bytes() for path in looked}
    texts |= {f"process {process.pid}": _command_line(process) for process in psutil.process_iter()}
    texts["status"] = json.dumps(serving).encode()
    for value in server.variables.values():
        assert [place for place, text in texts.items() if value.encode() in text] == []


@pytest.mark.capability("hand-off")
def test_an_artifact_that_is_gone_is_made_again(
    serving: dict[str, Any], command: Command, workflow: Workflow, bucket: Path
) -> None:
    before = {stage["name"]: stage for stage in serving["stages"]}
    (made(bucket, before["tune"]) / "adapter" / "adapter_model.safetensors").unlink()
    stage_of(workflow, "score")["batch"]["input"]["limit"] = 10

    assert command.run(workflow).returncode == 0

    after = command.stages(NAME)
    assert [item["reason"] for item in after["score"]["attempts"]][-2:] == ["ArtifactMissing", "Completed"]
    assert after["tune"]["revision"] == before["tune"]["revision"]
    assert after["tune"]["attempt"] == before["tune"]["attempt"] + 1
    assert (made(bucket, after["tune"]) / "adapter" / "adapter_model.safetensors").exists()
    assert after["chat"]["state"] == "Serving"


@pytest.mark.capability("retention")
def test_gc_takes_what_nothing_needs(serving: dict[str, Any], command: Command, bucket: Path) -> None:
    stages = command.stages(NAME)
    idle = bucket / "made" / "default" / NAME / "tune" / "0123456789ab" / "1"
    (idle / "checkpoints").mkdir(parents=True)
    (idle / "checkpoints" / "weights").write_bytes(bytes(2000))
    told = command("gc", NAME, "--dry-run").stdout
    assert "0123456789ab" in told
    assert "2.0 kB" in told
    assert idle.exists()
    assert command("gc", NAME).returncode == 0
    assert not idle.exists()
    for name in ("tune", "score"):
        assert (made(bucket, stages[name]) / "manifest.json").exists()
    assert "removed 0 attempts" in command("gc").stdout
    assert command("stop", NAME, timeout=180).returncode == 0


def _command_line(process: psutil.Process) -> bytes:
    try:
        return " ".join(process.cmdline()).encode()
    except (psutil.Error, OSError):
        return b""


@pytest.mark.capability("bucket")
def test_a_bucket_that_refuses_is_told_after_retries(
    command: Command, workflow: Workflow, server: S3Server
) -> None:
    secret = command.root / "secrets" / "default" / "wrong"
    secret.mkdir(parents=True)
    for name in server.variables:
        (secret / name).touch(0o600)
        (secret / name).write_text("wrong")
    refused = json.loads(json.dumps(workflow))
    refused["metadata"]["name"] = "refused"
    refused["spec"]["inputs"] = "pinned"
    refused["spec"]["storage"]["credentialsFrom"]["secretRef"]["name"] = "wrong"
    refused["spec"]["stages"] = [stage_of(workflow, "tune") | {"retries": 1}]
    assert command.run(refused).returncode == 1
    tune = command.stages("refused")["tune"]
    assert (tune["state"], tune["reason"], tune["attempt"]) == ("Failed", "StorageError", 2)
    assert "refuses the credentials; put right the Secret" in tune["message"]
    assert "(after 2 attempts)" in tune["message"]
