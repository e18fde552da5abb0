"""Arguments of TRL and PEFT from the fields of the resource, and the fields that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow_jobs import training_options
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.training_options import (
    artifact_kind,
    check,
    gradient_accumulation_steps,
    lora_arguments,
    trl_arguments,
    worker_counts,
)

Config = Callable[..., JobConfig]
GPU = {"type": "L4", "count": 1}


@given(st.integers(1, 64), st.integers(1, 16), st.integers(0, 16), st.integers(1, 1024))
def test_a_step_sees_the_global_batch_or_is_refused(
    per_device: int, fewest: int, more: int, total: int
) -> None:
    section = {
        "training": {"perDeviceTrainBatchSize": per_device, "globalBatchSize": total},
        "workers": {"count": 1, "min": fewest, "max": fewest + more},
    }
    if total % (per_device * fewest):
        with pytest.raises(JobError, match=f"globalBatchSize is {total}.*multiple of {per_device * fewest}"):
            worker_counts(section)
        return
    counts = worker_counts(section)
    assert counts[0] == fewest
    assert counts[-1] <= fewest + more
    for count in counts:
        assert gradient_accumulation_steps(section, count) * per_device * count == total


def test_elastic_run_has_counts_that_share_the_batch(fine_tune: Config) -> None:
    training = {"perDeviceTrainBatchSize": 1, "globalBatchSize": 32}
    assert worker_counts(fine_tune(training=training, workers={"count": 4}).section) == [4]
    assert worker_counts(fine_tune(training=training, workers={"min": 2, "max": 9}).section) == [2, 4, 8]


@pytest.mark.parametrize(
    ("objective", "loss", "expected"),
    [("dpo", None, ["sigmoid"]), ("dpo", "ipo", ["ipo"]), ("kto", None, "kto")],
)
def test_preferences_have_their_own_loss(
    fine_tune: Config, objective: str, loss: str | None, expected: Any
) -> None:
    config = fine_tune(objective=objective, preference={"beta": 0.3, "lossType": loss})
    arguments = trl_arguments(config, "", evaluated=True, workers=1)
    assert (arguments["beta"], arguments["loss_type"]) == (0.3, expected)
    assert "packing" not in arguments


def test_packed_rows_are_left_as_they_are(fine_tune: Config) -> None:
    """TRL neither packs them again nor pads them, and validation rows stay apart."""
    config = fine_tune(training={"packing": True, "maxLength": 512})
    arguments = trl_arguments(config, "", evaluated=True, workers=1)
    assert (arguments["packing"], arguments["packing_strategy"], arguments["eval_packing"]) == (
        True,
        "bfd",
        False,
    )
    assert arguments["dataset_kwargs"] == {"skip_prepare_dataset": True}


def test_defaults_pass(fine_tune: Config) -> None:
    check(fine_tune())
    check(fine_tune(accelerator=GPU, method="qlora", training={"precision": "fp16"}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "qlora"}, "qlora needs a GPU.*or use lora"),
        ({"training": {"precision": "fp16"}}, "fp16 needs a GPU"),
        ({"workers": {"min": 3, "max": 8}}, "globalBatchSize is 8.*workers.min 3"),
        (
            {"training": {"loadBest": True, "evalSteps": 10, "saveSteps": 25}},
            "saveSteps 25 must be a multiple",
        ),
        ({"training": {"globalBatchSize": 12}}, "globalBatchSize is 12"),
    ],
)
def test_what_cannot_be_trained_is_refused(fine_tune: Config, change: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        check(fine_tune(**change))
    assert caught.value.reason == "OptionInvalid"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("learning_rate", "is set by training.learningRate: use that"),
        ("warmup_steps", "is set by training.warmupRatio: use that"),
        ("eval_strategy", "is set by training.evalSteps: use that"),
        ("metric_for_best_model", "is not supported: the workflow sets it itself; remove it"),
        ("output_dir", "is not supported"),
    ],
)
def test_an_option_that_the_workflow_sets_is_refused_with_the_field_that_does(
    fine_tune: Config, name: str, message: str
) -> None:
    with pytest.raises(JobError, match=rf"training\.extra\.{name} {message}"):
        check(fine_tune(training={"extra": {name: 1}}))


def test_every_field_that_is_named_for_an_option_is_one(fine_tune: Config) -> None:
    section = fine_tune().section
    for field in set(training_options._SET_BY.values()):
        part, name = field.split(".")
        assert part == "ray" or name in section[part]


@pytest.mark.capability("trainer-options")
def test_validation_may_have_batches_of_its_own(fine_tune: Config) -> None:
    config = fine_tune(training={"extra": {"per_device_eval_batch_size": 7}})
    check(config)
    assert trl_arguments(config, "", evaluated=True, workers=1)["per_device_eval_batch_size"] == 7


@pytest.mark.capability("trackers")
def test_tracker_that_is_not_installed_is_refused(fine_tune: Config) -> None:
    check(fine_tune(training={"reportTo": ["tensorboard"]}))
    with pytest.raises(JobError, match=r"reportTo names mlflow, whose package mlflow .*ray\.pip") as caught:
        check(fine_tune(training={"reportTo": ["tensorboard", "mlflow"]}))
    assert caught.value.reason == "ImageLacksPackage"


@pytest.mark.parametrize(
    ("change", "arguments"),
    [
        ({}, {"r": 8, "target_modules": "all-linear", "modules_to_save": None, "use_dora": False}),
        ({"targetModules": ["q_proj"], "rank": 4}, {"r": 4, "target_modules": ["q_proj"]}),
        ({"useDora": True, "modulesToSave": ["norm"]}, {"use_dora": True, "modules_to_save": ["norm"]}),
    ],
)
def test_adapter_arguments(fine_tune: Config, change: dict[str, Any], arguments: dict[str, Any]) -> None:
    assert lora_arguments(fine_tune(lora=change).section).items() >= arguments.items()


@pytest.mark.parametrize(
    ("change", "kind"),
    [({}, "adapter"), ({"export": {"merge": True}}, "model"), ({"method": "full"}, "model")],
)
def test_kind_of_the_artifact(fine_tune: Config, change: dict[str, Any], kind: str) -> None:
    assert artifact_kind(fine_tune(**change).section) == kind
