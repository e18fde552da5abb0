"""The application of an endpoint for Ray Serve: `llmworkflow_jobs.serving:build`.

Ray Serve's configuration (`serveConfigV2` of a RayService) has one such application:

    name: <any>
    route_prefix: /
    import_path: llmworkflow_jobs.serving:build
    args:                     # a change of args starts the engines anew
      config: <path of config.json>
      report: <address of the report; LLMWORKFLOW_REPORT of the replica when left out>
    deployments:
    - name: LLMIngress
      user_config:            # a change of user_config alone reaches the running ingress: no engine starts
        revision: <of the stage, for the report>
        attempt: <number>
        aliases:              # by modelId; null for the base model
          viggo: {stage: tune, revision: <...>, attempt: 1, uri: <...>, digest: <...>, type: adapter}
        verify:               # null: one request only
          {rows: 16, agreement: 0.95, rowsOf: {uri: <of the scored batch's artifact>, digest: <...>, type: rows}}

Of config.json the engines take `serve.models`, model, prompt, storage, accelerator and, for a model that is no adapter,
its artifact in `inputs`. The file must therefore stay the same when only an adapter changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.serve.llm import LLMConfig, build_openai_app

from llmworkflow_jobs import config as job_config
from llmworkflow_jobs import engine, inference_model, model
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.inference_model import InferenceModel, engine_rank
from llmworkflow_jobs.ingress import LLMIngress
from llmworkflow_jobs.volume_adapters import JOB, AdapterServer, FilesAreThere

# Name of the ingress's deployment, by which it gets its user_config.
INGRESS = "LLMIngress"


def build(args: Mapping[str, str]) -> Any:
    """The Serve application of the endpoint that the configuration at `args["config"]` describes. Raises JobError."""
    job = job_config.load(args["config"])
    base_folder = model.local_folder(job)
    return build_openai_app(
        {
            "llm_configs": [llm_config(job, base_folder, served) for served in job.section["models"]],
            "ingress_cls_config": {
                "ingress_cls": LLMIngress,
                "ingress_extra_kwargs": {"job": job, "report": args.get("report")},
            },
            "ingress_deployment_config": {"name": INGRESS},
        }
    )


def llm_config(job: JobConfig, base_folder: str, served: Mapping[str, Any]) -> LLMConfig:
    """Ray's description of one model of the endpoint. Its engine answers to modelId, and to modelId:<adapter>."""
    engine.check_overrides(served["engineKwargs"], also=_server_arguments())
    chosen, has_adapter = _started_with(job, base_folder, served["model"])
    return LLMConfig(
        model_loading_config={"model_id": served["modelId"], "model_source": chosen.source},
        engine_kwargs={
            **_template_arguments(job, chosen.folder),
            **(_lora_arguments(served["lora"]) if has_adapter else {}),
            **engine.arguments(job, chosen, served),
        },
        lora_config={"max_num_adapters_per_replica": served["lora"]["perReplica"]} if has_adapter else None,
        deployment_config={"autoscaling_config": _autoscaling(served["replicas"])},
        server_cls=AdapterServer,
        experimental_configs={JOB: job},
        **_files(chosen),
        **_placement(job),
    )


def _started_with(
    job: JobConfig, base_folder: str, reference: Mapping[str, str] | None
) -> tuple[InferenceModel, bool]:
    """The model that the engine starts with, and whether adapters come on top of it: which, the ingress is told."""
    if reference is None:
        return inference_model.on_base(job, base_folder), False
    artifact = job.inputs.get(reference["stage"], {}).get("artifact") or {}
    if artifact.get("type") == "model":
        return inference_model.full(job, reference["stage"]), False
    return inference_model.on_base(job, base_folder), True


def _lora_arguments(lora: Mapping[str, int]) -> dict[str, Any]:
    return {"enable_lora": True, "max_loras": lora["maxLoras"], "max_lora_rank": engine_rank(lora["maxRank"])}


def _template_arguments(job: JobConfig, folder: str) -> dict[str, Any]:
    """The chat template and what it is given unless a request says otherwise: the same as in training and in batch."""
    prompt, arguments = job.prompt, dict[str, Any]()
    if prompt["chatTemplate"] or prompt["assistantPrefill"]:
        arguments["chat_template"] = model.load_tokenizer(job, folder).chat_template
    if prompt["chatTemplateKwargs"]:
        arguments["default_chat_template_kwargs"] = dict(prompt["chatTemplateKwargs"])
    return arguments


def _autoscaling(replicas: Mapping[str, Any]) -> dict[str, Any]:
    """Ray Serve's own target is so high that it never adds a replica."""
    delays = {"upscale_delay_s": "upscaleDelaySeconds", "downscale_delay_s": "downscaleDelaySeconds"}
    return {
        "min_replicas": replicas["min"],
        "max_replicas": replicas["max"],
        "target_ongoing_requests": replicas["targetOngoingRequests"],
        **{name: replicas[ours] for name, ours in delays.items() if replicas.get(ours) is not None},
    }


def _files(chosen: InferenceModel) -> dict[str, Any]:
    if chosen.revision is not None:  # of the hub: Ray downloads it to the nodes
        return {}
    return {"callback_config": {"callback_class": FilesAreThere}}


def _placement(job: JobConfig) -> dict[str, Any]:
    """Where the engines run. For Ray no accelerator means a GPU of any type, so that a CPU has to be said."""
    if job.accelerator is not None:
        return {"accelerator_type": job.accelerator["type"]}
    return {
        "accelerator_config": {"kind": "cpu"},
        "placement_group_config": {"bundle_per_worker": {"CPU": 1}},
        "runtime_env": {"env_vars": engine.CPU_ENVIRONMENT},
    }


def _server_arguments() -> frozenset[str]:
    """Arguments of vLLM's OpenAI server, which Ray takes among the engine's."""
    from vllm.entrypoints.launchers.cli_args import FrontendArgs

    return frozenset(FrontendArgs.__dataclass_fields__)
