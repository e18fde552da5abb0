"""All that is created for one child, in the order of its creation: what the child refers to comes first."""

import json

from llmworkflow.api import names
from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.actions import ApplyService, CreateChild, Work
from llmworkflow.core.policies.timeout import SERVE_LIMIT_SECONDS
from llmworkflow.core.promotions import workflow_for
from llmworkflow.core.revision import digest
from llmworkflow.render import engines
from llmworkflow.render.cluster import ray_cluster
from llmworkflow.render.companions import job_code_name, of_stage, of_workflow
from llmworkflow.render.errors import RenderError
from llmworkflow.render.serve_config import serve_config
from llmworkflow.render.settings import CONFIG_PATH, STORAGE_PATH, JobCode, Settings
from llmworkflow.render.stage_config import stage_config
from llmworkflow.render.stage_context import StageContext, metadata
from llmworkflow.render.templating import as_json, render_template

ENTRYPOINTS = {
    "fineTune": "python -m llmworkflow_jobs.fine_tune",
    "batch": "python -m llmworkflow_jobs.batch",
    "prefetch": "python -m llmworkflow_jobs.prefetch",
}

_EVERYWHERE = ("0.0.0.0", 8000)  # noqa: S104  the endpoint is meant to be reached from other pods

_MOST_SECONDS = 2**31 - 1  # of KubeRay's deadlines
_LONGEST_CONFIG = 100_000  # the annotations of a pod hold 256 KiB in all

INITIALIZING_TIMEOUT = (
    "ray.io/initializing-timeout"  # KubeRay's annotation; a service that exceeds it is dead
)


def render(
    workflow: LLMWorkflow, action: CreateChild | ApplyService, settings: Settings, code: JobCode
) -> list[JsonObject]:
    """The manifests that carry out an action; the child itself is the last one.

    Everything but a RayJob may be applied again at any time.

    Raises:
        RenderError: the stage asks for what the installation or this version does not have.
    """
    work = action.work
    workflow = workflow_for(workflow, work)
    context = StageContext(
        workflow, work, settings, job_code_name(workflow, code), _config(workflow, work, settings)
    )
    child = _ray_service(context, action.name) if work.kind == "serve" else _ray_job(context, action.name)
    companions = [*of_workflow(workflow, settings, code), *of_stage(context)]
    return [_with_spec_hash(manifest) for manifest in [*companions, child]]


def storage_uri(workflow: LLMWorkflow) -> str:
    """Where the pods find the storage."""
    storage = workflow.spec.storage
    return f"file://{STORAGE_PATH}" if storage.volume else str(storage.uri)


def _config(workflow: LLMWorkflow, work: Work, settings: Settings) -> str:
    """What the pods of a stage are told."""
    text = json.dumps(stage_config(workflow, work, storage_uri(workflow), settings), indent=1)
    if len(text) > _LONGEST_CONFIG:
        raise RenderError(
            f"stage {work.stage}: its configuration has {len(text):,} characters, and pods are told at most"
            f" {_LONGEST_CONFIG:,}; put long texts and schemas into files of the storage"
        )
    return text


def _ray_job(context: StageContext, name: str) -> JsonObject:
    pending, active = _deadlines(context.stage, context.settings)
    return render_template(
        "ray-job",
        metadata=_child_metadata(context, name, {}),
        entrypoint=ENTRYPOINTS[context.work.kind],
        runtime_env=as_json({"pip": context.ray.pip}) if context.ray.pip else None,
        active_deadline=active,
        pending_deadline=pending,
        queued=context.ray.queue is not None,
        cluster=ray_cluster(context),
    )


def _ray_service(context: StageContext, name: str) -> JsonObject:
    workflow, work, settings = context.workflow, context.work, context.settings
    _, ready = _deadlines(
        context.stage, settings
    )  # KubeRay counts until the engines answer, not the pods alone
    surges = context.stage.serve is not None and context.stage.serve.upgrade == "surge"
    declared = serve_config(workflow, work, CONFIG_PATH, *_EVERYWHERE, settings)
    made_of = {names.ANNOTATION_CLUSTER: engines.cluster(workflow, work, settings)}
    cluster = ray_cluster(context)
    # KubeRay takes clusters that differ in sizes of groups or in tolerations for the same one.
    described = cluster["headGroupSpec"]["template"].setdefault(
        "metadata", {}
    )  # a pod template may have removed it
    described["annotations"] = described.get("annotations", {}) | made_of
    return render_template(
        "ray-service",
        metadata=_child_metadata(context, name, {INITIALIZING_TIMEOUT: f"{ready}s"} | made_of),
        upgrade="NewCluster" if surges else "None",
        serve_config=as_json(declared, indent=1),
        cluster=cluster,
    )


def _deadlines(stage: Stage, settings: Settings) -> tuple[int, int]:
    """KubeRay's deadlines until the job runs, and until it ends: later than the planner's own, and 32 bits long."""
    pending = 2 * (stage.pending_timeout_seconds or 0) or settings.pending_deadline_seconds
    limit = stage.timeout_seconds or (SERVE_LIMIT_SECONDS if stage.serve else 0)
    running = 2 * limit or settings.active_deadline_seconds
    return min(pending, _MOST_SECONDS), min(pending + running, _MOST_SECONDS)


def _child_metadata(context: StageContext, name: str, annotations: dict[str, str]) -> JsonObject:
    rendered_from = {names.ANNOTATION_SETTINGS: context.work.settings} if context.work.settings else {}
    named = metadata(context.workflow, name, context.labels)
    return named | {"annotations": annotations | rendered_from}


def _with_spec_hash(manifest: JsonObject) -> JsonObject:
    """The manifest with a digest of itself, by which an edit by hand is seen, and a needless write is spared."""
    described = manifest["metadata"]
    annotations = described.get("annotations", {})
    if names.ANNOTATION_SPEC_HASH in annotations:
        return manifest
    annotations |= {names.ANNOTATION_SPEC_HASH: digest(manifest)}
    return manifest | {"metadata": described | {"annotations": annotations}}
