"""Drives one workflow on this machine: observe, plan, write the status, execute, again."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime

from llmworkflow.api.names import ConditionType
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.core.actions import Plan
from llmworkflow.core.plan import plan
from llmworkflow.job_code import code_folder
from llmworkflow.local.backend import RAY_AWAY, LocalBackend
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.port import Port, serves
from llmworkflow.local.ray_process import RayProcess, clear_session
from llmworkflow.local.secrets import secret_names
from llmworkflow.local.storage import tidy, use_storage

POLL_SECONDS = 0.5  # how long a change of a job may stay unseen
RAY_RESTARTS = 3  # a machine that loses Ray more often has a trouble that restarts do not mend
WITHDRAW_SECONDS = 60

logger = logging.getLogger(__name__)

OnStep = Callable[[Plan], None]
Done = Callable[[LLMWorkflowStatus], bool]


class Driver:
    """Owns Ray and the workflow's status while it runs."""

    def __init__(self, home: WorkflowHome, port: int, on_step: OnStep) -> None:
        self._home = home
        self._port = Port(port)
        self._on_step = on_step
        self._ray = RayProcess()
        self._backend: LocalBackend | None = None
        self._secrets: set[tuple[str, ...]] = set()
        self._tidied = 0  # the generation after whose success old revisions were removed
        self._away = False  # whether Ray did not answer at the last look
        self._stopping = False

    def run(self, done: Done) -> LLMWorkflowStatus:
        """Drive until `done`, or until asked to stop; then withdraw what runs and end Ray.

        Raises:
            LocalError: the machine cannot run the workflow, or another process already drives it.
        """
        with self._home.lock(), closing(self._port):
            self._clear_left_behind()
            if serves(self._home.load()):
                self._port.take()
            try:
                status = self._drive(done)
                self._withdraw()
                return status
            finally:
                self._end_ray()

    def stop(self) -> None:
        """Ask the driver to stop; safe in a signal handler."""
        self._stopping = True

    def _drive(self, done: Done) -> LLMWorkflowStatus:
        self._start_ray()
        starts = 1
        while True:
            if not self._ray.alive():
                if starts > RAY_RESTARTS:
                    raise LocalError(f"Ray ended {starts} times; its logs are in {self._home.logs}")
                self._end_ray()
                self._start_ray()
                starts += 1
            elif secret_names(self._home.load()) != self._secrets:
                self._withdraw()  # what runs has the old variables
                self._end_ray()
                self._start_ray()
            planned = self._step(self._home.load())
            if planned is not None:
                self._on_step(planned)
                self._keep_to_retention(planned.status)
                if self._stopping or done(planned.status):
                    return planned.status
            elif self._stopping:
                return self._home.status()
            time.sleep(POLL_SECONDS)

    def _step(self, workflow: LLMWorkflow, ending: bool = False) -> Plan | None:
        """One look and what follows from it; None when Ray did not answer."""
        assert self._backend is not None, "Ray was started before"
        try:
            observed = replace(self._backend.observe(workflow), ending=ending)
            before = self._home.status()
            planned = plan(workflow, before, observed, datetime.now(UTC))
            if planned.status != before:
                self._home.save_status(planned.status)
            for action in planned.actions:
                self._backend.execute(workflow, action)
        except RAY_AWAY as error:
            if not self._away:
                logger.warning("Ray does not answer, and is asked again: %s", error)
            self._away = True
            return None  # the next look finds Ray dead, or answering again, and does what is left
        self._away = False
        return planned

    def _keep_to_retention(self, status: LLMWorkflowStatus) -> None:
        """Remove old revisions once all that was asked for is there; what hinders that is no failure of the run."""
        generation = status.observed_generation or 0
        ready = any(item.type == ConditionType.READY and item.status == "True" for item in status.conditions)
        if ready and generation != self._tidied:
            self._tidied = generation
            try:
                tidy(self._home)
            except LocalError as error:
                logger.warning("old revisions are not removed: %s", error)

    def _withdraw(self) -> None:
        """Stop what runs, so that it costs no attempt and the next run goes on."""
        deadline = time.monotonic() + WITHDRAW_SECONDS
        workflow = self._home.load()
        while self._ray.alive() and time.monotonic() < deadline:
            planned = self._step(workflow, ending=True)
            if planned and all(stage.child is None for stage in planned.status.stages):
                return
            time.sleep(POLL_SECONDS)

    def _start_ray(self) -> None:
        workflow = self._home.load()
        self._secrets = secret_names(workflow)
        use_storage(self._home, workflow)
        address = self._ray.start([str(code_folder().parent)])
        self._backend = LocalBackend(self._home, address, self._port)
        self._tell(session=address.session, folder=address.folder, dashboard=address.dashboard)

    def _tell(self, **ray: str) -> None:
        """Tell others who drives the workflow, and the Ray to be ended should this process be killed."""
        self._home.save_driver({"pid": os.getpid(), "port": self._port.number, **ray})

    def _end_ray(self) -> None:
        if self._backend is not None:
            with suppress(*RAY_AWAY):
                self._backend.keep_logs()
        self._ray.stop()

    def _clear_left_behind(self) -> None:
        """End what a driver that was killed could not end itself; its process id may be anybody's by now."""
        left = self._home.left_behind() or {}
        ray = {key: left[key] for key in ("session", "folder") if key in left}
        self._tell(**ray)
        if ray:
            clear_session(**ray)
