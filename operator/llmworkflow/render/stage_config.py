"""The configuration of a stage's job: one JSON file, the same on a cluster and on one machine."""

from collections.abc import Mapping
from typing import Any

from llmworkflow.api.fields import JsonObject, SpecModel
from llmworkflow.api.spec.batch import Through
from llmworkflow.api.spec.common import SecretKeySource, SecretSource
from llmworkflow.api.spec.model import Prompt
from llmworkflow.api.spec.serve import Serve
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow, WorkflowSpec
from llmworkflow.core.actions import Incumbent, Input, Work
from llmworkflow.core.names import service_name, service_url
from llmworkflow.core.promotions import workflow_for
from llmworkflow.render.quantity import number
from llmworkflow.render.ray_settings import chosen_ray, stage_named
from llmworkflow.render.settings import Settings
from llmworkflow.render.sizing import uses_accelerator

SCHEMA_VERSION = 1

_SECRETS = (SecretKeySource, SecretSource)


def stage_config(
    workflow: LLMWorkflow,
    work: Work,
    storage_uri: str,
    settings: Settings | None = None,
    defaults: bool = True,
) -> JsonObject:
    """What `llmworkflow_jobs.config` reads: the spec with defaults filled in, and what the plan adds.

    `storage_uri` is where the job finds the storage: file:// for a volume, s3:// or gs:// for a bucket. Without
    `defaults` it is no configuration, but what tells one from another, whatever fields this version adds.
    """
    workflow = workflow_for(workflow, work)
    stage = stage_named(workflow, work.stage)
    spec, metadata = workflow.spec, workflow.metadata
    config: JsonObject = {
        "schemaVersion": SCHEMA_VERSION,
        "workflow": {"namespace": metadata.namespace, "name": metadata.name, "uid": metadata.uid},
        "stage": {
            "name": stage.name,
            "kind": work.kind,
            "revision": work.revision,
            "attempt": work.attempt,
        },
        "storage": {
            "uri": storage_uri,
            "path": spec.storage.path or f"{metadata.namespace}/{metadata.name}",
            "endpoint": spec.storage.endpoint,
            "adopt": spec.storage.adopt,
        },
        "accelerator": _accelerator(workflow, stage, settings or Settings()),
        "model": public(spec.model, defaults),
        "prompt": public(prompt_of(spec, stage), defaults),
        "inputs": _inputs(work.inputs),
        "incumbents": _incumbents(work.incumbents),
        "pinned": dict(work.pinned),
        work.kind: public(stage.work, defaults),
    }
    if stage.batch and stage.batch.through:
        config["batch"]["through"] = _endpoint(workflow, stage.batch.through)
    if stage.batch and defaults:
        for step in ("preprocess", "postprocess"):
            _in_numbers(config["batch"]["pipeline"][step])
    return _of_engines(config, stage.serve) if stage.serve else config


def prompt_of(spec: WorkflowSpec, stage: Stage) -> Prompt:
    """What the stage asks of a row: its own prompt, or the one that all stages share."""
    return (stage.batch.prompt if stage.batch else None) or spec.prompt


def public(model: SpecModel, defaults: bool = True) -> JsonObject:
    """JSON of a model less its references to Secrets: jobs get those as environment variables."""
    found: JsonObject = _public(model, model.dump(), defaults)
    return found


def _public(value: Any, dumped: Any, defaults: bool) -> Any:
    if isinstance(value, SpecModel):
        return {
            field.alias or name: _public(item, dumped[field.alias or name], defaults)
            for name, field in type(value).model_fields.items()
            if not isinstance(item := getattr(value, name), _SECRETS)
            and (defaults or field.is_required() or item != field.get_default(call_default_factory=True))
        }
    if isinstance(value, list):
        return [_public(*pair, defaults) for pair in zip(value, dumped, strict=True)]
    return dumped


def _in_numbers(step: JsonObject) -> None:
    """CPUs and bytes of a step as Ray takes them."""
    for name in ("cpu", "memory"):
        if step[name] is not None:
            step[name] = float(number(step[name]))


def _endpoint(workflow: LLMWorkflow, through: Through) -> JsonObject:
    """Where an earlier stage serves, and the name to ask for."""
    served = stage_named(workflow, through.stage).serve
    assert served is not None, "api.checks has seen that the stage serves"
    service = service_name(workflow.metadata.name, through.stage)
    return {
        "stage": through.stage,
        "model": through.model or served.models[0].model_id,
        "url": service_url(service, workflow.metadata.namespace),
    }


def _accelerator(workflow: LLMWorkflow, stage: Stage, settings: Settings) -> JsonObject | None:
    """Type and number of accelerators; a profile that this installation lacks has no type, as on one machine."""
    wanted = chosen_ray(workflow, stage).accelerator
    if wanted is None or wanted.count == 0 or not uses_accelerator(stage):
        return None
    profile = settings.accelerators.get(wanted.name or "", wanted)
    count = int(wanted.count) if float(wanted.count).is_integer() else wanted.count
    return {"type": wanted.type or profile.type, "count": count}


def _inputs(inputs: Mapping[str, Input]) -> JsonObject:
    return {name: _input(item) for name, item in inputs.items()}


def _incumbents(incumbents: Mapping[str, Incumbent]) -> JsonObject:
    return {name: _input(item) | {"confidence": item.confidence} for name, item in incumbents.items()}


def _input(item: Input) -> JsonObject:
    return {
        "stage": item.stage,
        "kind": item.kind,
        "revision": item.revision,
        "attempt": item.attempt,
        "artifact": item.artifact.dump() if item.artifact else None,
    }


def _of_engines(config: JsonObject, serve: Serve) -> JsonObject:
    """The part of a serving stage's configuration that its engines start with.

    The rest, which a promotion changes, is in the `user_config` of the ingress. So a configuration that stays the
    same means that no engine has to start anew, and no pod that mounts it.
    """
    inputs = {name: item for name, item in config["inputs"].items() if _is_model(item["artifact"])}
    sources = {config["model"]["source"], *(model.source for model in serve.models)}
    return config | {
        "stage": {key: config["stage"][key] for key in ("name", "kind")},
        "inputs": inputs,
        "incumbents": {},
        "pinned": {uri: found for uri, found in config["pinned"].items() if uri in sources},
        "serve": {
            "models": [_engine(served, inputs) for served in config["serve"]["models"]],
            "tracing": config["serve"].get("tracing"),
            "apiKeys": serve.api_keys_from is not None,
        },
    }


def _engine(served: JsonObject, full_models: JsonObject) -> JsonObject:
    """A served model less its adapters, which the ingress is told, so that one more of them starts no engine anew."""
    model = served.get("model")
    tuned = model is not None and model["stage"] not in full_models
    fields = {name: value for name, value in served.items() if name != "adapters"}
    return fields | {"loadsAdapters": tuned or served.get("adapters") is not None}


def _is_model(artifact: JsonObject | None) -> bool:
    return artifact is not None and artifact["type"] == "model"
