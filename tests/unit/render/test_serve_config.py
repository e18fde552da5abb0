"""Ray Serve's configuration: a promotion reaches the ingress alone, anything else starts the engines anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmworkflow.render.errors import RenderError
from llmworkflow.render.serve_config import serve_config

from .builders import SCORED, TUNED, WORK, make_workflow


def config_of(workflow: Any = None, work: Any = None) -> dict[str, Any]:
    return serve_config(
        workflow or make_workflow(), work or WORK["chat"], "/etc/config.json", "127.0.0.1", 8123
    )


def endpoint_of(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["applications"][0]
    return found


def user_config_of(config: dict[str, Any]) -> dict[str, Any]:
    (deployment,) = endpoint_of(config)["deployments"]
    assert deployment["name"] == "LLMIngress"
    found: dict[str, Any] = deployment["user_config"]
    return found


def test_endpoint() -> None:
    config = config_of()
    endpoint = endpoint_of(config)
    assert config["http_options"] == {"host": "127.0.0.1", "port": 8123}
    assert (endpoint["name"], endpoint["route_prefix"]) == ("viggo-chat", "/")
    assert endpoint["import_path"] == "llmworkflow_jobs.serving:build"
    assert endpoint["args"]["config"] == "/etc/config.json"
    assert "runtime_env" not in endpoint


def test_the_ingress_is_told_adapter_and_rows() -> None:
    found = user_config_of(config_of())
    assert TUNED.artifact is not None
    assert SCORED.artifact is not None
    assert found["revision"] == "3c3c3c3c3c3c"
    assert found["aliases"] == {
        "viggo": {"stage": "tune", "revision": "1a1a1a1a1a1a", "attempt": 1, **TUNED.artifact.dump()}
    }
    assert found["verify"]["rowsOf"] == {
        "stage": "score", "revision": "2b2b2b2b2b2b", "attempt": 1, **SCORED.artifact.dump()
    }  # fmt: skip


def test_a_promotion_changes_the_user_config_alone() -> None:
    promoted = replace(
        WORK["chat"], revision="f" * 12, inputs={"tune": replace(TUNED, attempt=2), "score": SCORED}
    )
    before, after = config_of(), config_of(work=promoted)
    assert user_config_of(before) != user_config_of(after)
    for config in (before, after):
        del endpoint_of(config)["deployments"]
    assert before == after


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"source": "hf://org/another"}},
        {"prompt": {"chatTemplateKwargs": {"enable_thinking": False}}},
        {
            "stages": {
                "chat": {"serve": {"models": [{"modelId": "viggo", "engineKwargs": {"max_model_len": 8}}]}}
            }
        },
    ],
    ids=["model", "prompt", "engine"],
)
def test_other_changes_start_the_engines_anew(change: dict[str, Any]) -> None:
    assert endpoint_of(config_of())["args"] != endpoint_of(config_of(make_workflow(**change)))["args"]


def test_base_model_without_batch() -> None:
    workflow = make_workflow(stages={"chat": {"serve": {"models": [{"modelId": "base"}]}}})
    found = user_config_of(config_of(workflow, replace(WORK["chat"], inputs={}, replay=None)))
    assert (found["aliases"], found["verify"]) == ({"base": None}, None)


def test_several_adapters_have_names_below_the_model() -> None:
    adapters = [{"name": "games", "stage": "tune"}, {"name": "films", "uri": "s3://adapters/films"}]
    workflow = make_workflow(
        stages={"chat": {"serve": {"models": [{"modelId": "chat", "adapters": adapters}]}}}
    )
    aliases = user_config_of(config_of(workflow))["aliases"]
    assert aliases["chat"] is None
    assert aliases["chat:games"]["digest"] == "sha256:11"
    assert aliases["chat:films"] == {"uri": "s3://adapters/films", "type": "adapter"}


def test_another_adapter_starts_no_engine_anew() -> None:
    def endpoint(*names: str) -> dict[str, Any]:
        adapters = [{"name": name, "uri": f"s3://adapters/{name}"} for name in names]
        model = {"modelId": "chat", "adapters": adapters}
        return endpoint_of(config_of(make_workflow(stages={"chat": {"serve": {"models": [model]}}})))

    one, two = endpoint("games"), endpoint("games", "films")
    assert one["args"] == two["args"]
    assert one["deployments"] != two["deployments"]


def test_keys_are_asked_for_and_not_told() -> None:
    source = {"secretKeyRef": {"name": "viggo-keys", "key": "keys"}}
    guarded = config_of(make_workflow(stages={"chat": {"serve": {"apiKeysFrom": source}}}))
    assert endpoint_of(guarded)["args"] != endpoint_of(config_of())["args"]
    assert "viggo-keys" not in str(guarded)


@pytest.mark.capability("applications")
def test_applications_of_the_user() -> None:
    application = {
        "name": "router", "importPath": "router:app", "routePrefix": "/route", "args": {"x": 1},
        "pip": ["httpx"], "env": [{"name": "LEVEL", "value": "debug"}],
    }  # fmt: skip
    workflow = make_workflow(stages={"chat": {"serve": {"applications": [application]}}})
    assert config_of(workflow)["applications"][1] == {
        "name": "router", "import_path": "router:app", "route_prefix": "/route", "args": {"x": 1},
        "runtime_env": {"pip": ["httpx"], "env_vars": {"LEVEL": "debug"}},
    }  # fmt: skip


@pytest.mark.capability("own-environment")
def test_packages_of_the_stage() -> None:
    workflow = make_workflow(ray={"pip": ["a==1"]}, stages={"chat": {"ray": {"pip": ["b==2"]}}})
    assert endpoint_of(config_of(workflow))["runtime_env"] == {"pip": ["b==2"]}


@pytest.mark.parametrize(
    ("endpoint", "sent_to", "protocol"),
    [
        ("http://collector.observability:4317", "http://collector.observability:4317", "grpc"),
        ("http://collector:4318", "http://collector:4318/v1/traces", "http/protobuf"),
        ("https://traces.example/otlp/v1/traces", "https://traces.example/otlp/v1/traces", "http/protobuf"),
    ],
)
def test_traces_are_sent_where_the_spec_says(endpoint: str, sent_to: str, protocol: str) -> None:
    tracing = {"endpoint": endpoint, "sampleRatio": 0.1}
    workflow = make_workflow(ray={"pip": ["a==1"]}, stages={"chat": {"serve": {"tracing": tracing}}})
    assert endpoint_of(config_of(workflow))["runtime_env"] == {
        "pip": ["a==1"],
        "env_vars": {
            "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": "llmworkflow_jobs.tracing:processors",
            "RAY_SERVE_TRACING_SAMPLING_RATIO": "0.1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": sent_to,
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": protocol,
            "OTEL_SERVICE_NAME": "viggo-chat",
            "OTEL_RESOURCE_ATTRIBUTES": "service.namespace=team",
        },
    }


def test_only_serving_stages_have_applications() -> None:
    with pytest.raises(RenderError, match="stage tune serves nothing"):
        config_of(work=WORK["tune"])
