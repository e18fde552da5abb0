"""`ray.env` and `ray.envFrom` on one machine: which variables a stage's jobs get, and from where."""

from llmworkflow.api.spec.common import EnvVar, SecretKey, SecretKeySource, SecretName, SecretSource
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.job_code import code_folder
from llmworkflow.local.errors import LocalError
from llmworkflow.render.ray_settings import chosen_ray

_PYTHONPATH = "PYTHONPATH"


def plain_variables(workflow: LLMWorkflow, stage: Stage) -> dict[str, str]:
    """Variables whose values stand in the workflow. Python finds the jobs' own code before the user's."""
    variables = [item for item in chosen_ray(workflow, stage).env if item.value_from is None]
    values = {item.name: item.value or "" for item in variables}
    if path := values.get(_PYTHONPATH):
        values[_PYTHONPATH] = f"{code_folder().parent}:{path}"
    return values


def key_variables(workflow: LLMWorkflow, stage: Stage) -> dict[str, SecretKeySource]:
    """Variables whose values are keys of Secrets.

    Raises:
        LocalError: one takes its value from what only a cluster has.
    """
    variables = [item for item in chosen_ray(workflow, stage).env if item.value_from is not None]
    return {item.name: _key(stage, item) for item in variables}


def whole_secrets(workflow: LLMWorkflow, stage: Stage) -> list[tuple[str, SecretSource]]:
    """Secrets whose keys all become variables, each with what is put before their names.

    Raises:
        LocalError: one is no Secret.
    """
    return [_whole(stage, source) for source in chosen_ray(workflow, stage).env_from]


def _key(stage: Stage, variable: EnvVar) -> SecretKeySource:
    match variable.value_from:
        case {"secretKeyRef": {"name": str(name), "key": str(key)}}:
            return SecretKeySource(secret_key_ref=SecretKey(name=name, key=key))
        case source:
            raise LocalError(
                f"stage {stage.name}: ray.env {variable.name} takes its value from {_told(source)}, which one "
                "machine does not have: write it as value, or take it from a secretKeyRef with name and key"
            )


def _whole(stage: Stage, source: object) -> tuple[str, SecretSource]:
    match source:
        case {"secretRef": {"name": str(name)}, **others}:
            return str(others.get("prefix", "")), SecretSource(secret_ref=SecretName(name=name))
        case _:
            raise LocalError(
                f"stage {stage.name}: ray.envFrom takes variables from {_told(source)}, which one machine does not "
                "have: write them into ray.env, or take them from a secretRef with a name"
            )


def _told(source: object) -> str:
    """The kinds of source that were named."""
    return ", ".join(key for key in source if key != "prefix") if isinstance(source, dict) else str(source)
