"""The parts of the operator, put together."""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from secrets import token_hex

import aiohttp
from kubernetes.aio.client import ApiClient

from llmworkflow.core.observation import ChildPhase
from llmworkflow.kube import metrics
from llmworkflow.kube.applied import Applied
from llmworkflow.kube.audit import Audit
from llmworkflow.kube.cache import Cache, Key
from llmworkflow.kube.client import Api, connect
from llmworkflow.kube.companions import COMPANIONS, CompanionWatch, Place
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.execute import Executor
from llmworkflow.kube.handlers import make_registry
from llmworkflow.kube.health import Health
from llmworkflow.kube.lease import Leadership
from llmworkflow.kube.observe import Observer
from llmworkflow.kube.queue import WorkQueue
from llmworkflow.kube.reconcile import Reconciler
from llmworkflow.kube.reports import Reports
from llmworkflow.kube.resources import CHILDREN
from llmworkflow.kube.settings import OperatorSettings
from llmworkflow.kube.upkeep import Upkeep
from llmworkflow.kube.watch import ChildWatch
from llmworkflow.kube.workflow_watch import WorkflowWatch

_HOLDING = (ChildPhase.PENDING, ChildPhase.RUNNING, ChildPhase.READY, ChildPhase.UNHEALTHY)
POD_VARIABLE = "POD_NAME"
CHECK_SECONDS = 0.5  # between looks at whether KubeRay is there

logger = logging.getLogger(__name__)


class Operator:
    """Watches, looks, acts."""

    def __init__(
        self, settings: OperatorSettings, connection: ApiClient, session: aiohttp.ClientSession
    ) -> None:
        self._settings = settings
        self._cache = Cache()
        identity = _identity()
        self._leadership = Leadership(
            Api(connection), settings.lease_namespace, settings.lease_name, identity, self._led
        )
        api = Api(connection, may_write=lambda: self._leadership.leading)
        self._reports = Reports(api)
        self._applied = Applied()
        executor = Executor(api, self._cache, self._applied)
        self._upkeep = Upkeep(api, self._cache, executor, self._applied)
        observer = Observer(api, self._cache, self._reports, settings, session)
        self._reconciler = Reconciler(api, observer, executor, self._upkeep, settings)
        self._queue = WorkQueue(
            self._reconciler, _failed, workers=settings.workers, resync=settings.resync_seconds
        )
        self._watches = [
            ChildWatch(api, self._cache, resource, namespace, self._queue.add)
            for resource in CHILDREN.values()
            for namespace in settings.namespaces or [""]
        ]
        self._beside = [
            CompanionWatch(api, resource, namespace, self._changed, self._gone, self._missed)
            for resource in COMPANIONS
            for namespace in settings.namespaces or [""]
        ]
        closed = settings.jobs.network_policy
        self._audit = Audit(api, self._cache, self._applied, settings.namespaces or [""], self._gone, closed)
        registry = make_registry(self._queue.add, self._reconciler.wrote)
        self._workflows = WorkflowWatch(api, registry, settings.namespaces)
        self._health = Health(lambda: self._queue.age, self._missing, self._role)

    async def run(self) -> None:
        """Work until the process is told to end."""
        metrics.QUEUE_DEPTH.set_function(lambda: self._queue.depth)
        metrics.register(metrics.StateCollector(self._stages, self._gpus_held))
        runner = await self._health.start(self._settings.host, self._settings.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                own = [tasks.create_task(watch.run()) for watch in (*self._watches, *self._beside)]
                own += [tasks.create_task(self._queue.run()), tasks.create_task(self._prepare())]
                await self._workflows.run()
                for task in own:
                    task.cancel()
        finally:
            await runner.cleanup()

    async def _prepare(self) -> None:
        """Nobody leads who does not know the children; and whether KubeRay is there may change at any time."""
        for watch in self._watches:
            await watch.synced.wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._leadership.run())
            tasks.create_task(self._mind_kuberay())
            tasks.create_task(self._audit.run())

    async def _mind_kuberay(self) -> None:
        while True:
            absent = any(watch.absent for watch in self._watches)
            if absent != self._reconciler.kuberay_absent:
                self._reconciler.kuberay_absent = absent
                self._queue.add_all()
            await asyncio.sleep(CHECK_SECONDS)

    def _changed(self, place: Place, key: Key) -> None:
        if (due_in := self._reports.changed(place)) is not None:
            self._queue.add(key, due_in)

    def _missed(self) -> None:
        self._applied.forget()
        self._reports.all_changed()
        self._audit.due()

    def _gone(self, place: Place, key: Key) -> None:
        self._upkeep.gone(place, key)
        self._queue.add(key)

    def _led(self, leading: bool) -> None:
        self._queue.open(leading)

    def _stages(self) -> metrics.Standings:
        """What one that acts no more remembers is out of date."""
        return self._reconciler.stages() if self._leadership.leading else ()

    def _gpus_held(self) -> Mapping[str, int]:
        return self._cache.gpus_held(_HOLDING) if self._leadership.leading else {}

    def _missing(self) -> Mapping[str, str]:
        """What is not there, by its name; an empty text where nothing is amiss."""
        absent = any(watch.absent for watch in self._watches)
        unseen = not all(watch.synced.is_set() for watch in self._watches)
        return {
            "LLMWorkflow": self._workflows.trouble,
            "KubeRay": "its CRDs of ray.io/v1 are absent; install KubeRay" if absent else "",
            "cache": "the children have not been listed yet" if unseen else "",
        }

    def _role(self) -> str:
        return "leader" if self._leadership.leading else "standby"


def _failed(key: Key, error: Exception, pause: float) -> None:
    """Tell of a look that failed: in a line where the API server said no, with a traceback where we are at fault."""
    metrics.RECONCILES.labels("error").inc()
    where = {"namespace": key[0], "workflow": key[1]}
    known = isinstance(error, ApiError | TimeoutError)
    logger.error(
        "%s; tries again in %.1f s", str(error) or type(error).__name__, pause,
        exc_info=None if known else error, extra=where,
    )  # fmt: skip


def _identity() -> str:
    """The pod's name: a container that starts again in it goes on at once, as its predecessor is dead."""
    return os.environ.get(POD_VARIABLE) or f"{socket.gethostname()}-{token_hex(4)}"


async def run(settings: OperatorSettings) -> None:
    """Run the operator."""
    connection = await connect()
    try:
        async with aiohttp.ClientSession(trust_env=True) as session:
            await Operator(settings, connection, session).run()
    finally:
        await connection.close()
