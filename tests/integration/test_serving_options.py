"""What the fields of a served model become in Ray's description of it. Nothing is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import serving
from llmworkflow_jobs.config import parse

pytestmark = pytest.mark.integration

L4 = {"type": "L4", "count": 1}


@pytest.fixture
def described(tmp_path: Path, tiny_model: Path, stage_config: Callable[..., Any]) -> Callable[..., Any]:
    (tmp_path / "model").symlink_to(tiny_model)

    def describe(accelerator: Any = None, load_format: str | None = None, **fields: Any) -> Any:
        document = stage_config("serve", accelerator=accelerator, model={"loadFormat": load_format})
        document["serve"]["models"][0] |= fields
        job = parse(document)
        return serving.llm_config(job, job.section["models"][0])

    return describe


@pytest.mark.capability("fast-loading")
def test_weights_are_loaded_as_asked(described: Callable[..., Any]) -> None:
    assert "load_format" not in described().engine_kwargs
    assert described(load_format="runai_streamer").engine_kwargs["load_format"] == "runai_streamer"


@pytest.mark.capability("routing")
def test_requests_find_their_replica_as_asked(described: Callable[..., Any]) -> None:
    from ray import serve
    from ray.serve.llm.request_router import PrefixCacheAffinityRouter

    assert "request_router_config" not in described(requestRouter="powerOfTwo").deployment_config
    asked = described(requestRouter="prefixCache").deployment_config["request_router_config"]
    deployment = serve.deployment(lambda: None, name="any").options(request_router_config=asked)
    router = deployment._deployment_config.request_router_config
    assert router.get_request_router_class() is PrefixCacheAffinityRouter


@pytest.mark.parametrize(("router", "threads"), [("powerOfTwo", "0"), ("prefixCache", None)])
def test_a_router_that_waits_for_an_actor_keeps_its_thread(
    stage_config: Callable[..., Any], router: str, threads: str | None
) -> None:
    document = stage_config("serve")
    document["serve"]["models"][0]["requestRouter"] = router
    variables = serving.ingress_variables(parse(document))
    assert variables.get("RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP") == threads
    assert variables["RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD"] == "0"


@pytest.mark.capability("placement", "parallelism")
@pytest.mark.parametrize(
    ("accelerator", "placement", "bundles", "strategy"),
    [
        (None, {"strategy": "PACK", "bundle": {}}, [{"CPU": 1}], "PACK"),
        (None, {"strategy": "SPREAD", "bundle": {"CPU": 2}}, [{"CPU": 2}], "SPREAD"),
        (L4, {"strategy": "PACK", "bundle": {}}, [{"GPU": 1}] * 2, "PACK"),
        (L4, {"strategy": "STRICT_PACK", "bundle": {}}, [{"GPU": 1}] * 2, "STRICT_PACK"),
        (L4, {"strategy": "PACK", "bundle": {"CPU": 3, "rack": 1}}, [{"GPU": 1, "CPU": 3, "rack": 1}] * 2, "PACK"),
    ],
)  # fmt: skip
def test_accelerators_lie_where_asked(
    described: Callable[..., Any], accelerator: Any, placement: Any, bundles: Any, strategy: str
) -> None:
    parallelism = {"tensor": 2 if accelerator else 1, "pipeline": 1, "data": 1}
    engine = described(accelerator=accelerator, placement=placement, parallelism=parallelism)
    found = engine.get_engine_config()
    plain = [
        {name: amount for name, amount in bundle.items() if not name.startswith("accelerator_type")}
        for bundle in found.placement_bundles
    ]
    assert (plain, found.placement_strategy) == (bundles, strategy)
