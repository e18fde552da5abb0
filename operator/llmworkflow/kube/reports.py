"""What running jobs report: read when it changed, and no more often than people want to know."""

import time
from dataclasses import dataclass

from llmworkflow.core.observation import ChildPhase
from llmworkflow.core.report import JobReport
from llmworkflow.kube import report
from llmworkflow.kube.cache import Key
from llmworkflow.kube.children import ChildRecord
from llmworkflow.kube.client import Api
from llmworkflow.kube.companions import Place
from llmworkflow.kube.resources import CONFIG_MAP

PROGRESS_SECONDS = 60.0  # how old the progress of a running job may be
ASK_SECONDS = 2.0  # between questions for a report or a verdict that must come soon


@dataclass
class _Heard:
    """What a child's job reported when it was last asked."""

    uid: str
    workflow: Key
    report: JobReport | None
    at: float
    changed: bool = False  # since

    @property
    def due_in(self) -> float:
        """Seconds until it is worth another question; the first words of a job are awaited."""
        if not self.changed:
            return float("inf")
        return max(0.0, self.at + PROGRESS_SECONDS - time.monotonic()) if self.report else 0.0


class Reports:
    """The reports of running jobs, and whether they are out of date, as the watch has it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._heard: dict[Place, _Heard] = {}

    async def of(self, child: ChildRecord, config_map: str) -> tuple[JobReport | None, float]:
        """The report of a child, and after how many seconds to ask again although nothing was heard of it."""
        place = (CONFIG_MAP.kind, child.namespace, config_map)
        runs = child.look.phase is ChildPhase.RUNNING
        known = self._heard.get(place)
        if not (runs and known and known.uid == child.uid and known.due_in):
            known = self._heard[place] = _Heard(child.uid, child.key, None, time.monotonic())
            known.report = report.of_config_map(
                await self._api.get(CONFIG_MAP, child.namespace, config_map), child
            )
        if not runs:
            self._heard.pop(place, None)
        return known.report, known.due_in if runs else ASK_SECONDS

    def changed(self, place: Place) -> float | None:
        """A report may have been written; returns in how many seconds that is worth a look, None where it is not."""
        known = self._heard.get(place)
        if known is None:
            return None
        known.changed = True
        return known.due_in

    def forget(self, workflow: Key) -> None:
        """A workflow is gone, and its jobs with it."""
        for place in [place for place, known in self._heard.items() if known.workflow == workflow]:
            del self._heard[place]

    def all_changed(self) -> None:
        """Nobody watched for a time."""
        for known in self._heard.values():
            known.changed = True
