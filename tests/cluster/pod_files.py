"""What a process in a pod finds there: its variables, its files, its configuration."""

from __future__ import annotations

import json
from typing import Any

from llmworkflow_jobs.config import CONFIG_ENV, JobConfig, parse

from .api import Api
from .references import mounted_file

Pod = dict[str, Any]


class PodFiles:
    """One pod's view of what is mounted into it."""

    def __init__(self, api: Api, pod: Pod) -> None:
        self._api, self._pod = api, pod

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the first container whose values are written out."""
        entries = self._pod["spec"]["containers"][0].get("env", [])
        return {entry["name"]: entry["value"] for entry in entries if "value" in entry}

    def read(self, path: str) -> bytes:
        """What is in a file that is mounted."""
        namespace = self._pod["metadata"]["namespace"]
        content = mounted_file(self._pod, path, lambda kind, name: self._api.get(kind, name, namespace))
        if content is None:
            raise FileNotFoundError(path)
        return content

    def configuration(self) -> JobConfig:
        """The stage's configuration, as the jobs read it."""
        return parse(json.loads(self.read(self.variables[CONFIG_ENV])))
