"""How much of a model and its optimizer each worker of a training holds."""

from dataclasses import dataclass

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.fine_tune import FineTune


@dataclass(frozen=True)
class Shares:
    """What of the parameters, their gradients and the optimizer's state lies on each accelerator: 1 is all of it."""

    parameters: float = 1.0
    gradients: float = 1.0
    optimizer: float = 1.0
    gathers_all: bool = False  # whether the parameters stay whole between forward and backward pass


def shares_of(tune: FineTune) -> Shares:
    """The shares with as many workers as are sure to be there."""
    distributed, workers = tune.training.distributed, tune.workers.min or tune.workers.count
    if distributed is None:
        return Shares()
    if distributed.fsdp is not None:
        options = {name.removeprefix("fsdp_"): value for name, value in distributed.fsdp.items()}
        share = 0.0 if options.get("cpu_offload") else 1 / workers
        return Shares(share, share, share, options.get("reshard_after_forward") is False)
    return _of_zero((distributed.deepspeed or {}).get("zero_optimization", {}), workers)


def _of_zero(options: JsonObject, workers: int) -> Shares:
    """By the stage of ZeRO: the optimizer's state is spread from 1 on, gradients from 2 on, parameters in 3."""
    stage = options.get("stage", 3)
    shares = [1 / workers if stage >= least else 1.0 for least in (3, 2, 1)]
    parameters, gradients, optimizer = shares
    return Shares(
        0.0 if _offloaded(options, "offload_param") else parameters,
        gradients,
        0.0 if _offloaded(options, "offload_optimizer") else optimizer,
    )


def _offloaded(options: JsonObject, name: str) -> bool:
    section = options.get(name)
    return isinstance(section, dict) and section.get("device", "none") != "none"
