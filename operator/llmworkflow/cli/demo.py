"""`demo`: the whole way, from a base model that cannot do a task to an endpoint that can."""

import json
import os
import shutil
from collections.abc import Mapping
from importlib import resources
from itertools import islice
from pathlib import Path

import click
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from llmworkflow.api.checks.addresses import is_path
from llmworkflow.api.load import load_workflow
from llmworkflow.api.status import LLMWorkflowStatus, Metric
from llmworkflow.api.yaml_writer import to_yaml
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import PORT
from llmworkflow.cli.outcome import Outcome, outcome
from llmworkflow.cli.run import DEFAULT_PORT, conclude, drive, read_workflow, refuse_taken_port
from llmworkflow.cli.view import View
from llmworkflow.client.endpoint import Endpoint
from llmworkflow.demo import grammar, own_data
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, default_root

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "llmworkflow"
TEST_ROWS = Path("data", "test.jsonl")  # in the volume
NEXT = (
    "let it be what claim demo of the cluster holds, and `llmworkflow apply operator/llmworkflow/demo/workflow.yaml` "
    "(in the README under On kind)"
)
SHOWN_ROWS = 3
MAX_TOKENS = 96
# What suits a pretrained model; the file's own values suit the tiny one.
REAL_MODEL_TRAINING = {
    "numTrainEpochs": 2,
    "learningRate": 2e-4,
    "perDeviceTrainBatchSize": 4,
    "globalBatchSize": 16,
    "maxLength": 1024,
    "precision": "bf16",
}


@click.command()
@click.option(
    "--model", help="A real model in place of the tiny one, such as hf://Qwen/Qwen2.5-0.5B-Instruct."
)
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows of your own: jsonl with instruction, output and, where there is one, input.",
)
@click.option(
    "--port", type=PORT, default=DEFAULT_PORT, show_default=True, help="Port of the endpoint on 127.0.0.1."
)
@click.option(
    "--volume",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write what the workflow reads into this folder, for the volume of a cluster, and run nothing.",
)
@ends_well
def demo(model: str | None, data: Path | None, port: int, volume: Path | None) -> int:
    """Evaluate, fine-tune, serve and ask a model on this machine.

    Without options it makes synthetic data and, once, a tiny base model, and needs no network.
    """
    console = Console()
    model = _found(model) if model else None
    text = resources.files("llmworkflow.demo").joinpath("workflow.yaml").read_text()
    if volume:
        fill(volume, data, model, console)
        if data:
            told = f"{_count(volume / TEST_ROWS)} rows are for scores: let evaluate.minRows ask for no more"
            console.print(told, highlight=False)
        written = "data" if model else "data and models/tiny"
        console.print(f"wrote {written} to {volume}; {NEXT}", highlight=False, markup=False, soft_wrap=True)
        return 0
    workflow = load_workflow(text)
    home = WorkflowHome(default_root(), workflow.metadata.namespace, workflow.metadata.name)
    if home.driver():
        raise LocalError("the demo runs already: `llmworkflow stop demo` ends it")
    refuse_taken_port(home, workflow, port)
    assert workflow.spec.storage.volume, "the demo's file has one"
    volume = home.volume(workflow.spec.storage.volume.claim_name)
    fill(volume, data, model, console)
    file = default_root() / "demo.yaml"  # where a person can read, change and run it
    file.write_text(fitted(text, model, rows=_count(volume / TEST_ROWS)))
    console.print(f"The workflow is in [bold]{file}[/bold]\n", highlight=False)
    return _run(file, port, volume / TEST_ROWS, console)


def _found(model: str) -> str:
    """Where a model is: a folder is one of the user's own, who did not mean the folder of the demo's file."""
    if not is_path(model):
        return model
    folder = Path(model).resolve()
    if not folder.is_dir():
        told = f"there is no folder {folder}; a model of the hub is hf://{model}"
        raise click.BadParameter(told, param_hint="--model")
    return str(folder)


def fill(volume: Path, data: Path | None, model: str | None, console: Console) -> None:
    """Write what the workflow reads into its volume."""
    if data is None:
        grammar.write_dataset(volume / "data")
    else:
        try:
            own_data.split(data, volume / "data")
        except own_data.DataError as error:
            raise click.BadParameter(str(error), param_hint="--data") from error
    if model is None:
        _bring_base_model(volume / "models" / "tiny", console)


def _bring_base_model(folder: Path, console: Console) -> None:
    """The tiny base model, made once for this machine, in the volume."""
    from llmworkflow.demo import base_model  # torch takes seconds to import

    console.print(f"A tiny base model, made once and kept in {CACHE}", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Tiny base model", total=1.0)
        made = base_model.cached(
            CACHE, lambda part, message: progress.update(task, completed=part, description=message)
        )
        progress.update(task, completed=1.0, description="Tiny base model")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)


def fitted(text: str, model: str | None, rows: int) -> str:
    """The demo's file for a model, and for so many rows to score; as it is where it suits them."""
    workflow = yaml.safe_load(text)
    stages = {stage["name"]: stage for stage in workflow["spec"]["stages"]}
    if model:
        workflow["spec"]["model"]["source"] = model
        stages["tune"]["fineTune"]["training"] |= REAL_MODEL_TRAINING
    evaluate = stages["score"]["batch"]["evaluate"]
    evaluate["minRows"] = min(evaluate["minRows"], rows)
    return text if workflow == yaml.safe_load(text) else to_yaml(workflow)


def _count(rows: Path) -> int:
    with rows.open("rb") as lines:
        return sum(1 for _ in lines)


def _run(file: Path, port: int, rows: Path, console: Console) -> int:
    workflow = read_workflow(file)
    home = WorkflowHome(default_root(), workflow.metadata.namespace, workflow.metadata.name)
    applied = home.apply(workflow)
    generation = applied.metadata.generation

    def ask(status: LLMWorkflowStatus) -> bool:
        view.close()
        if outcome(status, generation) is Outcome.READY:
            _show_answers(status, rows, console)
        return True

    with View(console, applied.metadata.name) as view:
        status = drive(home, port, view, ask)
    _show_scores(status, console)
    return conclude(status, generation, console)


def _show_answers(status: LLMWorkflowStatus, rows: Path, console: Console) -> None:
    """Ask the endpoint as any client would, and print the answers as they stream in."""
    assert status.serving and status.serving.url, "a ready workflow with a serving stage has an endpoint"
    console.print(f"\nAsking model {status.serving.model_id} at {status.serving.url}/v1", highlight=False)
    endpoint = Endpoint(status.serving.url, status.serving.model_id)
    with rows.open(encoding="utf-8") as lines:
        for row in map(json.loads, islice(lines, SHOWN_ROWS)):
            console.print(f"\n  {row.get('input') or row['instruction']}", markup=False, highlight=False)
            console.print("  [green]", end="")
            for piece in endpoint.stream(question_of(row), MAX_TOKENS):
                console.print(piece, style="green", end="", markup=False, highlight=False)
            console.print()


def question_of(row: Mapping[str, str | None]) -> str:
    """What the prompt of the workflow makes of a row."""
    extra = row.get("input")
    return f"{row['instruction']}\n{extra}" if extra else str(row["instruction"])


def _show_scores(status: LLMWorkflowStatus, console: Console) -> None:
    metrics = {stage.name: stage.metrics.get("exactMatch") for stage in status.stages}
    table = Table("MODEL", "EXACT MATCH", "95 % INTERVAL", "ROWS", box=None, header_style="dim")
    for label, stage in (("base", "base"), ("tuned", "score")):
        if metric := metrics.get(stage):
            table.add_row(label, *_cells(metric))
    console.print()
    console.print(table)


def _cells(metric: Metric) -> tuple[str, str, str]:
    interval = f"{metric.low:.3f} - {metric.high:.3f}" if metric.low is not None else ""
    return f"{metric.value:.3f}", interval, str(metric.n)
