"""The storage of jobs on a real S3-compatible server: artifacts, checkpoints, removal, and what goes wrong there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import checkpoints, storage, stored
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import to_job_error

from ..s3_server import S3Server, s3_server  # noqa: TID252 - tests is on no path

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WAIT = 300
TWO_NODES = Path(__file__).with_name("two_nodes.py")
Config = Callable[..., JobConfig]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("buckets")) as server:
        yield server


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A new bucket, whose credentials this process and those that it starts have."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LLMWORKFLOW_CACHE", str(tmp_path / "cache"))
    return server.bucket(tmp_path.name.replace("_", "-").lower()[-60:].strip("-"))


@pytest.fixture
def document(
    bucket: Path, server: S3Server, stage_document: Callable[..., Any]
) -> Callable[..., dict[str, Any]]:
    """A function (**changes) that returns a fine-tuning's configuration with the bucket as storage."""
    place = {"endpoint": server.endpoint}
    return lambda storage={}, **changes: stage_document(
        "fineTune", f"s3://{bucket.name}/team", storage=place | storage, **changes
    )


@pytest.fixture
def config(document: Callable[..., dict[str, Any]]) -> Config:
    return lambda **changes: parse(document(**changes))


def attempt_folder(bucket: Path, attempt: int = 1) -> Path:
    return bucket / "team" / "default" / "viggo" / "stage" / "0123456789ab" / str(attempt)


def publish(config: JobConfig, folder: Path) -> dict[str, str]:
    """An adapter, written on this machine and brought to the bucket as a training does."""
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(b"1234")
    (folder / "sub" / "b.json").write_text("{}")
    storage.upload(str(folder), f"{config.output_uri}/adapter", config)
    return storage.publish(config, "adapter", ["adapter"], {"seed": 7})


@pytest.mark.capability("bucket")
def test_artifact_is_published_and_read_back(config: Config, bucket: Path, tmp_path: Path) -> None:
    job = config()
    storage.claim(job)
    assert storage.published(job) is None
    artifact = publish(job, tmp_path / "adapter")
    assert (attempt_folder(bucket) / "manifest.json").is_file()
    manifest = storage.read_manifest(artifact, job)
    assert [file["path"] for file in manifest["files"]] == ["adapter/a.bin", "adapter/sub/b.json"]
    assert storage.published(job) == (artifact, manifest)
    copy = storage.local_path(f"{artifact['uri']}/adapter", job)
    assert (Path(copy) / "sub" / "b.json").read_text() == "{}"


def test_artifact_that_was_overwritten_is_missing(config: Config, tmp_path: Path) -> None:
    job = config()
    artifact = publish(job, tmp_path / "adapter")
    filesystem, path = storage.open_uri(f"{artifact['uri']}/adapter/a.bin", job)
    with filesystem.open_output_stream(path) as stream:
        stream.write(b"4321")
    with pytest.raises(JobError, match=r"adapter/a\.bin has another content") as caught:
        storage.read_whole(artifact, job)
    assert caught.value.reason == "ArtifactMissing"


def test_folder_belongs_to_one_workflow(config: Config) -> None:
    theirs = {"name": "other", "uid": "99"}
    storage.claim(config())
    with pytest.raises(JobError, match="belongs to workflow default/viggo") as caught:
        storage.claim(config(workflow=theirs))
    assert caught.value.reason == "PathInUse"
    storage.claim(config(workflow=theirs, storage={"adopt": True}))
    with pytest.raises(JobError, match="belongs to workflow default/other"):
        storage.claim(config())


@pytest.mark.capability("bucket")
def test_checkpoints_are_found_fetched_and_pruned(config: Config, bucket: Path) -> None:
    first, second = config(), config(stage={"attempt": 2})
    for job, steps in ((first, (10, 20)), (second, (30,))):
        for step in steps:
            folder = checkpoints.local_root(job) / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            (folder / "weights.bin").write_bytes(b"%d" % step)
            checkpoints.finish(folder, job)
    (attempt_folder(bucket, 2) / "checkpoints" / "checkpoint-30" / "complete.json").unlink()
    newest = checkpoints.newest(second)
    assert newest
    assert (newest.step, newest.attempt) == (20, 1)
    shutil.rmtree(checkpoints.local_root(first))  # another machine goes on
    assert (Path(checkpoints.fetch(newest, second)) / "weights.bin").read_bytes() == b"20"
    checkpoints.prune(first, 1, None)
    kept = attempt_folder(bucket) / "checkpoints"
    assert [path.name for path in kept.iterdir() if any(path.iterdir())] == ["checkpoint-20"]
    shutil.rmtree(checkpoints.local_root(second))


def test_attempts_are_listed_and_removed(config: Config, bucket: Path, tmp_path: Path) -> None:
    publish(config(), tmp_path / "first")
    publish(config(stage={"attempt": 2}), tmp_path / "second")
    found = stored.folders(config())
    assert [folder.attempt for folder in found] == [1, 2]
    stored.remove(found[:1], config())
    assert [folder.attempt for folder in stored.folders(config())] == [2]
    assert not list(attempt_folder(bucket).rglob("*.*"))
    stored.remove(found[1:], config())
    assert stored.folders(config()) == []


def test_refused_credentials_are_told(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(OSError, match="AWS Error") as caught:
        storage.claim(config())
    error = to_job_error(caught.value)
    assert (error.reason, error.retryable) == ("StorageError", True)
    assert "refuses the credentials; put right the Secret of storage.credentialsFrom" in error.message
    assert "not-the-secret" not in error.message


def test_unknown_bucket_is_told(config: Config) -> None:
    with pytest.raises(OSError, match="nowhere") as caught:
        storage.claim(config(storage={"uri": "s3://nowhere/team"}))
    error = to_job_error(caught.value)
    assert (error.reason, error.retryable) == ("StorageError", True)
    assert "bucket" in error.message


def test_server_that_goes_away_leaves_no_half_artifact(
    stage_document: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets = tmp_path / "buckets"
    buckets.mkdir()

    def job(server: S3Server) -> JobConfig:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        return parse(stage_document("fineTune", "s3://team", storage={"endpoint": server.endpoint}))

    with s3_server(buckets) as server:
        server.bucket("team")
        before = job(server)
        (tmp_path / "adapter").mkdir()
        (tmp_path / "adapter" / "a.bin").write_bytes(b"1234")
        storage.upload(str(tmp_path / "adapter"), f"{before.output_uri}/adapter", before)
    with pytest.raises(OSError, match="NETWORK_CONNECTION") as caught:
        storage.publish(before, "adapter", ["adapter"], {})
    assert "look at storage.endpoint" in to_job_error(caught.value).message
    with s3_server(buckets) as server:
        again = job(server)
        assert storage.published(again) is None
        assert storage.read_manifest(storage.publish(again, "adapter", ["adapter"], {}), again)


@pytest.mark.capability("sources")
def test_killed_training_goes_on_from_the_bucket(
    document: Callable[..., dict[str, Any]], bucket: Path, tiny_model: Path, start_job: Any
) -> None:
    team = bucket / "team"
    shutil.copytree(tiny_model, team / "model")
    rows = [{"instruction": "Name?", "input": f"Game {n}", "output": f"name[Game {n}]"} for n in range(80)]
    (team / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    long = {"numTrainEpochs": 20, "evalSteps": 50}
    first = start_job("fine_tune", document(training=long))
    complete = attempt_folder(bucket) / "checkpoints" / "checkpoint-30" / "complete.json"
    deadline = time.monotonic() + WAIT
    while not complete.exists():
        assert first.process.poll() is None, first.wait(1)
        assert time.monotonic() < deadline, "no checkpoint in the bucket"
        time.sleep(0.02)
    first.process.kill()
    first.process.wait(60)
    shutil.rmtree(checkpoints.local_root(parse(document())))  # another machine goes on

    second = start_job("fine_tune", document(stage={"attempt": 2}, training=long)).wait(WAIT)
    assert second["state"] == "Succeeded", second["error"]
    assert second["metrics"]["resumedFromStep"]["value"] >= 30
    assert second["metrics"]["steps"]["value"] == 200
    manifest = storage.read_manifest(second["artifact"], parse(document()))
    assert "adapter/adapter_model.safetensors" in [file["path"] for file in manifest["files"]]
    assert [path.name for path in attempt_folder(bucket, 2).glob("adapter/*.safetensors")]


@pytest.mark.capability("bucket")
@pytest.mark.capability("parallelism")
def test_an_engine_on_two_machines_has_its_files_on_both(
    document: Callable[..., dict[str, Any]], bucket: Path, tmp_path: Path
) -> None:
    (bucket / "base").mkdir()
    (bucket / "base" / "config.json").write_text("{}")
    caches = [tmp_path / "first", tmp_path / "second"]
    command = [sys.executable, TWO_NODES, json.dumps(document()), f"s3://{bucket.name}/base", *caches]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, done.stderr[-3000:]
    for cache in caches:
        assert [file.name for file in cache.glob("*/*")] == ["config.json"]
