"""How a workflow looks on a terminal, and line by line where there is none."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from llmworkflow.api.status import LLMWorkflowStatus, Metric, ScheduleStatus, StageState, StageStatus

LINE_SECONDS = 10  # between lines about the progress of a stage, where nothing can be redrawn
BAR_WIDTH = 16
PIPE_WIDTH = 2000  # a line is a row where programs read
LOSSES = ("evalLoss", "trainLoss")

_STYLES = {
    StageState.SUCCEEDED: "green",
    StageState.SERVING: "bold green",
    StageState.RUNNING: "cyan",
    StageState.CHECKING: "cyan",
    StageState.STARTING: "cyan",
    StageState.UPGRADING: "cyan",
    StageState.AWAITING_APPROVAL: "yellow",
    StageState.DEGRADED: "yellow",
    StageState.FAILED: "bold red",
    StageState.CANCELLED: "red",
}
_IDLE = (StageState.WAITING, StageState.QUEUED)  # nothing runs whose time would count


class View:
    """Follows a status: redrawn in place on a terminal, a line a change otherwise."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._printed: dict[str, _Printed] = {}

    def __enter__(self) -> "View":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the last picture as it is; what is printed now comes below it."""
        self._live.stop()

    def show(self, status: LLMWorkflowStatus) -> None:
        """Draw a status."""
        if self._console.is_terminal:
            self._live.update(tree(self._name, status, datetime.now(UTC)))
            return
        for stage in status.stages:
            self._print_change(stage)

    def _print_change(self, stage: StageStatus) -> None:
        now, line = time.monotonic(), _line(stage)
        before = self._printed.get(stage.name)
        moved = before is None or before.state != stage.state
        if before is None or (line != before.line and (moved or now - before.at > LINE_SECONDS)):
            self._printed[stage.name] = _Printed(stage.state, line, now)
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class _Printed:
    state: StageState
    line: str
    at: float


def tree(name: str, status: LLMWorkflowStatus, now: datetime) -> RenderableType:
    """The workflow and its stages as a table."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("STAGE", "STATUS", "PROGRESS", "TIME", "FIGURES"):
        table.add_column(column, no_wrap=column != "FIGURES")
    notes = []
    for stage in status.stages:
        table.add_row(
            stage.name,
            Text(stage.state, style=_STYLES.get(stage.state, "dim")),
            _bar(stage),
            _time(stage, now),
            Text(figures_of(stage) or detail_of(stage)),  # a plain str would be read as markup
        )
        if stage.message and stage.state in (
            StageState.FAILED,
            StageState.DEGRADED,
            StageState.AWAITING_APPROVAL,
        ):
            notes.append(Text(f"{stage.name}: {stage.message}", style=_STYLES[stage.state]))
    if status.schedule:
        notes.append(Text(schedule_of(status.schedule), style="dim"))
    title = Text.assemble((name, "bold"), "  ", (status.phase, "dim"))
    return Group(title, table, *notes)


def schedule_of(schedule: ScheduleStatus) -> str:
    """When the workflow runs again, and what became of a time that was let pass."""
    skipped = f"; {schedule.skipped} was skipped, as {schedule.message}" if schedule.skipped else ""
    return f"runs again at {schedule.next_run} ({schedule.times}){skipped}"


def figures_of(stage: StageStatus) -> str:
    """The stage's metrics, scores with their intervals before losses."""
    scores = [
        f"{key} {_figure(metric)}"
        for key, metric in stage.metrics.items()
        if metric.low is not None and metric.value is not None
    ]
    losses = [
        f"{key} {metric.value:.4f}"
        for key, metric in stage.metrics.items()
        if key in LOSSES and metric.value is not None
    ]
    return ", ".join(scores or losses)


def detail_of(stage: StageStatus) -> str:
    """What a stage is about, in a few words."""
    if stage.progress and stage.progress.message and stage.state is StageState.RUNNING:
        return stage.progress.message
    if stage.reused:
        return "reused"
    return stage.message


def percent_of(stage: StageStatus) -> str:
    """How far a running stage is."""
    if stage.state is not StageState.RUNNING or stage.progress is None or stage.progress.percent is None:
        return ""
    eta = f", {_duration(stage.progress.eta_seconds)} left" if stage.progress.eta_seconds else ""
    return f"{stage.progress.percent:.0f} %{eta}"


def _line(stage: StageStatus) -> str:
    figures = figures_of(stage) if stage.state in (StageState.SUCCEEDED, StageState.CHECKING) else ""
    details = (percent_of(stage), figures or detail_of(stage))
    return " ".join(part for part in (f"{stage.name}: {stage.state}", *details) if part)


def _figure(metric: Metric) -> str:
    sample = f", n={metric.n}" if metric.n is not None else ""
    return f"{metric.value:.3f} ({metric.low:.3f}-{metric.high:.3f}{sample})"


def _bar(stage: StageStatus) -> RenderableType:
    if percent := percent_of(stage):
        assert stage.progress is not None, "there is a percent"
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=100, completed=stage.progress.percent or 0, width=BAR_WIDTH), percent)
        return row
    return ""


def _time(stage: StageStatus, now: datetime) -> str:
    if stage.started_at is None or stage.reused or stage.state in _IDLE:
        return ""
    end = datetime.fromisoformat(stage.finished_at) if stage.finished_at else now
    return _duration((end - datetime.fromisoformat(stage.started_at)).total_seconds())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


def columns(*names: str) -> Table:
    """A table as kubectl prints it."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def show(content: RenderableType) -> None:
    """Print a table or more, its texts as they are: to fit a terminal, or as wide as it is where there is none."""
    console = Console(markup=False)
    (console if console.is_terminal else Console(width=PIPE_WIDTH, markup=False)).print(content)


def age(since: str | None, now: datetime) -> str:
    """How long ago something was, as kubectl has it; nothing where it is not known."""
    if since is None:
        return ""
    seconds = (now - datetime.fromisoformat(since)).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{max(0, seconds):.0f}s"
