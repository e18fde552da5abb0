"""One Ray and one tiny model for all integration tests."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Read by torch, transformers, vLLM and Ray when they are imported, here and in the processes that Ray starts.
os.environ |= {
    "TORCHDYNAMO_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@pytest.fixture(scope="session")
def ray_session() -> Iterator[str]:
    """A Ray of our own; its address is for the drivers that tests start as processes."""
    import ray

    # ray.data.llm wants a logical CPU for each of its stages, whatever the machine has.
    context = ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    yield context.address_info["gcs_address"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Ray kills its processes and does not wait for them
        ray.shutdown()
        gc.collect()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, chat_tokenizer: Any) -> Path:
    """Folder of a Qwen2 of 0.1M random parameters, which vLLM and transformers load as they do a real one."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny-model")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(chat_tokenizer),
        hidden_size=128,  # 32 for each head is the least that vLLM has a kernel for on a CPU
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=chat_tokenizer.eos_token_id,
        pad_token_id=chat_tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    chat_tokenizer.save_pretrained(folder)
    return folder


@dataclass
class Job:
    """A job's driver as a process of its own, as Ray's job API starts it."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def report_path(self) -> Path:
        return self.folder / "report.json"

    @property
    def report(self) -> dict[str, Any]:
        """The report as it stands; empty as long as there is none."""
        return json.loads(self.report_path.read_text()) if self.report_path.exists() else {}

    def wait(self, timeout: float) -> dict[str, Any]:
        """Wait for the driver's end and return the report; its output is shown should the test fail."""
        try:
            self.process.wait(timeout)
        finally:
            print((self.folder / "output.txt").read_text())
        return self.report


StartJob = Callable[[str, dict[str, Any]], Job]


@contextmanager
def job_starter(
    folder: Path, ray_address: str, further: Mapping[str, str] | None = None
) -> Iterator[StartJob]:
    """A function (module, configuration) that starts a job's driver; those that still run are ended at the end.

    `further` are variables of its environment.
    """
    started: list[Job] = []

    def start(module: str, config: dict[str, Any]) -> Job:
        place = folder / f"job-{len(started)}"
        place.mkdir()
        (place / "config.json").write_text(json.dumps(config))
        environment = os.environ | {
            "RAY_ADDRESS": ray_address,
            "LLMWORKFLOW_CONFIG": str(place / "config.json"),
            "LLMWORKFLOW_REPORT": (place / "report.json").as_uri(),
            **(further or {}),
        }
        command = [sys.executable, "-m", f"llmworkflow_jobs.{module}"]
        with (place / "output.txt").open(
            "wb"
        ) as output:  # a pipe that nobody reads would stop the job once it is full
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        started.append(Job(process, place))
        return started[-1]

    yield start
    for job in started:
        job.process.kill()
        job.process.wait()


@pytest.fixture
def start_job(tmp_path: Path, ray_session: str) -> Iterator[StartJob]:
    """`job_starter` for one test."""
    with job_starter(tmp_path, ray_session) as start:
        yield start


@pytest.fixture(scope="session")
def start_shared_job(tmp_path_factory: pytest.TempPathFactory, ray_session: str) -> Iterator[StartJob]:
    """`job_starter` for jobs whose results several tests look at."""
    with job_starter(tmp_path_factory.mktemp("jobs"), ray_session) as start:
        yield start


@dataclass(frozen=True)
class Scored:
    """A volume with a model, data, an adapter of random weights, and a batch that the adapter has answered."""

    volume: Path
    adapter: dict[str, str]
    document: dict[str, Any]  # configuration of the batch
    report: dict[str, Any]

    @property
    def rows_artifact(self) -> dict[str, str]:
        return self.report["artifact"]


@pytest.fixture(scope="session")
def inference_volume(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A volume with the tiny model and 100 rows to answer."""
    volume = tmp_path_factory.mktemp("volume")
    (volume / "model").symlink_to(tiny_model)
    words = ["name", "release", "year", "what", "is", "the", "of", "inform"]
    rows = [
        {"instruction": "inform", "input": f"{words[n % 8]} {words[n // 8 % 8]} {n}", "output": f"name {n}"}
        for n in range(100)
    ]
    (volume / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return volume


@pytest.fixture(scope="session")
def publish_adapter(inference_volume: Path, stage_document: Callable[..., Any]) -> Callable[[str, int], Any]:
    """A function (revision, seed) that publishes an adapter with random weights as stage tune does."""

    def publish(revision: str, seed: int) -> dict[str, str]:
        from pyarrow import fs

        from llmworkflow_jobs import config, storage

        stage = {"name": "tune", "revision": revision}
        job = config.parse(stage_document("fineTune", inference_volume.as_uri(), stage=stage))
        _save_random_adapter(
            inference_volume / "model", storage.local_path(job.output_uri, job) + "/adapter", seed
        )
        digest = storage.tree_digest(fs.LocalFileSystem(), str(inference_volume / "model"))
        return storage.publish(
            job, "adapter", ["adapter"], {"base": {"source": "volume:model", "digest": digest}}
        )

    return publish


def _save_random_adapter(model: Path, folder: str, seed: int) -> None:
    """An adapter whose second factor is not zero as that of an untrained one, so that it changes the answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers in a way that is to go
        base = AutoModelForCausalLM.from_pretrained(model)
        adapted = get_peft_model(
            base, LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
        )
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.2)
        adapted.save_pretrained(folder)


@pytest.fixture(scope="session")
def scored(
    inference_volume: Path,
    publish_adapter: Callable[[str, int], dict[str, str]],
    stage_document: Callable[..., Any],
    start_shared_job: StartJob,
) -> Scored:
    """A batch of the rows through an adapter, as a workflow has it before it serves."""
    adapter = publish_adapter("aaaaaaaaaaaa", 0)
    document = stage_document(
        "batch",
        inference_volume.as_uri(),
        stage={"name": "score"},
        inputs={"tune": {"kind": "fineTune", "revision": "aaaaaaaaaaaa", "attempt": 1, "artifact": adapter}},
        evaluate={"metrics": ["exactMatch"]},
        output={"format": "parquet", "keep": ["input"]},
        batchSize=256,
    )
    document["batch"]["model"] = {"stage": "tune"}
    report = start_shared_job("batch", document).wait(timeout=500)
    assert report["state"] == "Succeeded", report
    return Scored(inference_volume, adapter, document, report)
