"""Jobs of Ray, in place of RayJobs."""

import shutil
import time
from pathlib import Path
from typing import Any

import requests
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from llmworkflow.core.observation import ChildPhase
from llmworkflow.local.errors import check_answer
from llmworkflow.local.ray_process import RayAddress

TIMEOUT_SECONDS = 30  # for an answer of Ray's dashboard
STOP_SECONDS = 20
ENDING_SECONDS = 5  # many times what Ray takes to shut down in a job, and less than an engine takes to start

_PHASES = {
    JobStatus.PENDING: ChildPhase.PENDING,
    JobStatus.RUNNING: ChildPhase.RUNNING,
    JobStatus.SUCCEEDED: ChildPhase.SUCCEEDED,
    JobStatus.FAILED: ChildPhase.FAILED,
    JobStatus.STOPPED: ChildPhase.FAILED,
}


class _Client(JobSubmissionClient):  # type: ignore[misc]  # Ray's client is untyped
    """Ray's own client waits for ever, and has one error for what Ray refuses and for what Ray cannot do now."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> requests.Response:
        answer: requests.Response = super()._do_request(method, endpoint, timeout=TIMEOUT_SECONDS, **options)
        check_answer(answer.status_code, answer.text)
        return answer


class Jobs:
    """The job API of a running Ray."""

    def __init__(self, address: RayAddress, logs: Path) -> None:
        self._client = _Client(address.dashboard, headers={"Authorization": f"Bearer {address.token}"})
        self._ray_logs = address.logs
        self._logs = logs
        self._ending: dict[str, float] = {}  # since when each job was seen to have done its work

    def submit(self, name: str, entrypoint: str, env: dict[str, str], pip: list[str]) -> None:
        """Start a job and make its output readable under the workflow's logs."""
        self._logs.mkdir(parents=True, exist_ok=True)
        link = self._logs / f"{name}.log"
        link.unlink(missing_ok=True)
        link.symlink_to(self._ray_log(name))  # first: Ray may take the job and not get to answer
        runtime_env = {"env_vars": env, **({"pip": pip} if pip else {})}
        self._client.submit_job(entrypoint=entrypoint, submission_id=name, runtime_env=runtime_env)

    def seen(self) -> dict[str, tuple[ChildPhase, str, str]]:
        """Phase, reason and message of every job that Ray knows, by name."""
        return {
            job.submission_id: (_PHASES[job.status], _reason(job), _message(job))
            for job in self._client.list_jobs()
            if job.submission_id
        }

    def is_ending(self, name: str) -> bool:
        """Whether a job that has done its work still has time to end in order, as Ray's shutdown takes a moment."""
        if self._client.get_job_status(name).is_terminal():
            return False
        since = self._ending.setdefault(name, time.monotonic())
        return time.monotonic() - since < ENDING_SECONDS

    def remove(self, name: str) -> None:
        """Stop a job, keep its output, and let Ray forget it."""
        if not self._client.get_job_status(name).is_terminal():
            self._client.stop_job(name)
            self._wait_until_ended(name)
        self.keep_log(name)
        self._client.delete_job(name)
        self._ending.pop(name, None)

    def keep_log(self, name: str) -> None:
        """Copy a job's output out of Ray's folder, which goes when Ray goes."""
        kept, current = self._logs / f"{name}.log", self._ray_log(name)
        if kept.is_symlink() and current.exists():
            kept.unlink()
            shutil.copyfile(current, kept)

    def _ray_log(self, name: str) -> Path:
        return self._ray_logs / f"job-driver-{name}.log"

    def _wait_until_ended(self, name: str) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while not self._client.get_job_status(name).is_terminal():
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {name} did not stop within {STOP_SECONDS} s of being told to")
            time.sleep(0.2)


def _reason(job: JobDetails) -> str:
    if job.status is JobStatus.STOPPED:
        return "Stopped"
    return "JobFailed" if job.status is JobStatus.FAILED else ""


def _message(job: JobDetails) -> str:
    """Ray's own words about a failure, less the log that it appends."""
    if job.status is not JobStatus.FAILED:
        return ""
    return (job.message or "").split(", last available logs", 1)[0]
