"""A model that is spread over two workers by FSDP: each holds half of it, and it learns as it does in one piece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import trainer, training_workers
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.training_data import TrainingRows

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # transformers' and TRL's own, of each other
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ROWS = TrainingRows(
    [
        {"instruction": "What is the name?", "input": f"Game {n % 8}", "output": f"name[Game {n % 8}]"}
        for n in range(32)
    ],
    [
        {"instruction": "What is the name?", "input": f"Game {n}", "output": f"name[Game {n}]"}
        for n in range(8)
    ],
)
TRAINING = {
    "perDeviceTrainBatchSize": 2,
    "globalBatchSize": 8,
    "learningRate": 1e-3,
    "loggingSteps": 1,
    "evalSteps": 4,
    "saveSteps": 4,
    "keepCheckpoints": 9,
}
STEPS = 12
FSDP = {"fsdp": {}, "deepspeed": None}
Config = Callable[..., JobConfig]


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, stage_config: Callable[..., Any]) -> Config:
    """A function (training, **changes) that returns the configuration of a fine-tuning of the tiny model."""
    (tmp_path / "model").symlink_to(tiny_model)
    return lambda training, **changes: parse(
        stage_config("fineTune", training=TRAINING | training, **changes)
    )


def spread(config: JobConfig, shares: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Metrics of a training in two workers, each of which writes down what it held at the last step."""

    def in_worker(loop: dict[str, Any]) -> dict[str, Any]:
        import ray
        from ray import train as ray_train
        from transformers import TrainerCallback

        from llmworkflow_jobs import trainer

        class Share(TrainerCallback):
            def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
                parameters = list(model.parameters())
                own = sum(getattr(each, "_local_tensor", each).numel() for each in parameters)
                (shares / str(args.process_index)).write_text(
                    json.dumps([own, sum(each.numel() for each in parameters)])
                )

        build = trainer._build_trainer

        def built(*args: Any) -> Any:
            made = build(*args)
            made.add_callback(Share())
            return made

        trainer._build_trainer = built
        return trainer.train(loop["config"], ray.get(loop["rows"]), ray_train.report)

    shares.mkdir()
    monkeypatch.setattr(training_workers, "_train_in_worker", in_worker)
    metrics: dict[str, Any] = training_workers.train(config, ROWS, lambda _: None)["metrics"]
    return metrics


def folder_of(config: JobConfig) -> Path:
    return Path(config.output_uri.removeprefix("file://"))


def losses(config: JobConfig) -> list[tuple[int, float]]:
    """Step and loss of all records of a run, of validation as of training."""
    curve = [json.loads(line) for line in (folder_of(config) / "training.jsonl").read_text().splitlines()]
    return [(record["step"], record.get("loss", record.get("eval_loss"))) for record in curve]


def weights(config: JobConfig) -> dict[str, Any]:
    """What was published, by name."""
    from safetensors.torch import load_file

    (file,) = (path for path in folder_of(config).glob("*/*.safetensors"))
    found: dict[str, Any] = load_file(file)
    return found


@pytest.mark.capability("sharding")
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.long)])
def test_a_model_in_two_halves_learns_as_a_whole_one(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    import torch

    training = {"maxSteps": STEPS, "distributed": FSDP}
    halves = config(training, method=method, workers={"count": 2})
    found = spread(halves, tmp_path / "shares", monkeypatch)
    shares = [json.loads(share.read_text()) for share in (tmp_path / "shares").iterdir()]
    assert len(shares) == 2
    for own, all_of_them in shares:
        assert own == pytest.approx(all_of_them / 2, rel=0.01)

    whole = config(training | {"distributed": None}, method=method, stage={"revision": "whole"})
    expected = trainer.train(whole, ROWS, lambda _: None)["metrics"]
    assert found["evalLoss"] == pytest.approx(expected["evalLoss"], rel=1e-3)
    assert [step for step, _ in losses(halves)] == [step for step, _ in losses(whole)]
    for (step, loss), (_, same) in zip(losses(halves), losses(whole), strict=True):
        assert loss == pytest.approx(same, rel=1e-3), f"step {step}"
    published = weights(whole)
    assert weights(halves).keys() == published.keys()
    for name, tensor in weights(halves).items():
        assert torch.allclose(tensor, published[name], atol=2e-3), name


@pytest.mark.capability("sharding", "resume")
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("lora", {}),
        pytest.param("full", {"state_dict_type": "SHARDED_STATE_DICT"}, marks=pytest.mark.long),
    ],
)
def test_a_run_goes_on_from_its_checkpoint(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, options: dict[str, Any]
) -> None:
    """And one that died after its last step publishes what that left, the best of it too."""
    import torch

    training = {"maxSteps": STEPS, "loadBest": True, "distributed": {"fsdp": options, "deepspeed": None}}
    runs = [
        config(training, method=method, workers={"count": 2}, stage={"attempt": attempt})
        for attempt in (1, 2, 3)
    ]
    found = [spread(runs[0], tmp_path / "shares-1", monkeypatch)]
    for later in (8, 12):
        shutil.rmtree(folder_of(runs[0]) / "checkpoints" / f"checkpoint-{later}")
    found += [spread(run, tmp_path / f"shares-{n}", monkeypatch) for n, run in enumerate(runs[1:], start=2)]
    assert [metrics["resumedFromStep"] for metrics in found] == [0, 4, STEPS]
    assert losses(runs[1]) == [(step, pytest.approx(loss, rel=1e-5)) for step, loss in losses(runs[0])]
    for metrics, run in zip(found[1:], runs[1:], strict=True):
        assert metrics["evalLoss"] == pytest.approx(found[0]["evalLoss"], rel=1e-5)
        published = weights(run)
        for name, tensor in weights(runs[0]).items():
            assert torch.allclose(tensor, published[name], atol=1e-5), name
