"""Parameters of `ray start`, which KubeRay writes into a shell command as they are."""

import json
import re

from llmworkflow.render.errors import RenderError

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_HARMLESS = re.compile(r"[A-Za-z0-9_.,:/=@%+-]*")
_RESOURCE_NAMES = {"num-cpus": "CPU", "num-gpus": "GPU", "memory": "memory"}


def start_parameters(own: dict[str, str], defaults: dict[str, str], field: str) -> dict[str, str]:
    """The user's parameters over the defaults, less `resources`, which is for `group_resources`.

    Raises:
        RenderError: a name or value that a shell would read as more than a word.
    """
    parameters = defaults | {name: value for name, value in own.items() if name != "resources"}
    for name, value in parameters.items():
        if not _NAME.fullmatch(name) or not _HARMLESS.fullmatch(value):
            raise RenderError(
                f"{field}.rayStartParams: {name}={value!r} is not safe in the command `ray start`; use letters, "
                "digits and _.,:/=@%+- only"
            )
    return parameters


def group_resources(
    parameters: dict[str, str], own: dict[str, str], accelerator_type: str | None, field: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters of `ray start` and resources of the group: KubeRay takes resources in one of the two only.

    The accelerator's type has to be among them, since the autoscaler does not know what a pod that is not
    there yet will detect.

    Raises:
        RenderError: `resources` is no JSON object of names and amounts.
    """
    resources = _custom_resources(own.get("resources", "{}"), field)
    if accelerator_type:
        resources[f"accelerator_type:{accelerator_type}"] = "1"
    if not resources:
        return parameters, {}
    moved = {ours: parameters[theirs] for theirs, ours in _RESOURCE_NAMES.items() if theirs in parameters}
    rest = {name: value for name, value in parameters.items() if name not in _RESOURCE_NAMES}
    return rest, moved | resources


def _custom_resources(text: str, field: str) -> dict[str, str]:
    """Resources written as JSON, also with the quotes around that KubeRay's own users need."""
    try:
        amounts = json.loads(text.strip("'\"` ").replace('\\"', '"'))
        found = {name: str(float(amount)) for name, amount in amounts.items()}
    except (ValueError, TypeError, AttributeError):
        raise RenderError(
            f'{field}.rayStartParams.resources is {text!r}; write a JSON object such as {{"fast-disk": 1}}'
        ) from None
    if wrong := [name for name in found if not _HARMLESS.fullmatch(name)]:
        raise RenderError(f"{field}.rayStartParams.resources: {wrong[0]!r} is no name of a resource")
    return found
