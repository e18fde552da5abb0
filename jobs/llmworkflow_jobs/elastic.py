"""Training whose number of workers follows the cluster, while an optimizer step sees the same rows."""

from __future__ import annotations

from typing import Any

from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.scaling_policy import ElasticScalingPolicy

# Seconds between looks at whether the cluster has room for more workers.
MONITOR_SECONDS = 60.0


class ElasticTrainer(TorchTrainer):
    """Ray's trainer, with `WholeBatches` to say how many workers a run has. Ray has no public place to put it."""

    def __init__(self, *args: Any, worker_counts: list[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._worker_counts = worker_counts

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        policy = WholeBatches(self.scaling_config, self._worker_counts)
        return super()._initialize_and_run_controller(**parts | {"scaling_policy": policy})


class WholeBatches(ElasticScalingPolicy):
    """As many workers as there is room for, of the counts among which the global batch can be shared."""

    def __init__(self, scaling_config: ScalingConfig, worker_counts: list[int]) -> None:
        super().__init__(scaling_config)
        self._worker_counts = worker_counts

    def _count_possible_workers(self, reserved_resources: Any) -> int:
        possible = super()._count_possible_workers(reserved_resources)
        return max((count for count in self._worker_counts if count <= possible), default=0)
