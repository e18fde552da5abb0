"""`run` and `stop`: a workflow on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from llmworkflow.api.load import STANDARD_INPUT, load_valid_workflow, read_workflow_file
from llmworkflow.api.names import ConditionType
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.cli.again import try_again
from llmworkflow.cli.errors import DONE, FAILED, INTERRUPTED, ends_well
from llmworkflow.cli.options import NAMESPACE, PORT, find_home
from llmworkflow.cli.outcome import Outcome, holds, outcome
from llmworkflow.cli.view import View
from llmworkflow.client.target import local_flag
from llmworkflow.core.asking import waiting
from llmworkflow.core.commands import in_namespace
from llmworkflow.local.absent import absent, lacking
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, default_root
from llmworkflow.local.paths import placed
from llmworkflow.local.secrets import Secrets

DEFAULT_PORT = 8000
DETACH_SECONDS = 150  # for Ray to start on a slow machine
STOP_SECONDS = 180  # what runs is withdrawn, for which a Ray that does not answer is given a minute
POLL_SECONDS = 0.5

Settled = Callable[[LLMWorkflowStatus], bool]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--local", is_flag=True, help="Run on this machine, on a Ray of its own.")
@click.option("--detach", is_flag=True, help="Go on in the background.")
@click.option("--exit-when-ready", is_flag=True, help="Stop everything once the endpoint is ready.")
@click.option("--port", type=PORT, show_default=str(DEFAULT_PORT), help="Port of the endpoint on 127.0.0.1.")
@ends_well
def run(file: Path, local: bool, detach: bool, exit_when_ready: bool, port: int | None) -> int:
    """Run the workflow in FILE, or go on where it was.

    What is unchanged and done is reused, and what failed is tried again. Ctrl-C stops everything; nothing done is lost.
    """
    if not local:
        raise click.UsageError("it runs on this machine: add --local; on a cluster, `llmworkflow apply FILE`")
    if detach and str(file) == STANDARD_INPUT:
        raise click.UsageError("what runs in the background reads the file again: name one")
    workflow, home = read_runnable(file)
    refuse_taken_port(home, workflow, port or DEFAULT_PORT)
    console = Console()
    # A missing one stops nothing that runs.
    Secrets(home.root, workflow.metadata.namespace).environment(workflow)
    applied = home.apply(workflow)
    if applied.spec.suspend:
        name = applied.metadata.name
        resume = f"llmworkflow resume {name}{in_namespace(applied.metadata.namespace)}{local_flag()}"
        console.print(f"{name} is suspended: nothing starts until `{resume}`")
    if driver := home.driver():
        console.print(f"{applied.metadata.name} is running already: it takes the new file")
        if port not in (None, driver["port"]):
            name = f"{applied.metadata.name}{in_namespace(applied.metadata.namespace)}"
            again = f"for another one, `llmworkflow stop {name}` first"
            console.print(f"its endpoint stays on port {driver['port']}: {again}", soft_wrap=True)
        return DONE if detach else follow(home, applied, console)
    port = port or DEFAULT_PORT
    if detach:
        return start_in_background(home, file, port, exit_when_ready, console)
    return run_here(home, applied, port, exit_when_ready, console)


@click.command()
@click.argument("name")
@NAMESPACE
@ends_well
def stop(name: str, namespace: str | None) -> int:
    """Stop what runs in the background. `run` goes on where it was."""
    home = find_home(namespace, name)
    driver = home.driver()
    if driver is None:
        click.echo(f"{name} is not running")
        return DONE
    os.kill(driver["pid"], signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while home.driver():
        if time.monotonic() > deadline:
            raise LocalError(f"process {driver['pid']} did not stop within {STOP_SECONDS} s")
        time.sleep(POLL_SECONDS)
    click.echo(f"{name} stopped")
    return DONE


def read_workflow(file: Path) -> LLMWorkflow:
    """The workflow of a file, checked, with its relative paths taken from the file's folder.

    Raises:
        InvalidWorkflow: lists every problem with its path, value and remedy.
        OSError: the file cannot be read.
    """
    return placed(load_valid_workflow(file, local=True), file.resolve().parent)


def read_runnable(file: Path) -> tuple[LLMWorkflow, WorkflowHome]:
    """The workflow of a file that may be run now, and its home, to which it is not yet applied.

    Raises:
        InvalidWorkflow: also where a file of this machine is not there that no stage makes.
        OSError: the file cannot be read.
    """
    found, root = read_workflow_file(file), default_root()
    found.check(local=True)
    folder = file.resolve().parent
    workflow = placed(found.workflow, folder)
    home = WorkflowHome(root, workflow.metadata.namespace, workflow.metadata.name)
    if problems := list(lacking(workflow, home.status(), folder, root / "volumes")):
        raise found.told(problems)
    tell_absent(workflow, folder)
    return workflow, home


def refuse_taken_port(home: WorkflowHome, workflow: LLMWorkflow, port: int) -> None:
    """Keep no new workflow whose port another has; where there was one, its run first ends what may have the port."""
    from llmworkflow.local.port import refuse_taken  # what clusters take has no psutil

    if not home.exists():
        refuse_taken(workflow, port)


def tell_absent(workflow: LLMWorkflow, folder: Path) -> None:
    """Name what a workflow of a folder reads on this machine and is not there; an earlier stage may yet make it."""
    for item in absent(workflow, folder):
        click.echo(f"to be made before it runs: {item}")


def run_here(
    home: WorkflowHome, workflow: LLMWorkflow, port: int, exit_when_ready: bool, console: Console
) -> int:
    """Drive the workflow in this process; the endpoint stays until Ctrl-C."""
    announced = 0

    def settled(status: LLMWorkflowStatus) -> bool:
        nonlocal announced
        if announced != status.observed_generation and not exit_when_ready:
            announced = status.observed_generation or 0
            conclude(status, announced, console, home.load())
        return exit_when_ready

    with View(console, workflow.metadata.name) as view:
        status = drive(home, port, view, settled)
    return conclude(status, home.load().metadata.generation, console)


def drive(home: WorkflowHome, port: int, view: View, settled: Settled) -> LLMWorkflowStatus:
    """Drive a workflow until it ends, is interrupted, or has settled and `settled` says to stop.

    `settled` is asked at every step while something is served and nothing else is under way.
    """
    from llmworkflow.local.driver import Driver  # Ray's client takes seconds to import

    def done(status: LLMWorkflowStatus) -> bool:
        if outcome(status, home.load().metadata.generation) is Outcome.WORKING:
            return False
        return settled(status) if holds(status, ConditionType.AVAILABLE) else True

    try_again(home)
    driver = Driver(home, port, on_step=lambda planned: view.show(planned.status))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: driver.stop())
    return driver.run(done)


def follow(home: WorkflowHome, workflow: LLMWorkflow, console: Console) -> int:
    """Watch another process drive the workflow until it is ready or failed."""
    try_again(home)
    generation = workflow.metadata.generation
    with View(console, workflow.metadata.name) as view:
        while home.driver():
            status = home.status()
            view.show(status)
            if not waiting(home.load(), status) and outcome(status, generation) is not Outcome.WORKING:
                return conclude(status, generation, console, workflow)
            time.sleep(POLL_SECONDS)
    raise LocalError(
        f"the process that drove {workflow.metadata.name} ended; its log: {home.folder}/driver.log"
    )


def start_in_background(
    home: WorkflowHome, file: Path, port: int, exit_when_ready: bool, console: Console
) -> int:
    """Start the command again as a process of its own and wait until it drives."""
    log = home.folder / "driver.log"
    arguments = ["run", str(file), "--local", "--port", str(port)]
    if exit_when_ready:
        arguments.append("--exit-when-ready")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "llmworkflow",
                *arguments,
            ],  # no module of this folder is Python's own
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACH_SECONDS
    while (driver := home.driver() or {}).get("pid") != process.pid or "dashboard" not in driver:
        if process.poll() is not None:
            click.echo(log.read_text()[-2000:], err=True)
            return process.returncode
        if time.monotonic() > deadline:
            raise LocalError(
                f"process {process.pid} did not start Ray within {DETACH_SECONDS} s; its log: {log}"
            )
        time.sleep(POLL_SECONDS)
    name = home.folder.name
    where = f"{name}{in_namespace(home.folder.parent.name)}"
    console.print(
        f"{name} runs in the background\n  llmworkflow status {where} --watch{local_flag()}\n"
        f"  llmworkflow stop {where}",
        soft_wrap=True,
    )
    return DONE


def conclude(
    status: LLMWorkflowStatus, generation: int, console: Console, running: LLMWorkflow | None = None
) -> int:
    """Say how it came out, and where it is served if the workflow is `running` still; the exit code."""
    state = outcome(status, generation)
    for stage in status.stages:
        if stage.reason and stage.state == "Failed":
            console.print(f"[red]{stage.name}: {stage.reason}[/red]: ", end="")
            console.print(stage.message, markup=False, highlight=False, soft_wrap=True)
    if status.schedule:
        told = f"Runs again at {status.schedule.next_run}: by itself while this command is there, else when it is run."
        console.print(told, highlight=False)
    serving = holds(status, ConditionType.AVAILABLE)
    interrupted = running is None and state is Outcome.WORKING
    if serving and running:
        announce(status, running, console)
    elif serving or interrupted:
        console.print("Stopped; the next run goes on from here.")
    if interrupted and not serving:
        return INTERRUPTED
    return FAILED if state is Outcome.FAILED else DONE


def announce(status: LLMWorkflowStatus, workflow: LLMWorkflow, console: Console) -> None:
    """Show the endpoint and how to ask it. A key that it asks for is left to the shell: no key is ever printed."""
    if status.serving is None:
        return
    serve = next((stage.serve for stage in workflow.spec.stages if stage.name == status.serving.stage), None)
    key = '-H "authorization: Bearer $OPENAI_API_KEY" ' if serve and serve.api_keys_from else ""
    model, url = status.serving.model_id, status.serving.url
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    console.print(
        f"\n[bold green]Serving[/bold green] model [bold]{model}[/bold] at {url}/v1", highlight=False
    )
    console.print(
        f"curl {url}/v1/chat/completions -H 'content-type: application/json' {key}-d '{body}'",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
