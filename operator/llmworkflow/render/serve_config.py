"""Ray Serve's declarative configuration of a serving stage, the same in a RayService and on one machine."""

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.serve import Application, Serve, ServedModel
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.actions import Input, Work
from llmworkflow.core.promotions import workflow_for
from llmworkflow.render.engines import engines
from llmworkflow.render.errors import RenderError
from llmworkflow.render.ray_settings import chosen_ray, stage_named
from llmworkflow.render.settings import Settings
from llmworkflow.render.tracing import variables

IMPORT_PATH = "llmworkflow_jobs.serving:build"
# Environment of the pods, where HAProxy, which comes with Ray, hands requests to the ingress: it takes a third of the
# CPU that Serve's own proxy takes. It opens ports of replicas on all interfaces, so that it is for pods alone.
PROXY_VARIABLES = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    # Whenever replicas come or go another process takes over, and by itself Ray cuts the answers of the one before
    # after two minutes.
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "3600",
}
INGRESS = "LLMIngress"  # deployment in `llmworkflow_jobs.serving` that maps the names of clients to adapters


def serve_config(
    workflow: LLMWorkflow,
    work: Work,
    config_path: str,
    host: str,
    port: int,
    settings: Settings | None = None,
) -> JsonObject:
    """The endpoint's application and the user's own beside it.

    What a promotion of an adapter changes lies in the ingress's `user_config` alone, which Serve hands to the running
    ingress. A change of `args` starts the engines anew: `engines` stands for the content of the file, which Serve
    does not look into, less what another version of this program adds to it.
    """
    workflow = workflow_for(workflow, work)
    stage, serve = stage_named(workflow, work.stage), _serve(workflow, work)
    endpoint: JsonObject = {
        "name": f"{workflow.metadata.name}-{stage.name}",
        "route_prefix": "/",
        "import_path": IMPORT_PATH,
        "args": {"config": config_path, "engines": engines(workflow, work, settings)},
        "deployments": [{"name": INGRESS, "user_config": user_config(workflow, work)}],
    }
    environment = {
        "pip": chosen_ray(workflow, stage).pip,
        "env_vars": variables(workflow, stage.name, serve.tracing) if serve.tracing else {},
    }
    if given := {key: value for key, value in environment.items() if value}:
        endpoint["runtime_env"] = given
    return {
        "http_options": {"host": host, "port": port},
        "applications": [endpoint, *map(_application, serve.applications)],
    }


def user_config(workflow: LLMWorkflow, work: Work) -> JsonObject:
    """What the ingress is told while it runs: the adapter behind each name, and the rows to replay."""
    serve = _serve(workflow, work)
    return {
        "revision": work.revision,
        "attempt": work.attempt,
        "aliases": {name: served for model in serve.models for name, served in _names(model, work).items()},
        "verify": _verify(serve, work.replay, work) if work.replay else None,
    }


def _verify(serve: Serve, replay: str, work: Work) -> JsonObject:
    return {
        "rows": serve.verify.rows,
        "agreement": serve.verify.agreement,
        "rowsOf": _made(work.inputs[replay]),
    }


def _serve(workflow: LLMWorkflow, work: Work) -> Serve:
    serve = stage_named(workflow, work.stage).serve
    if serve is None:
        raise RenderError(f"stage {work.stage} serves nothing; only a serving stage has applications")
    return serve


def _names(model: ServedModel, work: Work) -> dict[str, JsonObject | None]:
    """What is behind the names of one model: an artifact, or nothing for the base model."""
    names = {model.model_id: _made(work.inputs[model.model.stage]) if model.model else None}
    for adapter in model.adapters or []:
        made = work.inputs[adapter.stage] if adapter.stage else None
        names[f"{model.model_id}:{adapter.name}"] = (
            _made(made) if made else {"uri": adapter.uri, "type": "adapter"}
        )
    return names


def _made(made: Input) -> JsonObject:
    lineage: JsonObject = {"stage": made.stage, "revision": made.revision, "attempt": made.attempt}
    return lineage | (made.artifact.dump() if made.artifact else {})


def _application(application: Application) -> JsonObject:
    """An application of the user's own; secrets do not fit here, they come with `ray.env`."""
    variables = {item.name: item.value for item in application.env if item.value is not None}
    parts: JsonObject = {"pip": application.pip, "env_vars": variables}
    runtime_env = {key: value for key, value in parts.items() if value}
    return {
        "name": application.name,
        "route_prefix": application.route_prefix,
        "import_path": application.import_path,
        "args": application.args,
        **({"runtime_env": runtime_env} if runtime_env else {}),
    }
