"""Carries out the actions of a plan. Each may be begun again at any point: after a crash, it will be."""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import ANNOTATION_CLUSTER
from llmworkflow.core.actions import Action, ApplyService, CreateChild, DeleteChild
from llmworkflow.core.observation import Refused
from llmworkflow.kube import metrics
from llmworkflow.kube.applied import Applied, hash_of, place_of
from llmworkflow.kube.cache import Cache, Key
from llmworkflow.kube.children import edited_by_hand, record_of
from llmworkflow.kube.client import METADATA, Api
from llmworkflow.kube.diagnose import of_refusal
from llmworkflow.kube.errors import AgainError, ApiError, RefusedError
from llmworkflow.kube.resources import BY_KIND, CHILDREN, CONFIG_MAP, RAY_SERVICE

_REFUSALS = (403, 422)  # by a quota, a policy, or for want of a right


class Executor:
    """Writes to the cluster."""

    def __init__(self, api: Api, cache: Cache, applied: Applied) -> None:
        self._api = api
        self._cache = cache
        self._applied = applied
        self._refused: dict[Key, dict[str, Refused]] = {}  # by name of the child

    def refused(self, workflow: Key) -> Mapping[str, Refused]:
        """The children of a workflow that the API server would not have, by name."""
        return self._refused.get(workflow, {})

    def forget(self, workflow: Key) -> None:
        """A workflow is gone."""
        self._refused.pop(workflow, None)

    async def carry_out(self, workflow: Key, action: Action, manifests: Sequence[JsonObject]) -> None:
        """Do one action of a workflow; `manifests` are what it was rendered to, the child last: none for a deletion.

        Raises:
            AgainError: the cluster is not what the plan was made for.
            RefusedError: the API server would not have a child.
        """
        metrics.ACTIONS.labels(type(action).__name__).inc()
        match action:
            case CreateChild():
                await self._make(workflow, action, manifests)
            case ApplyService():
                await self._bring(action, manifests)
            case DeleteChild():
                await self._delete(workflow[0], action)

    async def _make(self, workflow: Key, action: CreateChild, manifests: Sequence[JsonObject]) -> None:
        """Create a child with what it needs; that it is refused is remembered, so that people are told."""
        *companions, child = manifests
        refused = self._refused.setdefault(workflow, {})
        try:
            await self._ensure(companions, fresh=action.kind == "RayJob")
            await self._create(child)
        except ApiError as error:
            if error.status not in _REFUSALS:
                raise
            found = of_refusal(str(error))
            before, now = refused.get(action.name), Refused(found.reason.value, found.message)
            refused[action.name] = now
            raise RefusedError(str(error), is_news=now != before) from error
        refused.pop(action.name, None)
        if not refused:
            self.forget(workflow)

    async def restore(self, manifests: Sequence[JsonObject], mounted: Collection[str]) -> None:
        """Make the companions of a living child anew where they are not there: of the immutable, those it mounts."""
        await self._ensure(
            companion
            for companion in manifests[:-1]
            if not companion.get("immutable") or companion["metadata"]["name"] in mounted
        )

    async def _create(self, child: JsonObject) -> None:
        """POST, never apply: what has the name already is looked at first, and may be somebody else's."""
        try:
            created = await self._api.create(child)
        except ApiError as error:
            if error.status == 409:
                raise AgainError(f"{child['kind']} {child['metadata']['name']} is there already") from error
            raise
        self._cache.put(record_of(created), time.monotonic())

    async def _bring(self, action: ApplyService, manifests: Sequence[JsonObject]) -> None:
        """Replace the spec of this very service, and leave alone what others keep in its metadata.

        A cluster that is made of the same stays as it is, with the code that it began with: it may have been rendered
        by an older version, and what this one renders otherwise is no reason to start its engines anew.
        """
        *companions, child = manifests
        described = child["metadata"]
        live = await self._api.get(RAY_SERVICE, described["namespace"], action.name)
        if live is None or live["metadata"]["uid"] != action.uid or "deletionTimestamp" in live["metadata"]:
            raise AgainError(f"RayService {action.name} is not the one that was seen")
        if _makes_room(live, child):
            place = described["namespace"], action.name, action.uid
            await self._api.delete(RAY_SERVICE, *place, policy=_policy(live))
            return
        stays = _same_cluster(live, child)
        await self._ensure(
            companion for companion in companions if not (stays and companion.get("immutable"))
        )
        kept = {
            name: {**live["metadata"].get(name, {}), **described.get(name, {})}
            for name in ("labels", "annotations")
        }
        suspend = {"suspend": live["spec"]["suspend"]} if "suspend" in live["spec"] else {}  # Kueue's
        cluster = {"rayClusterConfig": live["spec"]["rayClusterConfig"]} if stays else {}
        spec = {**child["spec"], **cluster, **suspend}
        metadata = {**live["metadata"], **kept, "ownerReferences": described["ownerReferences"]}
        metadata.pop("managedFields", None)
        replaced = await self._api.replace({**child, "metadata": metadata, "spec": spec})
        self._cache.put(record_of(replaced), time.monotonic())

    async def _delete(self, namespace: str, action: DeleteChild) -> None:
        resource = CHILDREN[action.kind]
        live = await self._api.get(resource, namespace, action.name) if resource is RAY_SERVICE else None
        if not await self._api.delete(resource, namespace, action.name, action.uid, policy=_policy(live)):
            raise AgainError(f"{action.kind} {action.name} is gone, or another one")
        self._cache.goes(action.uid)

    async def _ensure(self, companions: Iterable[JsonObject], fresh: bool = False) -> None:
        """Have companions be as rendered: all are asked for at once, and written in order where they differ.

        For a fresh run the report is emptied: a run of the same attempt may have left its own.
        """
        unknown = [item for item in companions if not self._applied.has(item) or (fresh and _is_report(item))]
        for companion, live in zip(unknown, await asyncio.gather(*map(self._get, unknown)), strict=True):
            await self._bring_about(companion, live)
            if fresh and live and live.get("data") and _is_report(companion):
                described = companion["metadata"]
                await self._api.merge(CONFIG_MAP, described["namespace"], described["name"], {"data": None})
            self._applied.note(companion)

    async def _bring_about(self, companion: JsonObject, live: JsonObject | None) -> None:
        if live and hash_of(live) == hash_of(companion):
            return
        if live and companion.get("immutable"):
            described = live["metadata"]
            await self._api.delete(CONFIG_MAP, described["namespace"], described["name"], described["uid"])
            live = None
        try:
            await (self._api.apply(companion) if live else self._api.create(companion))
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            raise AgainError(f"{error}: the API server does not know yet what was just written") from error

    async def _get(self, companion: JsonObject) -> JsonObject | None:
        kind, namespace, name = place_of(companion)
        if companion.get("immutable"):  # long, and told apart by what its metadata says
            return await self._api.get(BY_KIND[kind], namespace, name, METADATA.format(""))
        return await self._api.get(BY_KIND[kind], namespace, name)


def _same_cluster(live: JsonObject, child: JsonObject) -> bool:
    """Whether the Ray cluster that a service has is the one that it is to have; an edit by hand is put right."""
    return _made_of(live) == _made_of(child) is not None and not edited_by_hand(live["metadata"])


def _makes_room(live: JsonObject, child: JsonObject) -> bool:
    """Whether the service must go for its successor: KubeRay changes no cluster without a second one beside it."""
    surges = child["spec"].get("upgradeStrategy", {}).get("type") != "None"
    return not surges and _made_of(live) != _made_of(child)


def _policy(live: JsonObject | None) -> str:
    """How a child goes: with all it owns, but for a service whose Ray cluster keeps its state in Redis.

    KubeRay removes that state by a pod that needs the token of the cluster, a Secret that the cluster owns. The service
    stays until its clusters are gone in any case.
    """
    cluster = (live or {}).get("spec", {}).get("rayClusterConfig", {})
    return "Background" if "gcsFaultToleranceOptions" in cluster else "Foreground"


def _made_of(service: JsonObject) -> str | None:
    annotations: Mapping[str, str] = service["metadata"].get("annotations", {})
    return annotations.get(ANNOTATION_CLUSTER)


def _is_report(companion: JsonObject) -> bool:
    """The one ConfigMap that changes: its content is the jobs'."""
    return companion["kind"] == "ConfigMap" and not companion.get("immutable")
