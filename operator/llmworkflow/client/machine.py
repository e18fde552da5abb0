"""Workflows of this machine."""

import os
import pwd
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import Child, LLMWorkflowStatus
from llmworkflow.client import machine_doctor
from llmworkflow.client.doctor import Finding
from llmworkflow.client.endpoint import Endpoint, key_of
from llmworkflow.client.workflow import check_name
from llmworkflow.core.commands import in_namespace
from llmworkflow.core.conditions import abandoned
from llmworkflow.core.registry import TunedModel
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, default_root, read_json, workflows
from llmworkflow.local.logs import replica_logs
from llmworkflow.local.secrets import Secrets

LOG_POLL_SECONDS = 0.3


class MachineWorkflow:
    """One workflow of this machine."""

    def __init__(self, home: WorkflowHome) -> None:
        self.home = home

    @property
    def namespace(self) -> str:
        return self.home.folder.parent.name

    @property
    def name(self) -> str:
        return self.home.folder.name

    def load(self) -> LLMWorkflow:
        return self.home.load()

    def status(self) -> LLMWorkflowStatus:
        found = self.home.status()
        return found if self.driven() else abandoned(found, datetime.now(UTC))

    def resource(self) -> JsonObject:
        return {**self.load().dump(), "status": self.status().dump()}

    def user(self) -> str:
        return local_user()

    def annotate(self, annotations: Mapping[str, str]) -> None:
        self.home.annotate(annotations)

    def suspend(self) -> None:
        self.home.suspend(self.user())

    def resume(self) -> None:
        self.home.resume()

    def delete(self) -> None:
        if driver := self.home.driver():
            raise LocalError(
                f"{self.name} runs, driven by process {driver['pid']}: end that with Ctrl-C, or with "
                f"`llmworkflow stop {self.name}{in_namespace(self.namespace)}`"
            )
        from llmworkflow.local.ray_process import clear_session  # what clusters take has no psutil

        left = self.home.left_behind() or {}
        if "session" in left:  # of a driver that was killed, and could not end its Ray itself
            clear_session(left["session"], left["folder"])
        self.home.delete()

    def driven(self) -> bool:
        return self.home.driver() is not None

    def logs(self, stage: str, follow: bool) -> Iterator[str]:
        files = self._log_files(stage)
        with ExitStack() as stack:
            opened: dict[Path, TextIO] = {}
            more = True
            while more:
                # Before the look, so that the last one misses nothing.
                more = follow and self._is_alive(stage)
                for path in files():
                    if path not in opened:
                        opened[path] = stack.enter_context(path.open(errors="replace"))
                    yield opened[path].read()
                if more:
                    time.sleep(LOG_POLL_SECONDS)
        if not opened:
            raise self._silent(stage)

    @contextmanager
    def endpoint(self) -> Iterator[Endpoint]:
        if self.load().spec.suspend:
            raise LocalError(
                f"{self.name} is suspended: `llmworkflow resume {self.name}{in_namespace(self.namespace)}` goes on"
            )
        serving = self.home.status().serving
        if serving is None or serving.url is None or not self.driven():
            raise LocalError(f"{self.name} serves nothing now: start it with `llmworkflow run FILE --local`")
        key = key_of(self.load(), serving.stage, Secrets(self.home.root, self.namespace).value)
        yield Endpoint(serving.url, serving.model_id, key)

    def models(self) -> Sequence[TunedModel]:
        from llmworkflow.local.storage import models  # pyarrow takes a moment to import

        return models(self.home, self.status())

    def page(self, now: datetime) -> str:
        from llmworkflow.local.page import page_html  # pyarrow takes a moment to import

        return page_html(self.home, now)

    def _log_files(self, stage: str) -> Callable[[], Sequence[Path]]:
        """Looks up what a stage prints into: its job into one file, each replica of an endpoint that lives into one."""
        driver, child = self.home.driver() or {}, self._child(stage)
        if child and child.kind == "RayService" and "folder" in driver:
            return partial(replica_logs, driver["folder"])
        latest = [self._latest_log(stage)]
        return lambda: latest

    def _latest_log(self, stage: str) -> Path:
        configs = self.home.configs.glob("[!.]*.json")
        children = [path.stem for path in configs if read_json(path)["stage"]["name"] == stage]
        found = [path for name in children if (path := self.home.logs / f"{name}.log").exists()]
        if not found:
            raise self._silent(stage)
        return max(found, key=lambda path: path.stat().st_mtime)

    def _silent(self, stage: str) -> LocalError:
        return LocalError(f"stage {stage} of {self.name} has not printed anything yet")

    def _is_alive(self, stage: str) -> bool:
        return self.driven() and self._child(stage) is not None

    def _child(self, stage: str) -> Child | None:
        return next((item.child for item in self.status().stages if item.name == stage), None)


class Machine:
    """This machine."""

    def __init__(self, namespace: str | None) -> None:
        self.named = namespace
        self.place = f"namespace {namespace} of this machine" if namespace else "this machine"
        self._root = default_root()

    def workflow(self, name: str) -> MachineWorkflow:
        """Where no namespace was named, one of `default`, else the only one of this name."""
        check_name("workflow", name)
        homes = workflows(self._root)
        named = [MachineWorkflow(home) for home in homes if home.folder.name == name]
        found = [item for item in named if item.namespace == (self.named or "default")]
        if not found and not self.named and len(named) == 1:
            found = named
        if not found:
            known = ", ".join(f"{home.folder.parent.name}/{home.folder.name}" for home in homes) or "none"
            wanted = f"{self.named or 'default'}/{name}"
            raise LocalError(f"no workflow {wanted} on this machine; there are: {known}")
        return found[0]

    def workflows(self, everywhere: bool = False) -> Sequence[MachineWorkflow]:
        """Those of the namespace, where one was named."""
        namespace = None if everywhere else self.named
        found = [MachineWorkflow(home) for home in workflows(self._root)]
        return [item for item in found if namespace in (None, item.namespace)]

    def resources(self, everywhere: bool = False) -> Sequence[JsonObject]:
        return [item.resource() for item in self.workflows(everywhere)]

    def examine(self) -> Iterator[Finding]:
        return machine_doctor.examine()

    def has_workflows(self) -> bool:
        """Whether anything was ever applied here."""
        return bool(workflows(self._root))


def local_user() -> str:
    """The user of this process, as the operating system knows it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
