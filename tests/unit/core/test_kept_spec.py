"""What serves is rendered from its own fields that determine it, and from the operational ones of now."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import WorkflowSpec
from llmworkflow.core.promotions import workflow_for
from llmworkflow.core.revision import result_fields

from .endpoints import serving
from .simulator import SimulatedCluster

APPROVAL = ("stages.2.approval", {"required": True})
MODELS = "stages.2.serve.models"
APPLICATIONS = "stages.2.serve.applications"

VIGGO: dict[str, Any] = {"modelId": "viggo", "model": {"stage": "tune"}}
SMALL: dict[str, Any] = {"modelId": "small", "source": "volume:models/small"}
BIG: dict[str, Any] = {"modelId": "big", "source": "volume:models/big", "parallelism": {"tensor": 8}}


def rendered_from(cluster: SimulatedCluster) -> tuple[WorkflowSpec, Stage]:
    """The spec and the stage of which the endpoint's manifests are made."""
    spec = workflow_for(cluster.workflow, cluster.works["viggo-chat"]).spec
    return spec, next(stage for stage in spec.stages if stage.name == "chat")


def test_a_model_put_in_front_leaves_what_serves_alone() -> None:
    cluster = serving((MODELS, [VIGGO, BIG]))
    cluster.edit(APPROVAL, (MODELS, [SMALL, VIGGO, BIG]))
    assert cluster.plan().actions == ()
    cluster.settle()
    assert cluster.stage("chat").reason == "ApprovalRequired"


@given(st.permutations([VIGGO, SMALL, BIG]), st.integers(1, 3))
def test_a_model_keeps_its_own_operational_fields_wherever_an_edit_puts_it(
    models: list[dict[str, Any]], kept: int
) -> None:
    cluster = serving((MODELS, [VIGGO, BIG]))
    cluster.edit(APPROVAL, (MODELS, models[:kept]))
    cluster.settle()
    _, chat = rendered_from(cluster)
    assert [model.model_id for model in chat.serve.models] == ["viggo", "big"]
    shards = {model.model_id: model.parallelism.tensor for model in chat.serve.models}
    assert shards == {"viggo": 1, "big": 8 if BIG in models[:kept] else 1}


def test_applications_keep_their_own_environment_when_they_are_reordered() -> None:
    first, second = (
        {
            "name": name,
            "importPath": f"{name}:app",
            "routePrefix": f"/{name}",
            "env": [{"name": "WHO", "value": name}],
        }
        for name in ("a", "b")
    )
    cluster = serving((APPLICATIONS, [first, second]))
    cluster.edit(APPROVAL, (APPLICATIONS, [second, first]))
    assert cluster.plan().actions == ()
    _, chat = rendered_from(cluster)
    assert {item.name: item.env[0].value for item in chat.serve.applications} == {"a": "a", "b": "b"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [("ray.image", "registry/new:2")]),
        ([], [("ray.pip", ["left-pad"])]),
        ([("ray.image", "registry/old:1")], [("ray.image", "registry/new:2")]),
        ([("ray.image", "registry/old:1")], [("ray.image", None)]),
        ([("ray.image", "registry/old:1")], [("stages.2.ray", {"image": "registry/new:2"})]),
        ([("stages.2.ray", {"image": "registry/old:1"})], [("stages.2.ray.image", "registry/new:2")]),
        ([("stages.2.ray", {"pip": ["a"]})], [("ray.pip", ["b"]), ("stages.2.ray", None)]),
    ],
)
def test_what_serves_keeps_its_image_and_packages_until_a_successor_is_promoted(
    before: list[tuple[str, Any]], after: list[tuple[str, Any]]
) -> None:
    cluster = serving(*before)
    served = cluster.status.serving
    cluster.edit(APPROVAL, *after)
    cluster.settle()
    spec, chat = rendered_from(cluster)
    assert cluster.status.serving.digest == served.digest
    assert result_fields(spec, chat) == served.spec


def test_an_image_for_what_is_to_come_leaves_what_serves_alone() -> None:
    cluster = serving()
    before = cluster.works["viggo-chat"]
    cluster.edit(APPROVAL, ("ray.image", "registry/new:2"))
    cluster.settle()
    assert cluster.works["viggo-chat"] == before


def test_what_serves_takes_the_ray_settings_of_now_that_its_stage_does_not_set() -> None:
    cluster = serving(("stages.2.ray", {"queue": "gpus"}), ("ray.pip", ["left-pad"]))
    spec, chat = rendered_from(cluster)
    assert result_fields(spec, chat)["ray"] == {"pip": ["left-pad"]}
