"""Batch inference on one GPU: this project's engines beside vLLM's own offline loop, on the same prompts.

    PYTHONPATH=operator:jobs:bench/gpu VLLM_USE_FLASHINFER_SAMPLER=0 python bench/gpu/batch.py DATA \
        [--rows 50000] [--times 1]

DATA is a folder with ViGGO's train.jsonl. The weights are vLLM's dummies. Loading is left out of the figures; prompts
are distinct but for the instruction, and prefix caching is on in both. Each run has its own process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import workload
from timed_engine import READY, TimedEngine

from llmworkflow.api.spec.batch import Batch
from llmworkflow_jobs import generation, rows
from llmworkflow_jobs.inference_model import InferenceModel
from llmworkflow_jobs.prompt import encoder

_TOKENS = 40
_PARAMETERS = {"temperature": 0.0, "max_tokens": _TOKENS, "ignore_eos": True}


def ours(folder: Path, prompts: list[rows.Request]) -> dict[str, Any]:
    """The figures of `llmworkflow_jobs.generation`."""
    import ray

    ray.init(include_dashboard=False, log_to_driver=True)
    generation.engine_actor.Engine = TimedEngine  # type: ignore[attr-defined]
    section = Batch.model_validate({"input": {"uri": "volume:test.jsonl"}, "engineKwargs": workload.ENGINE})
    config = workload.job("batch", folder, section, revision="ours")
    model = InferenceModel(str(folder / "model"), str(folder / "model"))
    answers = [answer for _, answer in generation.generate(prompts, model, _PARAMETERS, config)]
    ended = time.time()
    assert not any(answer.error for answer in answers)
    return _figures([len(answer.token_ids) for answer in answers], ended - float(READY.read_text()))


def plain(folder: Path, prompts: list[rows.Request]) -> dict[str, Any]:
    """The figures of vllm.LLM.generate."""
    from vllm import LLM, SamplingParams, TokensPrompt

    llm = LLM(model=str(folder / "model"), **workload.ENGINE)
    asked = [TokensPrompt(prompt_token_ids=request.token_ids) for request in prompts]
    began = time.time()
    outputs = llm.generate(asked, SamplingParams(**_PARAMETERS), use_tqdm=False)
    return _figures([len(output.outputs[0].token_ids) for output in outputs], time.time() - began)


def _figures(lengths: list[int], seconds: float) -> dict[str, Any]:
    return {
        "rows": len(lengths),
        "seconds": round(seconds, 1),
        "rowsPerSecond": round(len(lengths) / seconds, 1),
        "outputTokensPerSecond": round(sum(lengths) / seconds),
    }


def _prompts(data: Path, folder: Path, count: int) -> list[rows.Request]:
    """As many requests as asked for; a number at the beginning tells those of one row apart."""
    from transformers import AutoTokenizer

    cycle = itertools.cycle(workload.read_rows(data / "train.jsonl"))
    numbered = [
        (number, row | {"input": f"{number}: {row['input']}"})
        for number, row in zip(range(count), cycle, strict=False)
    ]
    prompt = workload.job("batch", folder, Batch.model_validate({"input": {"uri": "volume:a"}}), "-").prompt
    encode = encoder(AutoTokenizer.from_pretrained(folder / "model"), prompt)
    return rows.ask(numbered, prompt, encode, with_reference=False, source=str(data))


def main() -> None:
    """Measure both, and print one JSON object a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--times", type=int, default=1, help="runs of each, by turns")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workload.make_model(folder / "model", workload.texts(options.data), weights=False)
        began = time.time()
        prompts = _prompts(options.data, folder, options.rows)
        mean = sum(len(prompt.token_ids) for prompt in prompts) / len(prompts)
        print(f"{len(prompts)} prompts of {mean:.0f} tokens made in {time.time() - began:.1f} s", flush=True)
        for run in (ours, plain) * options.times:
            print(run.__name__, json.dumps(workload.in_process(run, folder, prompts)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
