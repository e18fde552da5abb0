"""Kopf's watch of workflows, started anew where Kopf gave it up, or missed that there is something to watch."""

import asyncio
import logging
from collections.abc import Sequence

import kopf

from llmworkflow.api.spec.workflow import GROUP, PLURAL
from llmworkflow.kube.client import METADATA, Api
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.handlers import make_settings
from llmworkflow.kube.resources import LLM_WORKFLOW

PAUSE_SECONDS = 5.0  # between questions whether there are workflows at all
DEAF_LOOKS = 3  # after which Kopf had time enough to begin

logger = logging.getLogger(__name__)


class WorkflowWatch:
    """Runs Kopf, which by itself ends at an error in a watch, and may overlook a definition that comes later."""

    def __init__(self, api: Api, registry: kopf.OperatorRegistry, namespaces: Sequence[str]) -> None:
        self._api = api
        self._registry = registry
        self._namespaces = namespaces
        self._absent = self._served = False

    @property
    def trouble(self) -> str:
        """Why no workflow is seen; empty where they are."""
        if self._absent:
            return "its CRD is absent; apply manifests/crd.yaml"
        return "" if _watched() else "workflows are not watched yet"

    async def run(self) -> None:
        """Watch until the process is told to end: Kopf listens to the signals."""
        while True:
            try:
                if await self._run_kopf():
                    return
                logger.warning("Kopf does not watch workflows, and is started anew")
            except Exception:
                logger.exception("Kopf gave up, and is started anew")
                await asyncio.sleep(PAUSE_SECONDS)

    async def _run_kopf(self) -> bool:
        """Kopf, until it is told to end; False where it watches nothing."""
        kopfs = await kopf.spawn_tasks(
            registry=self._registry,
            settings=make_settings(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        tasks = {*kopfs, deaf := asyncio.create_task(self._mind())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return deaf not in done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _mind(self) -> None:
        """Ask for workflows now and then, until they are there and nobody watches them."""
        unheard = 0
        while unheard < DEAF_LOOKS:
            await self._ask()
            unheard = unheard + 1 if self._served and not _watched() else 0
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self) -> None:
        """Whether the API server knows workflows; what else is wrong with it is told by the other watches."""
        namespace, accept = (self._namespaces or [""])[0], METADATA.format("List")
        try:
            await self._api.list(LLM_WORKFLOW, namespace, accept=accept, limit="1")
        except ApiError as error:
            self._served = False
            if error.status == 404 and not self._absent:
                self._absent = True
                logger.warning("the API server has no %s of %s", LLM_WORKFLOW.kind, LLM_WORKFLOW.api_version)
        else:
            self._served, self._absent = True, False


def _watched() -> bool:
    """Whether Kopf has a task that watches workflows, which it does not say in any other way."""
    mark = f"watcher for {PLURAL}."
    names = [task.get_name() for task in asyncio.all_tasks()]
    return any(name.startswith(mark) and GROUP in name for name in names)
