"""What spreads a model over the workers: the arguments of transformers that come of the fields, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from llmworkflow_jobs import sharding
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.training_options import check, trl_arguments

Config = Callable[..., JobConfig]
GPU = {"type": "L4", "count": 1}
TWO = {"count": 2}
FEW = {"perDeviceTrainBatchSize": 1}


def fsdp(**options: Any) -> dict[str, Any]:
    return {"distributed": {"fsdp": options, "deepspeed": None}, **FEW}


def deepspeed(**options: Any) -> dict[str, Any]:
    return {"distributed": {"fsdp": None, "deepspeed": options}, **FEW}


@pytest.fixture
def with_deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package were installed."""
    monkeypatch.setattr(sharding, "find_spec", lambda name: object())


def test_nothing_is_spread_unless_asked_for(fine_tune: Config) -> None:
    arguments = trl_arguments(fine_tune(workers=TWO, training=FEW), "", evaluated=False, workers=2)
    assert (arguments["fsdp"], arguments["fsdp_config"], arguments["deepspeed"]) == (None, None, None)


@pytest.mark.capability("sharding")
@pytest.mark.parametrize("name", ["cpu_offload", "fsdp_cpu_offload"])
def test_options_of_fsdp_are_those_of_hugging_face(fine_tune: Config, name: str) -> None:
    config = fine_tune(workers=TWO, training=fsdp(**{name: True}))
    check(config)
    arguments = trl_arguments(config, "", evaluated=False, workers=2)
    assert (arguments["fsdp"], arguments["fsdp_config"]) == (True, {"cpu_offload": True})


def test_options_are_those_that_transformers_reads(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option arrives where Accelerate's plugin has it, by the code of the installed version."""
    from transformers import TrainingArguments

    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "")  # which transformers sets
    options = {
        "version": 2,
        "reshard_after_forward": False,
        "cpu_offload": True,
        "activation_checkpointing": True,
        "cpu_ram_efficient_loading": True,
        "state_dict_type": "SHARDED_STATE_DICT",
        "auto_wrap_policy": "SIZE_BASED_WRAP",
        "min_num_params": 1000,
    }
    arguments = sharding.arguments({"fsdp": options, "deepspeed": None})
    made = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", **arguments)
    assert made.fsdp_plugin_args == {"fsdp_version": 2} | {
        name: value for name, value in options.items() if name != "version"
    }


def test_loss_and_sums_of_gradients_are_not_rounded(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from accelerate import FullyShardedDataParallelPlugin
    from transformers import TrainingArguments

    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "")
    arguments = sharding.arguments({"fsdp": {}, "deepspeed": None})
    settings = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, report_to="none", bf16=True, **arguments
    )
    sharding.prepare(settings, on_cpus=False)
    plugin = FullyShardedDataParallelPlugin(**settings.fsdp_plugin_args)
    plugin.set_mixed_precision("bf16")  # as Accelerate does with the trainer's
    policy = plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype) == (torch.bfloat16, torch.float32)
    assert policy.output_dtype is None


@pytest.mark.capability("sharding")
@pytest.mark.usefixtures("with_deepspeed")
def test_a_deepspeed_configuration_is_laid_over_one_that_fits(fine_tune: Config) -> None:
    own = {"zero_optimization": {"stage": 2, "overlap_comm": True}, "wall_clock_breakdown": True}
    config = fine_tune(workers=TWO, accelerator=GPU, training=deepspeed(**own))
    check(config)
    arguments = trl_arguments(config, "", evaluated=False, workers=2)["deepspeed"]
    assert arguments["zero_optimization"] == {
        "stage": 2,
        "overlap_comm": True,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
    assert arguments["train_micro_batch_size_per_gpu"] == "auto"
    assert arguments["wall_clock_breakdown"]
    defaults = sharding.arguments({"fsdp": None, "deepspeed": {}})["deepspeed"]
    assert defaults["zero_optimization"]["stage"] == 3


@pytest.mark.usefixtures("with_deepspeed")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": fsdp(), "method": "qlora", "accelerator": GPU, "workers": TWO}, "use lora, or leave it out"),
        ({"training": fsdp()}, r"workers\.count is 1; make it 2 or more"),
        ({"training": fsdp(), "workers": {"min": 1, "max": 2}}, r"workers\.min is 1; make it 2 or more"),
        ({"training": fsdp(cpu_ofload=True), "workers": TWO}, "cpu_ofload is not a option.*did you mean cpu_offload"),
        ({"training": fsdp(fsdp_version=1), "workers": TWO}, r"fsdp\.version 1 is no longer there; use 2"),
        (
            {"training": fsdp(activation_checkpointing=True) | {"gradientCheckpointing": True}, "workers": TWO},
            "are the same; leave one out",
        ),
        (
            {"training": fsdp(activation_checkpointing=True), "workers": TWO},
            "use training.gradientCheckpointing",
        ),
        ({"training": deepspeed(), "workers": TWO}, r"deepspeed needs a GPU; set ray\.accelerator, or use fsdp"),
        (
            {"training": deepspeed(), "accelerator": GPU, "workers": {"min": 2, "max": 4}},
            "set workers.count in place of min and max",
        ),
        ({"training": {"extra": {"fsdp": True}}}, r"extra\.fsdp is set by training\.distributed"),
    ],
)  # fmt: skip
def test_what_cannot_be_spread_is_refused(fine_tune: Config, change: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        check(fine_tune(**change))
    assert caught.value.reason == "OptionInvalid"


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="it is installed")
def test_deepspeed_that_is_not_installed_is_refused(fine_tune: Config) -> None:
    with pytest.raises(
        JobError, match=r"needs the package deepspeed.*add it to ray\.pip, or use fsdp"
    ) as caught:
        check(fine_tune(training=deepspeed(), accelerator=GPU, workers=TWO))
    assert caught.value.reason == "ImageLacksPackage"
