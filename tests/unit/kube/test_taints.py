"""What of a node keeps a pod away."""

from __future__ import annotations

import pytest

from llmworkflow.kube.taints import untolerated

GPU = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
SPOT = {"key": "spot", "effect": "NoExecute"}
SOFT = {"key": "old", "effect": "PreferNoSchedule"}


@pytest.mark.parametrize(
    ("tolerations", "named"),
    [
        ([], ["nvidia.com/gpu=present:NoSchedule", "spot:NoExecute"]),
        ([{"operator": "Exists"}], []),
        ([{"key": "nvidia.com/gpu", "operator": "Exists"}], ["spot:NoExecute"]),
        ([{"key": "nvidia.com/gpu", "value": "present"}, {"key": "spot"}], []),
        ([{"key": "nvidia.com/gpu", "value": "other"}, {"key": "spot", "effect": "NoSchedule"}], None),
    ],
)
def test_untolerated(tolerations: list[dict[str, str]], named: list[str] | None) -> None:
    found = list(untolerated({"tolerations": tolerations}, {"spec": {"taints": [GPU, SPOT, SOFT]}}))
    assert found == (["nvidia.com/gpu=present:NoSchedule", "spot:NoExecute"] if named is None else named)


def test_a_node_without_taints() -> None:
    assert list(untolerated({}, {"metadata": {}})) == []
