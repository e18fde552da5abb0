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
        aliases:              # by modelId or modelId:adapter; null for the base model
          viggo: {stage: tune, revision: <...>, attempt: 1, uri: <...>, digest: <...>, type: adapter}
          chat: null
          chat:films: {uri: <of an adapter that no stage made>, type: adapter}
        verify:               # null: one request only
          {rows: 16, agreement: 0.95, rowsOf: {uri: <of the scored batch's artifact>, digest: <...>, type: rows}}

Of config.json the engines take `serve.models`, model, prompt, storage, accelerator and, for a model that is no adapter,
its artifact in `inputs`. The file must therefore stay the same when only an adapter changes. With `serve.apiKeys` every
request has to bring one of the keys that `api_keys` finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.llm._internal.serve.core.configs.openai_api_models import to_model_metadata
from ray.llm._internal.serve.core.ingress import ingress as ray_ingress
from ray.serve.llm import LLMConfig, build_llm_deployment
from ray.serve.llm.ingress import make_fastapi_ingress

from llmworkflow_jobs import api_keys, engine, inference_model, model, placement
from llmworkflow_jobs import config as job_config
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.inference_model import InferenceModel
from llmworkflow_jobs.ingress import LLMIngress
from llmworkflow_jobs.volume_adapters import JOB, AdapterServer, OwnFiles

# Name of the ingress's deployment, by which it gets its user_config.
INGRESS = "LLMIngress"
# For so long a replica that is to go, after a surge or when the load is less, goes on with the answers it has begun.
_DRAIN_SECONDS = 60
# Ray's router that knows which replica has most of a prompt in its cache.
_BY_PREFIX = "ray.serve.llm.request_router.PrefixCacheAffinityRouter"

# By itself Ray takes 4 MiB from another deployment, and a request may bring images.
_LONG_MESSAGES = {"RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str((1 << 31) - 1)}
# What Ray Serve reads when the process of the ingress starts. Those of the user's own applications, whose code may
# block, are left as they are, and so are those of engines, which block for as long as they start.
_INGRESS_VARIABLES = {
    **_LONG_MESSAGES,
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",  # nothing in the ingress blocks its loop
}
_ROUTER_BESIDE = {"RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0"}

# Ray's own, and what the endpoint says of itself.
_ENDPOINTS = {
    **ray_ingress.DEFAULT_ENDPOINTS,
    "report": lambda app: app.get(api_keys.REPORT_PATH, response_model=None),
}


def build(args: Mapping[str, str]) -> Any:
    """The Serve application of the endpoint that the configuration at `args["config"]` describes. Raises JobError."""
    job = job_config.load(args["config"])
    described = {served["modelId"]: llm_config(job, served) for served in job.section["models"]}
    options = LLMIngress.get_deployment_options(list(described.values()))
    options["graceful_shutdown_timeout_s"] = _DRAIN_SECONDS
    options["ray_actor_options"] = {"runtime_env": {"env_vars": ingress_variables(job)}}
    web = make_fastapi_ingress(LLMIngress, endpoint_map=_ENDPOINTS, app=_web_application(job))
    ingress = serve.deployment(web, name=INGRESS)
    return ingress.options(**options).bind(
        llm_deployments={name: build_llm_deployment(config) for name, config in described.items()},
        model_cards={name: to_model_metadata(name, config) for name, config in described.items()},
        job=job,
        report=args.get("report"),
    )


def ingress_variables(job: JobConfig) -> dict[str, str]:
    """The environment of the ingress. Its router gets no thread of its own, unless it is one that blocks."""
    blocks = any(_router(served["requestRouter"]) for served in job.section["models"])
    return _INGRESS_VARIABLES | ({} if blocks else _ROUTER_BESIDE)


def _web_application(job: JobConfig) -> Any:
    """Ray's own web application, behind a guard where requests need a key."""
    application = ray_ingress.init()
    if job.section["apiKeys"]:
        api_keys.known_keys()  # an endpoint without keys is told of now, not at the first request
        application.add_middleware(api_keys.KeyGuard)
    return application


def llm_config(job: JobConfig, served: Mapping[str, Any]) -> LLMConfig:
    """Ray's description of one model of the endpoint. Its engine answers to modelId, and to modelId:<adapter>."""
    engine.check_overrides(served["engineKwargs"], also=_server_arguments())
    job = job.based_on(served["source"]) if served["source"] else job
    chosen, has_adapter = _started_with(job, served), served["loadsAdapters"]
    return LLMConfig(
        model_loading_config={"model_id": served["modelId"], "model_source": chosen.source},
        engine_kwargs={
            **_template_arguments(job, chosen.folder),
            **(_lora_arguments(served["lora"], job) if has_adapter else {}),
            **engine.arguments(job, chosen, served),
        },
        lora_config={"max_num_adapters_per_replica": served["lora"]["perReplica"]} if has_adapter else None,
        deployment_config={
            "autoscaling_config": _autoscaling(served["replicas"]),
            **_router(served["requestRouter"]),
            "graceful_shutdown_timeout_s": _DRAIN_SECONDS,
        },
        server_cls=AdapterServer,
        experimental_configs={JOB: job},
        **_files(chosen),
        **_device(job),
        **placement.group(job, served),
    )


def _started_with(job: JobConfig, served: Mapping[str, Any]) -> InferenceModel:
    """The model that the engine starts with. Adapters come on top of it: which, the ingress is told."""
    reference = served["model"]
    if reference is not None and not served["loadsAdapters"]:
        return inference_model.full(job, reference["stage"])
    return inference_model.on_base(job, model.local_folder(job))


def _lora_arguments(lora: Mapping[str, int], job: JobConfig) -> dict[str, Any]:
    return engine.lora_arguments(lora["maxLoras"], lora["maxRank"], empty_slot=job.accelerator is None)


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
    named = {"callback_class": OwnFiles, "callback_kwargs": {"addresses": chosen.addresses}}
    return {"callback_config": named}


def _router(name: str) -> dict[str, Any]:
    """How requests find a replica: Ray Serve by itself takes the less loaded of two."""
    return {"request_router_config": {"request_router_class": _BY_PREFIX}} if name == "prefixCache" else {}


def _device(job: JobConfig) -> dict[str, Any]:
    """For Ray no accelerator means a GPU of any type, so that a CPU has to be said."""
    if job.accelerator is not None:
        # A copy, as Ray adds what one model alone needs.
        return {"accelerator_type": job.accelerator["type"], "runtime_env": {"env_vars": {**_LONG_MESSAGES}}}
    variables = engine.CPU_ENVIRONMENT | _LONG_MESSAGES
    return {"accelerator_config": {"kind": "cpu"}, "runtime_env": {"env_vars": variables}}


def _server_arguments() -> frozenset[str]:
    """Arguments of vLLM's OpenAI server, which Ray takes among the engine's."""
    from vllm.entrypoints.launchers.cli_args import FrontendArgs

    return frozenset(FrontendArgs.__dataclass_fields__)
