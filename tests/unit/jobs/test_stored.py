"""What lies in a workflow's folder, and its removal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llmworkflow_jobs import storage, stored
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError

Config = Callable[..., JobConfig]
REVISION = "0123456789ab"


def save(config: JobConfig, name: str = "adapter/a.bin", publish: bool = True) -> Path:
    folder = Path(storage.open_uri(config.output_uri, config)[1])
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"1234")
    if publish:
        storage.publish(config, "adapter", ["adapter"], {})
    return folder


def test_attempts_are_found_with_their_sizes_and_manifests(fine_tune: Config) -> None:
    storage.claim(fine_tune())
    first = save(fine_tune(), "checkpoints/checkpoint-5/weights.bin", publish=False)
    second = save(fine_tune(stage={"attempt": 2}))
    found = stored.folders(fine_tune())
    assert [(item.stage, item.revision, item.attempt) for item in found] == [
        ("stage", REVISION, 1),
        ("stage", REVISION, 2),
    ]
    assert (found[0].size, found[0].manifest) == (4, None)
    assert found[1].size == 4 + (second / "manifest.json").stat().st_size
    assert found[1].manifest
    assert found[1].manifest["attempt"] == 2
    stored.remove(found[:1], fine_tune())
    assert not first.exists()
    assert second.exists()
    stored.remove(found[1:], fine_tune())
    assert not second.parent.exists()
    assert stored.folders(fine_tune()) == []


@pytest.mark.parametrize(
    "name", ["data/train/1/rows.jsonl", "models/0123456789ab/rows.bin", "stage/0123456789AB/1/a"]
)
def test_what_is_no_attempt_is_left_alone(fine_tune: Config, name: str) -> None:
    config = fine_tune()
    path = Path(storage.open_uri(config.workflow_uri, config)[1]) / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert stored.folders(config) == []


def test_a_folder_of_another_workflow_is_left_alone(fine_tune: Config) -> None:
    storage.claim(fine_tune())
    save(fine_tune())
    with pytest.raises(JobError, match="belongs to workflow default/viggo"):
        stored.folders(fine_tune(workflow={"name": "other", "uid": "99"}))


def test_a_manifest_says_what_it_was_made_from(fine_tune: Config) -> None:
    made = {"uri": "file:///x/tune/0123456789ab/1", "digest": "sha256:1", "type": "adapter"}
    inputs = {"tune": {"stage": "tune", "artifact": made}, "list": {"stage": "list", "artifact": None}}
    save(fine_tune(inputs=inputs))
    (found,) = stored.folders(fine_tune())
    assert found.manifest
    assert found.manifest["inputs"] == {"tune": made}
