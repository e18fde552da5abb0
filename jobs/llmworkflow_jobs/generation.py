"""Generation: requests in, answers out as they come, through engines in Ray actors.

A vLLM engine that has one GPU to itself is our own actor, which keeps it busy; all others are ray.data.llm's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from llmworkflow_jobs import engine, engine_actor, media, placement, row_sampling, sglang_engine
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inference_model import InferenceModel
from llmworkflow_jobs.model_files import with_files
from llmworkflow_jobs.rows import Answer, Request

# Ray Data would start an engine again for ever, also one that each time dies of the same row.
_RESTARTS = 3
# Each takes the accelerator's memory; more take turns. engineKwargs.max_loras goes over it.
_ADAPTERS_AT_ONCE = 8
# Column by which an answer finds its request again.
_INDEX = "request_index"
# The stages of engines, as ray.data.llm calls them.
_STAGE = "vLLMEngineStage"
_SGLANG_STAGE = "SGLangEngineStage"


def generate(
    requests: Sequence[Request], model: InferenceModel, parameters: Mapping[str, Any], config: JobConfig
) -> Iterator[tuple[int, Answer]]:
    """Yield (position in `requests`, answer) once for each request without an error, in any order.

    `parameters` are vLLM's sampling parameters. An engine that dies is started again a few times, and its rows are
    repeated. Raises JobError if that does not help, or if no engine can be started.
    """
    from ray.exceptions import RayError

    rows = _dataset(requests, model, parameters, config.section["batchSize"])
    if config.section["engine"] == "sglang":
        dataset = _sglang_processor(model, parameters, config)(rows).map(_answer)
    else:
        dataset = _on_vllm(rows, model, parameters, config)
    try:
        for row in dataset.iter_rows():
            yield row[_INDEX], _of_row(row)
    except RayError as error:
        raise _engine_error(error) from error


def _of_row(row: Mapping[str, Any]) -> Answer:
    answer = Answer(row["text"], list(row["token_ids"]), row["seconds"], row["error"] or None)
    values = list(row["values"]) if "values" in row else []
    return replace(answer, truncated=row.get("truncated"), values=values)


def _dataset(
    requests: Sequence[Request], model: InferenceModel, parameters: Mapping[str, Any], batch_size: int
) -> Any:
    """Token ids, and what answers them: everything else stays with the driver, whatever its type.

    There are sampling parameters in it where rows bring their own.

    One block a batch, so few tasks.
    """
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    asked = [(index, request) for index, request in enumerate(requests) if request.error is None]
    askable: list[dict[str, Any]] = [
        {
            _INDEX: index,
            "tokenized_prompt": request.token_ids,
            "model": model.answering(request.adapter),
            **({media.IMAGE: request.image} if request.image else {}),
        }
        for index, request in asked
    ]
    if own := row_sampling.parameters([request for _, request in asked], parameters):
        askable = [{**row, "sampling_params": fields} for row, fields in zip(askable, own, strict=True)]
    blocks = [askable[start : start + batch_size] for start in range(0, len(askable), batch_size)]
    return ray.data.from_arrow([pa.Table.from_pylist(block) for block in blocks])


def _on_vllm(rows: Any, model: InferenceModel, parameters: Mapping[str, Any], config: JobConfig) -> Any:
    arguments = _lora_arguments(model) | engine.arguments(config, model, config.section)
    # The limits are those of ray.data.llm's engine.
    if engine_actor.suits(config, arguments) and not _limits(config.section["pipeline"]):
        return _on_own_engines(rows, model, arguments, parameters, config)
    answered = _answer if config.section["task"] == "generate" else _pooled
    return _processor(model, arguments, parameters, config)(rows).map(answered)


def _on_own_engines(
    rows: Any,
    model: InferenceModel,
    arguments: Mapping[str, Any],
    parameters: Mapping[str, Any],
    config: JobConfig,
) -> Any:
    from ray.data import ActorPoolStrategy

    section = config.section
    under_way = engine_actor.batches_in_hand(section["batchSize"])
    return rows.map_batches(
        with_files(engine_actor.Engine, model, config),
        fn_constructor_args=(model.source, arguments, parameters),
        batch_size=section["batchSize"],
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            size=_engines(section),
            max_tasks_in_flight_per_actor=2 * under_way,
            max_concurrent_calls_per_actor=under_way,
        ),
        max_restarts=_RESTARTS,
        **placement.of_actor(config, section),
    )


def _processor(
    model: InferenceModel, arguments: Mapping[str, Any], parameters: Mapping[str, Any], config: JobConfig
) -> Any:
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    section = config.section
    processor = vLLMEngineProcessorConfig(
        model_source=model.source,
        task_type=section["task"],
        engine_kwargs=arguments,
        should_continue_on_error=True,
        **_steps(config),
        **placement.group(config, section, cpus=1),
    )
    columns = {"sampling_params": dict(parameters)}
    with _not_imported("vllm"):
        built = build_processor(processor, preprocess=partial(_with_columns, columns=columns))
    stage = built.get_stage_by_name(_STAGE)
    return _with_engine(built, _STAGE, with_files(stage.fn, model, config), {})


def _sglang_processor(model: InferenceModel, parameters: Mapping[str, Any], config: JobConfig) -> Any:
    from ray.data.llm import SGLangEngineProcessorConfig, build_processor

    from llmworkflow_jobs.sglang_stage import Engine

    processor = SGLangEngineProcessorConfig(
        model_source=model.source, engine_kwargs=sglang_engine.arguments(config, model), **_steps(config)
    )
    # The stage insists on a text.
    columns = {"prompt": "", "sampling_params": dict(parameters)}
    built = build_processor(processor, preprocess=partial(_with_columns, columns=columns))
    resources = placement.of_actor(config, config.section)
    resources["num_gpus"] *= config.section["parallelism"]["tensor"]
    return _with_engine(built, _SGLANG_STAGE, with_files(Engine, model, config), resources)


def _steps(config: JobConfig) -> dict[str, Any]:
    """Options of ray.data.llm that do not depend on the engine.

    Prompts are token ids already, and the engine gives the text along with the ids: no other step is needed.
    """
    section = config.section
    return {
        "batch_size": section["batchSize"],
        "concurrency": (_engines(section),) * 2,  # a single number would be an upper bound
        "chat_template_stage": False,
        "tokenize_stage": False,
        "detokenize_stage": False,
        **_limits(section["pipeline"]),
        **_device(config),
    }


def _with_engine(built: Any, name: str, made_by: type, resources: Mapping[str, Any]) -> Any:
    """The processor with the class of its engine's stage, and what an actor of it asks Ray for, put in their places."""
    stage = built.get_stage_by_name(name)
    options = {**stage.map_batches_kwargs, **resources, "max_restarts": _RESTARTS}
    # A copy, as an assignment would have the stage choose its resources once more.
    built.stages[name] = stage.model_copy(update={"fn": made_by, "map_batches_kwargs": options})
    return built


def _lora_arguments(model: InferenceModel) -> dict[str, Any]:
    if not model.loaded:
        return {}
    rank = max(adapter.rank for adapter in model.loaded)
    at_once = min(len(model.loaded), _ADAPTERS_AT_ONCE)
    return engine.lora_arguments(at_once, rank, empty_slot=bool(model.adapters))


def _engines(section: Mapping[str, Any]) -> int:
    """Engines that share the rows."""
    engines: int = section["concurrency"] * section["parallelism"]["data"]
    return engines


def _device(config: JobConfig) -> dict[str, Any]:
    if config.accelerator is not None:
        return {"accelerator_type": config.accelerator["type"]}
    return {"runtime_env": {"env_vars": engine.CPU_ENVIRONMENT}}


def _limits(pipeline: Mapping[str, Any]) -> dict[str, int]:
    """How much an engine may have in hand, as far as the resource says so."""
    limits = {
        "max_pending_requests": pipeline["maxPendingRequests"],
        "max_concurrent_batches": pipeline["maxConcurrentBatches"],
    }
    return {name: value for name, value in limits.items() if value is not None}


def _with_columns(row: dict[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    return {**columns, **row, **media.for_engine(row, "multimodal_data")}


def _answer(row: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a row of the engine stage, the same columns for rows that failed."""
    return {
        _INDEX: row[_INDEX],
        "text": row["generated_text"],
        "token_ids": row["generated_tokens"],
        "seconds": row["time_taken_llm"],
        "error": row["__inference_error__"],
    }


def _pooled(row: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a row that got a vector, or probabilities, in place of a text."""
    values = row["embeddings"]
    return _answer(row) | {"values": [] if values is None else [float(value) for value in values]}


@contextmanager
def _not_imported(name: str) -> Iterator[None]:
    """Let imports of package `name` fail meanwhile.

    To describe the engine's stage ray.data.llm imports vLLM for its exceptions alone, if it can. That takes ten seconds
    of the driver's time, before the actor that needs vLLM is started.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _engine_error(error: Exception) -> JobError:
    """What to tell of an engine that did not start, or died too often. Ray gives the cause as a traceback's text."""
    text = str(error)
    if "creation task" not in text:
        message = f"an engine died {_RESTARTS + 1} times; the log of the job says what of"
        return JobError("InternalError", message, retryable=True)
    lines = text.rstrip().split("\n")
    last = max(index for index, line in enumerate(lines) if not line.startswith(" "))
    cause = " ".join(line.strip() for line in lines[last:])
    if "out of memory" in cause.lower():
        return JobError(
            "OutOfMemory", f"the engine did not start: {cause}; lower engineKwargs.gpu_memory_utilization"
        )
    if "SGLang is not installed" in cause:
        return sglang_engine.lacking(cause)
    refused = "ValidationError" in lines[last] or lines[last].startswith("ValueError")
    reason = "OptionInvalid" if refused else "InternalError"
    return JobError(reason, f"the engine did not start: {cause}", retryable=not refused)
