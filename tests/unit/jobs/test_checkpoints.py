"""Which checkpoint a run resumes from, and which it keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmworkflow_jobs import checkpoints
from llmworkflow_jobs.checkpoints import COMPLETE, Checkpoint
from llmworkflow_jobs.config import JobConfig

Config = Callable[..., JobConfig]
# attempt, step, whether it was finished
Saved = tuple[int, int, bool]


def save(config: JobConfig, step: int, finished: bool = True) -> Path:
    folder = checkpoints.local_root(config) / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "trainer_state.json").write_text("{}")
    if finished:
        checkpoints.finish(folder, config)
    return folder


def steps(config: JobConfig) -> list[int]:
    return sorted(int(folder.name.split("-")[1]) for folder in checkpoints.local_root(config).iterdir())


def test_nothing_to_resume_from(fine_tune: Config) -> None:
    assert checkpoints.newest(fine_tune()) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 30), st.booleans()),
        max_size=8,
        unique_by=lambda saved: saved[:2],
    ),
    st.integers(1, 4),
)
def test_newest_is_the_furthest_finished_one_of_this_or_earlier_attempts(
    fine_tune: Config, saved: list[Saved], attempt: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = {"uri": Path(folder).as_uri()}
        for number, step, finished in saved:
            save(fine_tune(storage=storage, stage={"attempt": number}), step, finished)
        found = checkpoints.newest(fine_tune(storage=storage, stage={"attempt": attempt}))
    eligible = [(step, number) for number, step, finished in saved if finished and number <= attempt]
    assert (found and (found.step, found.attempt)) == max(eligible, default=None)


def cut_short(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"wei")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / COMPLETE).unlink(),
        lambda folder: (folder / COMPLETE).write_text('{"adapter_mo'),
        lambda folder: (folder / "trainer_state.json").unlink(),
        cut_short,
    ],
)
def test_damaged_checkpoint_is_passed_over(fine_tune: Config, damage: Callable[[Path], None]) -> None:
    config = fine_tune()
    save(config, 10)
    damage(save(config, 20))
    found = checkpoints.newest(config)
    assert found == Checkpoint(10, 1, f"{config.output_uri}/checkpoints/checkpoint-10")
    assert checkpoints.fetch(found, config) == str(checkpoints.local_root(config) / "checkpoint-10")


def test_what_is_no_checkpoint_is_passed_over(fine_tune: Config) -> None:
    config = fine_tune()
    root = checkpoints.local_root(config)
    for name in ("checkpoint-x", "runs", "../../notes/checkpoints/checkpoint-5"):
        (root / name).mkdir(parents=True)
    assert checkpoints.newest(config) is None


@pytest.mark.parametrize(
    ("saved", "keep", "best", "left"),
    [
        ([(10, True), (20, True), (30, True)], 2, None, [20, 30]),
        ([(10, True), (20, True), (30, True)], 1, None, [30]),
        ([(10, True), (20, True), (30, True)], 1, "/elsewhere/checkpoint-10", [10, 30]),
        ([(10, True), (20, True), (30, False)], 2, None, [10, 20]),
        ([(10, True)], 2, None, [10]),
    ],
)
def test_newest_finished_ones_and_the_best_are_kept(
    fine_tune: Config, saved: list[tuple[int, bool]], keep: int, best: str | None, left: list[int]
) -> None:
    config = fine_tune(stage={"attempt": 2})
    save(fine_tune(), 5)  # of the attempt before, which is not this one's to delete
    for step, finished in saved:
        save(config, step, finished)
    checkpoints.prune(config, keep, best)
    assert steps(config) == left
    assert steps(fine_tune()) == [5]


def test_bucket_has_a_local_folder_beside_it(fine_tune: Config) -> None:
    config = fine_tune(storage={"uri": "s3://bucket/team", "endpoint": "http://127.0.0.1:9000"})
    root = checkpoints.local_root(config)
    assert root.is_relative_to(tempfile.gettempdir())
    assert root.parts[-3:] == ("0123456789ab", "1", "checkpoints")
