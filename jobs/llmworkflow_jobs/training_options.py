"""From the fields of a fineTune section to the arguments of TRL and PEFT, and what is refused on the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import Any

from llmworkflow_jobs import llama_factory_config, sharding
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError, unknown_name

# Packages of the trackers, any one of which will do. Ray brings tensorboardX along.
_TRACKERS = {"tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow",), "wandb": ("wandb",)}

# What sets an argument of TRL, where that is no field of `training` with the argument's own name.
_SET_BY = {
    "warmup_steps": "training.warmupRatio",
    "gradient_accumulation_steps": "training.globalBatchSize",
    "activation_checkpointing": "training.gradientCheckpointing",
    "bf16": "training.precision",
    "fp16": "training.precision",
    "save_strategy": "training.saveSteps",
    "eval_strategy": "training.evalSteps",
    "load_best_model_at_end": "training.loadBest",
    "packing_strategy": "training.packing",
    "beta": "preference.beta",
    "loss_type": "preference.lossType",
    "use_cpu": "ray.accelerator",
    "fsdp": "training.distributed",
    "fsdp_config": "training.distributed",
    "deepspeed": "training.distributed",
}
# Has a value here, and no influence on what comes out.
_FREE = "per_device_eval_batch_size"


def check(config: JobConfig) -> None:
    """Raise JobError OptionInvalid for values that cannot be trained with; needs neither data nor model."""
    if config.section["engine"] == "llamaFactory":
        llama_factory_config.check(config)
        return
    _check_device(config.section, config.accelerator)
    _check_best(config.section["training"])
    worker_counts(config.section)
    sharding.check(config)
    if config.section["training"]["extra"]:
        trl_arguments(config, "", evaluated=True, workers=1)
    _check_trackers(config.section["training"]["reportTo"])


def artifact_kind(section: Mapping[str, Any]) -> str:
    """What the stage publishes, which is also the name of the folder that it lies in: adapter or model."""
    if section["engine"] == "llamaFactory":
        return "adapter" if section["config"].get("finetuning_type", "lora") == "lora" else "model"
    return "model" if section["method"] == "full" or section["export"]["merge"] else "adapter"


def worker_counts(section: Mapping[str, Any]) -> list[int]:
    """Numbers of workers that a run may have, smallest first: those among which globalBatchSize rows can be shared.

    Raises OptionInvalid if that is not so for workers.count, or for the fewest workers of an elastic run.
    """
    training, workers = section["training"], section["workers"]
    fewest, most = workers["min"] or workers["count"], workers["max"] or workers["count"]
    per_device, total = training["perDeviceTrainBatchSize"], training["globalBatchSize"]
    if total % (per_device * fewest):
        field = "workers.count" if workers["min"] is None else "workers.min"
        raise JobError(
            "OptionInvalid",
            f"training.globalBatchSize is {total}, which is no multiple of training.perDeviceTrainBatchSize "
            f"{per_device} times {field} {fewest}; make it a multiple of {per_device * fewest}",
        )
    return [count for count in range(fewest, most + 1) if total % (per_device * count) == 0]


def gradient_accumulation_steps(section: Mapping[str, Any], workers: int) -> int:
    """Backward passes per optimizer step, so that a step sees globalBatchSize rows whatever the workers."""
    training = section["training"]
    return int(training["globalBatchSize"] // (training["perDeviceTrainBatchSize"] * workers))


def trl_arguments(config: JobConfig, output_dir: str, evaluated: bool, workers: int) -> dict[str, Any]:
    """Arguments of TRL's configuration for the objective, `extra` included; the training data are token ids already.

    `evaluated` says whether there are validation rows, `workers` how many processes train together.
    """
    section, training = config.section, config.section["training"]
    arguments = {
        "output_dir": output_dir,
        "num_train_epochs": training["numTrainEpochs"],
        "max_steps": training["maxSteps"] or -1,
        "learning_rate": training["learningRate"],
        "lr_scheduler_type": training["lrSchedulerType"],
        "warmup_steps": training["warmupRatio"],  # below 1 it is a share of all steps
        "weight_decay": training["weightDecay"],
        "max_grad_norm": training["maxGradNorm"],
        "per_device_train_batch_size": training["perDeviceTrainBatchSize"],
        "per_device_eval_batch_size": training["perDeviceTrainBatchSize"],
        "gradient_accumulation_steps": gradient_accumulation_steps(section, workers),
        "activation_checkpointing": training["gradientCheckpointing"],
        "seed": training["seed"],
        "bf16": training["precision"] == "bf16",
        "fp16": training["precision"] == "fp16",
        "logging_steps": training["loggingSteps"],
        "report_to": training["reportTo"] or "none",
        "disable_tqdm": True,
        **_objective_arguments(section),
        **_checkpoint_arguments(training, evaluated),
        **_device_arguments(config, workers),
        **sharding.arguments(training["distributed"]),
    }
    return {**arguments, **_extra(section, arguments)}


def lora_arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of PEFT's LoraConfig."""
    lora = section["lora"]
    target = lora["targetModules"]
    return {
        "r": lora["rank"],
        "lora_alpha": lora["alpha"],
        "lora_dropout": lora["dropout"],
        "target_modules": "all-linear" if target == "all" else target,
        "use_dora": lora["useDora"],
        "modules_to_save": lora["modulesToSave"] or None,
        "task_type": "CAUSAL_LM",
    }


def _objective_arguments(section: Mapping[str, Any]) -> dict[str, Any]:
    """Rows come cut to maxLength, and packed if they are to be, so TRL has nothing to prepare.

    Validation rows stay apart, so that their loss does not depend on what is packed with what.
    """
    training, preference = section["training"], section["preference"]
    loss = preference["lossType"]
    match section["objective"]:
        case "dpo":
            return {"max_length": None, "beta": preference["beta"], "loss_type": [loss or "sigmoid"]}
        case "kto":
            own = {"loss_type": loss or "kto", "train_sampling_strategy": "sequential"}
            return {"max_length": None, "beta": preference["beta"], **own}
    prepared = {"dataset_kwargs": {"skip_prepare_dataset": True}}
    if training["packing"]:
        # What is said of sequences of whole rows, which are blind to each other.
        packs = {"packing": True, "packing_strategy": "bfd", "eval_packing": False}
        return {**packs, "max_length": training["maxLength"], **prepared}
    return {"packing": False, "max_length": None, **prepared}


def _checkpoint_arguments(training: Mapping[str, Any], evaluated: bool) -> dict[str, Any]:
    return {
        "save_strategy": "steps",
        "save_steps": training["saveSteps"],
        "eval_strategy": "steps" if evaluated else "no",
        "eval_steps": training["evalSteps"],
        "load_best_model_at_end": training["loadBest"],
        "metric_for_best_model": "eval_loss" if training["loadBest"] else None,
    }


def _device_arguments(config: JobConfig, workers: int) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if config.accelerator is None:
        arguments |= {"use_cpu": True, "dataloader_pin_memory": False}
    if workers > 1:
        # Every trained weight takes part in every step, so workers need not look for those that do not.
        arguments |= {"ddp_find_unused_parameters": False}
        arguments |= {} if config.accelerator else {"ddp_backend": "gloo"}
    return arguments


def _extra(section: Mapping[str, Any], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """`training.extra` with its names checked against the fields of TRL's configuration for the objective."""
    extra: Mapping[str, Any] = section["training"]["extra"]
    if not extra:
        return {}
    from llmworkflow_jobs.trl_trainers import TOOLS  # brings torch along, which takes seconds

    config = TOOLS[section["objective"]].config
    known = config.__dataclass_fields__
    for name in extra:
        if name in arguments and name != _FREE:
            raise _taken(name, section["training"])
        if name not in known:
            what = f"field of TRL's {config.__name__}, for training.extra"
            raise unknown_name("OptionInvalid", what, name, known)
    return extra


def _taken(name: str, training: Mapping[str, Any]) -> JobError:
    """What is said of an option that the workflow sets already, by a field or by itself."""
    first, *others = name.split("_")
    same = "".join([first, *map(str.capitalize, others)])
    field = _SET_BY.get(name) or (f"training.{same}" if same in training else None)
    told = (
        f"is set by {field}: use that"
        if field
        else "is not supported: the workflow sets it itself; remove it"
    )
    return JobError("OptionInvalid", f"training.extra.{name} {told}")


def _check_device(section: Mapping[str, Any], accelerator: Mapping[str, Any] | None) -> None:
    if accelerator is not None:
        return
    if section["method"] == "qlora":
        raise JobError("OptionInvalid", "fineTune.method qlora needs a GPU; set ray.accelerator, or use lora")
    if section["training"]["precision"] == "fp16":
        raise JobError("OptionInvalid", "training.precision fp16 needs a GPU; use fp32 or bf16 on a CPU")


def _check_trackers(names: Collection[str]) -> None:
    for name in names:
        packages = _TRACKERS[name]
        if not any(find_spec(package) for package in packages):
            raise JobError(
                "ImageLacksPackage",
                f"training.reportTo names {name}, whose package {packages[0]} is not installed; add it to ray.pip",
            )


def _check_best(training: Mapping[str, Any]) -> None:
    if training["loadBest"] and training["saveSteps"] % training["evalSteps"]:
        raise JobError(
            "OptionInvalid",
            f"training.loadBest keeps the best checkpoint, so training.saveSteps {training['saveSteps']} "
            f"must be a multiple of training.evalSteps {training['evalSteps']}",
        )
