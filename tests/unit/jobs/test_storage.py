"""Addresses, and artifacts that are either whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError

Config = Callable[..., JobConfig]


@pytest.mark.parametrize(
    "uri", ["volume:models/tiny", "volume://models/tiny", "{path}/models/tiny", "file://{path}/models/tiny"]
)
def test_local_addresses_of_one_folder(fine_tune: Config, tmp_path: Path, uri: str) -> None:
    filesystem, path = storage.open_uri(uri.format(path=tmp_path), fine_tune())
    assert isinstance(filesystem, fs.LocalFileSystem)
    assert path == str(tmp_path / "models" / "tiny")
    assert storage.local_path(uri.format(path=tmp_path), fine_tune()) == path


def test_file_address_is_unquoted(fine_tune: Config, tmp_path: Path) -> None:
    assert storage.open_uri((tmp_path / "a b").as_uri(), fine_tune())[1] == str(tmp_path / "a b")


@pytest.mark.capability("bucket")
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://host/data", "expected file://, s3://"),
        ("data/train.jsonl", "expected file://, s3://"),
        ("volume:../secrets", "may not leave the volume"),
        ("volume:a/../../secrets", "may not leave the volume"),
    ],
)
def test_other_addresses_are_refused(fine_tune: Config, uri: str, message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        storage.open_uri(uri, fine_tune())
    assert caught.value.reason == "OptionInvalid"


@pytest.mark.capability("bucket")
def test_bucket_of_another_server(fine_tune: Config) -> None:
    config = fine_tune(storage={"endpoint": "http://127.0.0.1:9000"})
    filesystem, path = storage.open_uri("s3://bucket/team/a", config)
    assert isinstance(filesystem, fs.S3FileSystem)
    assert path == "bucket/team/a"
    assert storage.open_uri("s3://bucket/another", config)[0] is filesystem


@pytest.mark.capability("bucket")
def test_bucket_of_google(fine_tune: Config) -> None:
    filesystem, path = storage.open_uri("gs://bucket/team/a", fine_tune())
    assert isinstance(filesystem, fs.GcsFileSystem)
    assert path == "bucket/team/a"


def write_attempt(config: JobConfig, files: dict[str, bytes]) -> Path:
    folder = Path(storage.open_uri(config.output_uri, config)[1])
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


FILES = {"adapter/a.bin": b"1234", "adapter/sub/b.json": b"{}", "checkpoints/c": b"no", "training.jsonl": b""}


@pytest.mark.capability("hand-off")
def test_published_artifact_is_read_back(fine_tune: Config) -> None:
    config = fine_tune()
    write_attempt(config, FILES)
    assert storage.published(config) is None
    artifact = storage.publish(config, "adapter", ["adapter", "training.jsonl"], {"seed": 7})
    manifest = storage.read_manifest(artifact, config)
    assert [file["path"] for file in manifest["files"]] == [
        "adapter/a.bin",
        "adapter/sub/b.json",
        "training.jsonl",
    ]
    assert manifest["files"][0]["sha256"] == storage.file_digest(
        *storage.open_uri(f"{config.output_uri}/adapter/a.bin", config)
    ).removeprefix("sha256:")
    assert (manifest["type"], manifest["seed"], manifest["stage"], manifest["attempt"]) == (
        "adapter",
        7,
        "stage",
        1,
    )
    assert manifest["versions"]["transformers"]
    assert storage.published(config) == (artifact, manifest)


@pytest.mark.capability("hand-off")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is not there"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "another digest"),
        (lambda folder: (folder / "adapter/a.bin").unlink(), "adapter/a.bin is missing"),
        (lambda folder: (folder / "adapter/a.bin").write_bytes(b"123"), "not of 4 bytes"),
        (lambda folder: (folder / "adapter/a.bin").write_bytes(b"4321"), "another content"),
    ],
)
def test_damaged_artifact_is_missing(fine_tune: Config, damage: Callable[[Path], Any], message: str) -> None:
    config = fine_tune()
    folder = write_attempt(config, FILES)
    artifact = storage.publish(config, "adapter", ["adapter"], {})
    damage(folder)
    with pytest.raises(JobError, match=message) as caught:
        storage.read_whole(artifact, config)
    assert (caught.value.reason, caught.value.artifact) == ("ArtifactMissing", artifact["uri"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.dictionaries(st.sampled_from(["a", "b", "c/d"]), st.binary(max_size=4)), st.data())
def test_tree_digest_tells_names_and_contents(
    tmp_path: Path, files: dict[str, bytes], data: st.DataObject
) -> None:
    def digest(content: dict[str, bytes]) -> str:
        folder = tmp_path / storage.text_digest(repr(sorted(content.items())))
        for name, value in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(value)
        return storage.tree_digest(fs.LocalFileSystem(), str(folder))

    other = data.draw(st.dictionaries(st.sampled_from(["a", "b", "c/d"]), st.binary(max_size=4)))
    assert (digest(files) == digest(other)) == (files == other)


def test_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "file.json"
    storage.write_text(fs.LocalFileSystem(), str(path), "one")
    storage.write_text(fs.LocalFileSystem(), str(path), "two")
    assert path.read_text() == "two"
    assert [file.name for file in path.parent.iterdir()] == ["file.json"]


def test_folder_belongs_to_one_workflow(fine_tune: Config) -> None:
    mine, theirs = fine_tune(), fine_tune(workflow={"name": "other", "uid": "99"})
    storage.claim(mine)
    storage.claim(mine)
    with pytest.raises(
        JobError, match=r"belongs to workflow default/viggo.*storage\.path.*storage\.adopt"
    ) as caught:
        storage.claim(theirs)
    assert caught.value.reason == "PathInUse"
    storage.claim(fine_tune(workflow={"name": "other", "uid": "99"}, storage={"adopt": True}))
    storage.claim(theirs)
    with pytest.raises(JobError, match="belongs to workflow default/other"):
        storage.claim(mine)


def test_upload_copies_to_another_place_only(fine_tune: Config, tmp_path: Path) -> None:
    config = fine_tune()
    folder = write_attempt(config, {"adapter/a.bin": b"1"}) / "adapter"
    storage.upload(str(folder), f"{config.output_uri}/adapter", config)
    storage.upload(str(folder), "volume:copy", config)
    assert (tmp_path / "copy" / "a.bin").read_bytes() == b"1"


def test_remote_folder_is_copied_once_and_anew_when_it_changes(
    fine_tune: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system of another class stands for a bucket."""
    remote = tmp_path / "remote"
    remote.mkdir()
    (remote / "a.json").write_text(json.dumps(1))
    bucket = fs.SubTreeFileSystem(str(remote), fs.LocalFileSystem())
    monkeypatch.setattr(storage, "open_uri", lambda uri, config: (bucket, ""))
    monkeypatch.setenv("LLMWORKFLOW_CACHE", str(tmp_path / "cache"))

    first = storage.local_path("s3://bucket/model", fine_tune())
    assert (Path(first) / "a.json").read_text() == "1"
    assert storage.local_path("s3://bucket/model", fine_tune()) == first
    (remote / "a.json").write_text(json.dumps(22))
    second = storage.local_path("s3://bucket/model", fine_tune())
    assert (Path(second) / "a.json").read_text() == "22"
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_copies_that_nobody_uses_are_not_left_behind(
    fine_tune: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system of another class stands for a bucket; one copy breaks off, and of two at once one is enough."""
    remote, cache = tmp_path / "remote", tmp_path / "cache"
    remote.mkdir()
    (remote / "a.json").write_text(json.dumps(1))
    bucket = fs.SubTreeFileSystem(str(remote), fs.LocalFileSystem())
    monkeypatch.setattr(storage, "open_uri", lambda uri, config: (bucket, ""))
    monkeypatch.setenv("LLMWORKFLOW_CACHE", str(cache))
    whole, both = fs.copy_files, Barrier(2, timeout=10)

    def breaks_off(*args: Any, **options: Any) -> None:
        whole(*args, **options)
        raise OSError("connection lost")

    def at_once(*args: Any, **options: Any) -> None:
        whole(*args, **options)
        both.wait()

    monkeypatch.setattr(fs, "copy_files", breaks_off)
    with pytest.raises(OSError, match="connection lost"):
        storage.local_path("s3://bucket/model", fine_tune())
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(fs, "copy_files", at_once)
    with ThreadPoolExecutor(2) as pool:
        copies = list(pool.map(lambda _: storage.local_path("s3://bucket/model", fine_tune()), range(2)))
    assert [str(path) for path in cache.iterdir()] == copies[:1] == copies[1:]
