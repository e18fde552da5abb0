"""What is done beside the plan: what somebody deleted is made anew, what nothing mounts any more is deleted."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.actions import Action, CreateChild, Plan
from llmworkflow.core.observation import Observed
from llmworkflow.core.plan import living
from llmworkflow.kube.applied import Applied
from llmworkflow.kube.cache import Cache, Key
from llmworkflow.kube.client import Api
from llmworkflow.kube.companions import Place
from llmworkflow.kube.execute import Executor
from llmworkflow.kube.sweep import settled, sweep
from llmworkflow.render.errors import RenderError

Render = Callable[[LLMWorkflow, CreateChild], list[JsonObject]]

logger = logging.getLogger(__name__)


class Upkeep:
    """Remembers which workflows lack something or have something left, until there is time for them."""

    def __init__(self, api: Api, cache: Cache, executor: Executor, applied: Applied) -> None:
        self._api = api
        self._cache = cache
        self._executor = executor
        self._applied = applied
        self._lacking: set[Key] = set()
        self._littered: set[Key] = set()

    def gone(self, place: Place, key: Key) -> None:
        """A companion of a workflow was deleted."""
        self._applied.forget(place)
        self._lacking.add(key)

    def acted(self, key: Key, actions: Iterable[Action]) -> None:
        """Children that go or change leave something behind."""
        if not all(isinstance(action, CreateChild) for action in actions):
            self._littered.add(key)

    def forget(self, key: Key) -> None:
        """A workflow is gone, and all that it owned."""
        self._lacking.discard(key)
        self._littered.discard(key)

    async def care(
        self, workflow: LLMWorkflow, planned: Plan, observed: Observed, now: datetime, render: Render
    ) -> None:
        """Restore and sweep, at a look with nothing else to do."""
        key = (workflow.metadata.namespace, workflow.metadata.name)
        children = {child.name: child for child in self._cache.of(key)}
        if key in self._lacking:
            with _until_done(self._lacking, key):
                for action in living(workflow, planned.status, observed, now):
                    mounted = children[action.name].mounts if action.name in children else ()
                    await self._restore(workflow, action, mounted, render)
        if key in self._littered and settled(children.values()):
            with _until_done(self._littered, key):
                await sweep(self._api, workflow, children.values())

    async def _restore(
        self, workflow: LLMWorkflow, action: CreateChild, mounted: Collection[str], render: Render
    ) -> None:
        try:
            manifests = render(workflow, action)
        except RenderError as error:
            logger.warning("what stands beside %s is not made anew: %s", action.name, error)
        else:
            await self._executor.restore(manifests, mounted)


@contextmanager
def _until_done(keys: set[Key], key: Key) -> Iterator[None]:
    """Forget a key before it is worked on, as it may be added meanwhile; and remember it where that fails."""
    keys.discard(key)
    try:
        yield
    except BaseException:
        keys.add(key)
        raise
