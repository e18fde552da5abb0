"""The children in the cluster, by the workflow that they belong to; filled by watches, asked by reconciles."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from llmworkflow.core.observation import ChildPhase
from llmworkflow.kube.children import ChildRecord

Key = tuple[str, str]
"""Namespace and name of a workflow."""

HOLD_SECONDS = 5.0
"""A service counts as ready after so long: the status in which KubeRay hands out a configuration is the one before."""


@dataclass
class Cache:
    """Slim records, each under its workflow."""

    _children: dict[Key, dict[tuple[str, str], ChildRecord]] = field(default_factory=dict)
    _ready: dict[str, tuple[int, float]] = field(default_factory=dict)  # generation and time, by uid
    _going: set[str] = field(default_factory=set)  # uids of children that were deleted here

    def put(self, record: ChildRecord, now: float) -> bool:
        """Keep a record; False where it is not newer than what is known, or tells nothing new."""
        found = self._children.setdefault(record.key, {})
        known = found.get((record.kind, record.name))
        if known and known.uid == record.uid and _older(record, known):
            return False
        found[record.kind, record.name] = record
        self._note_ready(record, now)
        return known is None or (record.uid not in self._going and _told(known) != _told(record))

    def goes(self, uid: str) -> None:
        """A child was deleted: the next news of it is that it is gone."""
        self._going.add(uid)

    def remove(self, record: ChildRecord) -> bool:
        """Forget a child that is gone; False where another one of its name took its place."""
        found = self._children.get(record.key, {})
        known = found.get((record.kind, record.name))
        if known is None or known.uid != record.uid:
            return False
        del found[record.kind, record.name]
        self._ready.pop(record.uid, None)
        self._going.discard(record.uid)
        if not found:
            del self._children[record.key]
        return True

    def of(self, key: Key) -> list[ChildRecord]:
        """The children of a workflow."""
        return list(self._children.get(key, {}).values())

    def all(self) -> Iterator[ChildRecord]:
        """All children."""
        for found in self._children.values():
            yield from found.values()

    def sweep(self, kind: str, namespace: str, seen: Collection[str]) -> list[ChildRecord]:
        """Forget the children of a kind whose uids a complete list did not have; returns them."""
        gone = [
            record
            for record in self.all()
            if record.kind == kind and namespace in ("", record.namespace) and record.uid not in seen
        ]
        for record in gone:
            self.remove(record)
        return gone

    def ready_in(self, record: ChildRecord, now: float) -> float:
        """Seconds until a service that looks ready counts as ready."""
        since = self._ready.get(record.uid)
        return max(0.0, since[1] + HOLD_SECONDS - now) if since else HOLD_SECONDS

    def ready_since(self, record: ChildRecord) -> tuple[str, int, float] | None:
        """What tells the time for which a service looks ready from any other, of it or of another of its name."""
        since = self._ready.get(record.uid)
        return (record.uid, *since) if since else None

    def gpus_held(self, phases: Iterable[ChildPhase]) -> dict[str, int]:
        """Accelerators that children in these phases ask for, by namespace."""
        wanted, held = frozenset(phases), dict[str, int]()
        for record in self.all():
            if record.look.phase in wanted:
                held[record.namespace] = held.get(record.namespace, 0) + record.gpus
        return held

    def _note_ready(self, record: ChildRecord, now: float) -> None:
        if record.look.phase is not ChildPhase.READY:
            self._ready.pop(record.uid, None)
        elif self._ready.get(record.uid, (-1,))[0] != record.generation:
            self._ready[record.uid] = (record.generation, now)


def _older(record: ChildRecord, known: ChildRecord) -> bool:
    """Whether a record is of an earlier version; versions of one resource are numbers that grow."""
    return (
        record.version.isdecimal() and known.version.isdecimal() and int(record.version) < int(known.version)
    )


def _told(record: ChildRecord) -> tuple[object, ...]:
    """What a reconcile could look at."""
    return record.look, record.edited, record.terminating, record.uid, record.spec_hash, record.generation
