"""Everything that outlives the command, on disk.

<root>/volumes/<claim>/                         what a PersistentVolumeClaim is on a cluster
<root>/secrets/<namespace>/<name>/<key>         what a Secret is on a cluster; see `local.secrets`
<root>/workflows/<namespace>/<name>/            one workflow:
    workflow.json   what was last applied, with its uid and generation
    status.json     what came of it
    children/       one record for each child that may be alive
    configs/        what each child's job was told
    reports/        what each child's job reported
    logs/           what each child's job printed
    driver.json     the process that drives the workflow, or did last
"""

import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

from pydantic import BaseModel

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.core.clock import stamp
from llmworkflow.local.edits import annotated, merged, resumed, suspended
from llmworkflow.local.errors import LocalError

M = TypeVar("M", bound=BaseModel)

ROOT_VARIABLE = "LLMWORKFLOW_HOME"
LOCK_SECONDS = 1.0  # longer than anybody looks whether a workflow is driven


def default_root() -> Path:
    """Where workflows of this user live: $LLMWORKFLOW_HOME, else ~/.llmworkflow."""
    return Path(os.environ.get(ROOT_VARIABLE) or "~/.llmworkflow").expanduser().resolve()


def write_json(path: Path, content: Any) -> None:
    """Replace a file in one step, so that a reader and a crash see the old or the new one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """The content of a file, None where there is none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _parsed(path: Path, model: type[M]) -> M | None:
    """What a file says, None where there is none. No word of why it cannot be read: that would show values."""
    try:
        content = read_json(path)
        return None if content is None else model.model_validate(content)
    except ValueError as error:
        raise LocalError(
            f"{path} cannot be read: it is damaged, or of another version of llmworkflow; use that version, or "
            f"remove {path.parent} and run the workflow's file again"
        ) from error


class WorkflowHome:
    """The folder of one workflow."""

    def __init__(self, root: Path, namespace: str, name: str) -> None:
        self.root = root
        self.folder = root / "workflows" / namespace / name
        self.children = self.folder / "children"
        self.configs = self.folder / "configs"
        self.reports = self.folder / "reports"
        self.logs = self.folder / "logs"
        self._applied = self.folder / "workflow.json"
        self._status = self.folder / "status.json"
        self._driver = self.folder / "driver.json"

    def exists(self) -> bool:
        """Whether a workflow of this name was ever applied."""
        return self._applied.exists()

    def apply(self, workflow: LLMWorkflow) -> LLMWorkflow:
        """Keep what a person wants; returns it with its uid and its generation, as an API server would."""
        with self._writing():
            before = self.load() if self.exists() else None
            return self._keep(before, merged(before, workflow) if before else workflow)

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """Add annotations to what was applied; a driver sees them at its next step."""
        with self._writing():
            before = self.load()
            self._keep(before, annotated(before, annotations))

    def suspend(self, user: str) -> None:
        """Set spec.suspend, in the name of a user."""
        with self._writing():
            before = self.load()
            self._keep(before, suspended(before, user))

    def resume(self) -> None:
        """Take spec.suspend back, whoever set it."""
        with self._writing():
            before = self.load()
            self._keep(before, resumed(before))

    def delete(self) -> None:
        """Forget the workflow and what came of it; what it made stays on its storage.

        Raises:
            LocalError: another process drives the workflow.
        """
        with self.lock():
            shutil.rmtree(self.folder)

    def _keep(self, before: LLMWorkflow | None, wanted: LLMWorkflow) -> LLMWorkflow:
        created = {"uid": str(uuid.uuid4()), "creationTimestamp": stamp(datetime.now(UTC))}
        if before:
            known = before.metadata.model_dump(by_alias=True)
            created = {key: known[key] for key in created if key in known}
        metadata = wanted.metadata.model_copy(update={**created, "generation": _generation(before, wanted)})
        applied = wanted.model_copy(update={"metadata": metadata})
        write_json(self._applied, applied.written())
        return applied

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only writer of what was applied, so that no edit is lost to another one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "apply.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def load(self) -> LLMWorkflow:
        """What was last applied."""
        found = _parsed(self._applied, LLMWorkflow)
        assert found is not None, "the caller looked"
        return found

    def status(self) -> LLMWorkflowStatus:
        """What came of the workflow so far."""
        return _parsed(self._status, LLMWorkflowStatus) or LLMWorkflowStatus()

    def save_status(self, status: LLMWorkflowStatus) -> None:
        """Write what came of the workflow."""
        write_json(self._status, status.dump())

    def volume(self, claim: str) -> Path:
        """The folder that stands for a volume claim."""
        return self.root / "volumes" / claim

    def driver(self) -> dict[str, Any] | None:
        """Who drives the workflow now: pid, port of the endpoint, and Ray's dashboard once it is up; else None."""
        # Read after the look: what an earlier driver wrote must not pass for what this one did.
        return self.left_behind() if self._driver.exists() and self._locked() else None

    def save_driver(self, content: dict[str, Any]) -> None:
        """Tell others who drives the workflow."""
        write_json(self._driver, content)

    def left_behind(self) -> dict[str, Any] | None:
        """What the last driver wrote, dead or alive."""
        content: dict[str, Any] | None = read_json(self._driver)
        return content

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only driver. The kernel lets go of the lock when the process ends, however it ends.

        Raises:
            LocalError: another process drives the workflow.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as handle:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _flock(handle, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise LocalError(f"workflow {self.folder.name} is already driven by another process")
                time.sleep(0.05)
            yield

    def _locked(self) -> bool:
        """Whether somebody drives; looks with a shared lock, in whose way no other look is."""
        with (self.folder / "lock").open("a") as handle:
            return not _flock(handle, fcntl.LOCK_SH)


def _flock(handle: TextIO, kind: int) -> bool:
    """Take a lock at once; whether it was free. Closing the file lets go of it."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def workflows(root: Path) -> list[WorkflowHome]:
    """All workflows that were ever applied, by namespace and name."""
    found = sorted((root / "workflows").glob("*/*/workflow.json"))
    return [WorkflowHome(root, path.parent.parent.name, path.parent.name) for path in found]


def _generation(before: LLMWorkflow | None, after: LLMWorkflow) -> int:
    if before is None:
        return 1
    return before.metadata.generation + (before.spec != after.spec)
