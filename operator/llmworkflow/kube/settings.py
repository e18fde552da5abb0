"""How one installation of the operator runs: one YAML file, which the chart writes."""

import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ValidationError

from llmworkflow.api.fields import SpecModel
from llmworkflow.render.settings import Settings

SETTINGS_VARIABLE = "LLMWORKFLOW_SETTINGS"
NAMESPACE_VARIABLE = "POD_NAMESPACE"


class SettingsError(ValueError):
    """The settings cannot be used; says which, and why."""


class OperatorSettings(SpecModel):
    """Settings of the operator itself, and what it renders workflows with."""

    jobs: Settings = Settings()
    """Images, accelerators, network policy and the like."""
    namespaces: list[str] = []
    """Namespaces to watch; none: all."""
    user_verified: bool = False
    """Whether the admission policy that vouches for the users of actions is installed."""
    workers: int = 8
    """Workflows that are looked at at the same time."""
    resync_seconds: float = 600
    """How long a missed change may stay unseen."""
    host: str = "0.0.0.0"  # noqa: S104  probes and Prometheus come from outside the pod
    """Address of the health, readiness and metrics endpoints."""
    port: int = 8080
    """Their port."""
    lease_name: str = "llmworkflow-operator"
    """The Lease that the acting replica holds."""
    lease_namespace: str = os.environ.get(NAMESPACE_VARIABLE, "llmworkflow")
    """Namespace of the Lease."""
    log_format: Literal["json", "text"] = "json"
    """How log lines look."""


def load_settings(path: str | None) -> OperatorSettings:
    """The settings in a file; the defaults where there is none.

    Raises:
        SettingsError: the file cannot be read, or says what is no setting.
    """
    chosen = path or os.environ.get(SETTINGS_VARIABLE)
    if not chosen:
        return OperatorSettings()
    try:
        content = yaml.safe_load(Path(chosen).read_text())
        return OperatorSettings.model_validate(content or {})
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise SettingsError(f"{chosen}: {error}") from error
