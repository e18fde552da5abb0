"""Steps in processes of Ray Data, and engines that share the rows, placed as the resource says."""

from __future__ import annotations

import copy
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow import parquet

from llmworkflow_jobs import config, steps

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ENGINE_ACTOR = "ray::MapWorker(MapBatches(vLLMEngineStageUDF))"
PREPROCESS = {"concurrency": 2, "batchSize": 8, "cpu": 0.5, "memory": 100e6}
POSTPROCESS = {"concurrency": None, "batchSize": None, "cpu": 0.5, "memory": None}


# Ray has no other word, as yet, for how often an actor starts again.
@pytest.mark.filterwarnings("ignore:`ray_remote_args`")
@pytest.mark.capability("steps")
def test_processes_have_what_was_asked_for(ray_session: str, tmp_path: Path) -> None:
    def seen(item: int) -> tuple[int, dict[str, float]]:
        import ray

        (tmp_path / str(os.getpid())).touch()
        deadline = time.monotonic() + 120
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)  # until the second process has its part
        return item, ray.get_runtime_context().get_assigned_resources()

    found = steps.mapped(seen, range(64), PREPROCESS, 256)
    assert [item for item, _ in found] == list(range(64))
    processes = {int(path.name) for path in tmp_path.iterdir()}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert all(resources == {"CPU": 0.5, "memory": 100e6} for _, resources in found)


@pytest.fixture(scope="module")
def shared(scored: Any, start_shared_job: Any) -> list[dict[str, Any]]:
    """The rows of the batch that was scored, asked once more of two engines."""
    document = copy.deepcopy(scored.document)
    document["stage"]["name"] = "shared"
    document["batch"] |= {
        "parallelism": {"tensor": 1, "pipeline": 1, "data": 2},
        "placement": {"strategy": "SPREAD", "bundle": {"CPU": 2}},
        "pipeline": document["batch"]["pipeline"] | {"preprocess": PREPROCESS, "postprocess": POSTPROCESS},
        "postprocess": "{{ row.input }}: {{ text }}",
        "batchSize": 16,
    }
    before = engines()
    job = start_shared_job("batch", document)
    wait_for_engines(job, 2, before)
    report = job.wait(timeout=400)
    assert report["state"] == "Succeeded", report
    return rows_of(document)


def wait_for_engines(job: Any, count: int, before: set[int]) -> None:
    deadline = time.monotonic() + 300
    while len(engines() - before) < count:
        assert job.process.poll() is None, "the job ended with fewer engines"
        assert time.monotonic() < deadline, f"{count} engines within 300 s"
        time.sleep(0.1)


def engines() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True) if is_engine(process)}


def is_engine(process: psutil.Process) -> bool:
    try:
        return ENGINE_ACTOR in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it has just ended
        return False


def rows_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    folder = Path(config.parse(document).output_uri.removeprefix("file://")) / "rows"
    return parquet.read_table(folder).to_pylist()


@pytest.mark.capability("engine-load", "placement", "steps")
def test_two_engines_answer_as_one_does(scored: Any, shared: list[dict[str, Any]]) -> None:
    alone = rows_of(scored.document)
    assert [row["row_id"] for row in shared] == [row["row_id"] for row in alone]
    assert [row["generated_token_ids"] for row in shared] == [row["generated_token_ids"] for row in alone]
    assert [row["generated_text"] for row in shared] == [
        f"{row['input']}: {row['generated_text']}" for row in alone
    ]
