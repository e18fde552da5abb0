"""What the engines of an endpoint start with, in digests that stay the same over an upgrade of the operator.

Fields at their defaults are left out of both: a newer version has more of them, and the rest of what it renders may
differ as well. None of that is a reason to start engines anew that serve.
"""

from typing import Any

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.actions import Work
from llmworkflow.core.promotions import workflow_for
from llmworkflow.core.revision import digest
from llmworkflow.render.ray_settings import stage_named
from llmworkflow.render.settings import Settings
from llmworkflow.render.stage_config import stage_config

# Parts of the configuration that a newer version adds must not be in the digest of what an older one started.
_PARTS = ("workflow", "stage", "storage", "accelerator", "model", "prompt", "inputs", "pinned", "serve")
_SHARED = {"model", "prompt", "storage", "ray"}
_NOT_PODS: Any = {  # of a serving stage: what its pods do not start with
    "name": True,
    "depends_on": True,
    "gates": True,
    "approval": True,
    "retries": True,
    "timeout_seconds": True,
    "pending_timeout_seconds": True,
    "serve": {"verify": True, "upgrade": True, "models": {"__all__": {"adapters"}}},
}
_SET: Any = {"mode": "json", "by_alias": True, "exclude_defaults": True}


def engines(workflow: LLMWorkflow, work: Work, settings: Settings | None = None) -> str:
    """Digest of what the engines read; another one starts them anew."""
    config = stage_config(workflow, work, "", settings, defaults=False)
    return digest({part: config[part] for part in _PARTS})


def cluster(workflow: LLMWorkflow, work: Work, settings: Settings) -> str:
    """Digest of what the engines and their pods are made of; with the same one, a Ray cluster stays as it is."""
    chosen = workflow_for(workflow, work)
    shared: JsonObject = chosen.spec.model_dump(include=_SHARED, exclude={"storage": {"retention"}}, **_SET)
    own: JsonObject = stage_named(chosen, work.stage).model_dump(exclude=_NOT_PODS, **_SET)
    return digest([engines(workflow, work, settings), shared, own])
