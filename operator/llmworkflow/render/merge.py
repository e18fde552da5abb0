"""A user's pod template over the rendered one, in the manner of a strategic merge patch."""

from typing import Any

from llmworkflow.render.errors import RenderError

# Lists whose entries are told apart by a key, as in the API's own patch strategies.
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
}
# Lists whose entries hold one thing beside their name.
_OF_ONE_KIND = frozenset({"volumes", "env"})
# Lists that only grow.
_APPENDED = frozenset({"tolerations", "envFrom"})


def merged(base: Any, patch: Any, field: str = "") -> Any:
    """`patch` over `base`: objects by key, lists such as containers by name, null removes; others replace.

    Raises:
        RenderError: an entry of such a list has no name.
    """
    if isinstance(patch, dict):
        under = base if isinstance(base, dict) else {}
        result = under | {key: merged(under.get(key), value, key) for key, value in patch.items()}
        return {key: value for key, value in result.items() if value is not None}
    if isinstance(base, list) and isinstance(patch, list) and field in _KEYS:
        return _merged_entries(base, patch, field)
    if isinstance(base, list) and isinstance(patch, list) and field in _APPENDED:
        return base + [entry for entry in patch if entry not in base]
    return patch


def _merged_entries(base: list[Any], patch: list[Any], field: str) -> list[Any]:
    key = _KEYS[field]
    if nameless := [entry for entry in patch if not isinstance(entry, dict) or key not in entry]:
        raise RenderError(f"podTemplate: {nameless[0]} in {field} has no {key}, by which entries are merged")
    patches = {entry[key]: entry for entry in patch}
    kept = [
        _merged_entry(entry, patches.pop(entry[key]), field) if entry[key] in patches else entry
        for entry in base
    ]
    return kept + list(patches.values())


def _merged_entry(entry: Any, patch: Any, field: str) -> Any:
    """One entry; a volume has one source and a variable one value, so that another one takes its place."""
    alien = field in _OF_ONE_KIND and patch.keys() - entry.keys()
    return merged({} if alien else entry, patch)
