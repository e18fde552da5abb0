"""Environment variables of a stage's Ray pods. Values of Secrets are only ever referred to."""

from collections.abc import Mapping

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.common import EnvVar, RaySettings, SecretKeySource, SecretSource
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.render.ray_settings import stage_named
from llmworkflow.render.serve_config import PROXY_VARIABLES
from llmworkflow.render.settings import CACHE_PATH, CODE_PATH, CONFIG_PATH, MODELS_PATH

_PYTHONPATH = "PYTHONPATH"


def environment(workflow: LLMWorkflow, stage: Stage, ray: RaySettings, report: str) -> list[JsonObject]:
    """The operator's variables, and the user's: those win over defaults, and not over what jobs rely on."""
    users = {variable.name: _variable(variable) for variable in ray.env}
    cache = _cache_path(workflow)
    defaults = {
        "LLMWORKFLOW_CACHE": cache,
        "HF_HOME": f"{cache}/huggingface",
        "AWS_ENDPOINT_URL": workflow.spec.storage.endpoint,
        **(PROXY_VARIABLES if stage.serve else {}),
    }
    needed = {
        "LLMWORKFLOW_CONFIG": CONFIG_PATH,
        "LLMWORKFLOW_REPORT": report,
        _PYTHONPATH: ":".join(filter(None, [CODE_PATH, users.get(_PYTHONPATH, {}).get("value")])),
    }
    merged = _named(defaults) | _referred(secret_variables(workflow, stage)) | users | _named(needed)
    return list(merged.values())


def environment_from(workflow: LLMWorkflow, stage: Stage, ray: RaySettings) -> list[JsonObject]:
    """Sources of whole sets of variables: the user's, and the credentials of storage and data."""
    return [*ray.env_from, *(source.dump() for source in secret_sources(workflow, stage))]


def secret_sources(workflow: LLMWorkflow, stage: Stage) -> list[SecretSource]:
    """Secrets whose keys all become variables: the credentials of storage and data, each once."""
    sources = [workflow.spec.storage.credentials_from, *_data_credentials(stage)]
    return list({source.secret_ref.name: source for source in sources if source}.values())


def secret_variables(workflow: LLMWorkflow, stage: Stage) -> dict[str, SecretKeySource]:
    """Values of Secrets by the variable in which jobs look for them."""
    found = {
        "HF_TOKEN": workflow.spec.model.token_from,
        "LLMWORKFLOW_API_KEYS": stage.serve.api_keys_from if stage.serve else None,
        "LLMWORKFLOW_HTTP_API_KEY": _key_of_endpoint(workflow, stage),
    }
    return {name: source for name, source in found.items() if source is not None}


def _key_of_endpoint(workflow: LLMWorkflow, stage: Stage) -> SecretKeySource | None:
    """The key with which a batch asks an endpoint: of one elsewhere, or of an earlier stage."""
    if stage.batch and stage.batch.http:
        return stage.batch.http.api_key_from
    if stage.batch and stage.batch.through:
        served = stage_named(workflow, stage.batch.through.stage).serve
        return served.api_keys_from if served else None
    return None


def _data_credentials(stage: Stage) -> list[SecretSource | None]:
    if stage.batch:
        return [stage.batch.input.credentials_from]
    data = stage.fine_tune.data if stage.fine_tune else None
    return [source.credentials_from for source in [*data.train, *(data.validation or [])]] if data else []


def _cache_path(workflow: LLMWorkflow) -> str:
    """Copies of models: on their own volume where there is one, else for as long as the pod lives."""
    cache = workflow.spec.model.cache
    return f"{MODELS_PATH}/{cache.path.strip('/')}" if cache else CACHE_PATH


def _variable(variable: EnvVar) -> JsonObject:
    return variable.model_dump(by_alias=True, exclude_none=True)


def _named(values: Mapping[str, str | None]) -> dict[str, JsonObject]:
    return {name: {"name": name, "value": value} for name, value in values.items() if value is not None}


def _referred(secrets: dict[str, SecretKeySource]) -> dict[str, JsonObject]:
    return {name: {"name": name, "valueFrom": source.dump()} for name, source in secrets.items()}
