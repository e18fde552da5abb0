"""A full, refused or unreachable storage: what is told, and that nothing half-written is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import fs

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.report import to_job_error
from llmworkflow_jobs.storage_errors import explain

FULL = "/dev/full"  # every write ends with the error of a full disk


def test_a_full_disk_is_told_and_may_pass(tmp_path: Path) -> None:
    (tmp_path / "part").symlink_to(FULL)
    with pytest.raises(OSError, match="No space left") as caught, (tmp_path / "part").open("w") as file:
        file.write("x")
    error = to_job_error(caught.value)
    assert (error.reason, error.retryable) == ("StorageError", True)
    assert error.message.startswith("the storage is full; free some, with `llmworkflow gc`")


def test_no_artifact_is_published_on_a_full_disk(
    fine_tune: Callable[..., JobConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = fine_tune()
    folder = Path(storage.open_uri(config.output_uri, config)[1])
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "a.bin").write_bytes(b"1234")
    monkeypatch.setattr(storage.os, "getpid", lambda: 7)
    (folder / "manifest.json.tmp-7").symlink_to(FULL)
    with pytest.raises(OSError, match="No space left"):
        storage.publish(config, "adapter", ["adapter"], {})
    assert storage.published(config) is None
    assert [path.name for path in folder.iterdir()] == ["adapter"]
    monkeypatch.undo()
    assert storage.publish(config, "adapter", ["adapter"], {})["type"] == "adapter"


@pytest.mark.parametrize(
    ("detail", "meaning"),
    [
        ("AWS Error ACCESS_DENIED during HeadObject operation", "refuses the credentials"),
        ("AWS Error SIGNATURE_DOES_NOT_MATCH during PutObject operation", "refuses the credentials"),
        ("No user exists with the provided access key ID.", "refuses the credentials"),
        ("AWS Error NETWORK_CONNECTION: curlCode: 7, Could not connect to server", "cannot be reached"),
        ("AWS Error NO_SUCH_BUCKET during PutObject operation", "the bucket does not exist"),
        ("QuotaExceeded: your quota is used up", "the storage is full"),
    ],
)
def test_words_of_buckets_are_told_with_their_meaning(detail: str, meaning: str) -> None:
    told = explain(OSError(f"When writing: {detail}\nmore"))
    assert meaning in told
    assert told.endswith(detail)


def test_other_errors_are_told_as_they_are() -> None:
    assert explain(OSError("Input/output error")) == "Input/output error"


def test_a_bucket_that_is_away(fine_tune: Callable[..., JobConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    config = fine_tune(storage={"uri": "s3://bucket/team", "endpoint": "http://127.0.0.1:1"})
    with pytest.raises(OSError, match="NETWORK_CONNECTION") as caught:
        storage.claim(config)
    error = to_job_error(caught.value)
    assert (error.reason, error.retryable) == ("StorageError", True)
    assert "look at storage.endpoint" in error.message


def test_local_files_only_are_written_aside(tmp_path: Path) -> None:
    bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())  # stands for a bucket
    storage.write_text(bucket, "a/b.json", "one")
    assert (tmp_path / "a" / "b.json").read_text() == "one"
