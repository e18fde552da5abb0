"""Which companions are known to be there as rendered, so that nobody asks for them again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import ANNOTATION_SPEC_HASH
from llmworkflow.kube.companions import Place

_REMEMBERED = 50_000  # of 8,000 workflows, in 17 MB; more than that costs reads


class Applied:
    """The spec hashes of companions that were written here, or seen in a list."""

    def __init__(self) -> None:
        self._hashes: dict[Place, str] = {}
        self._gone: set[Place] | None = None  # while a list is made

    def has(self, companion: JsonObject) -> bool:
        """Whether a companion is known to be there as it is rendered."""
        return self._hashes.get(place_of(companion)) == hash_of(companion)

    def note(self, companion: JsonObject) -> None:
        """A companion is there as it is rendered."""
        if len(self._hashes) >= _REMEMBERED:
            self._hashes.clear()
        self._hashes[place_of(companion)] = str(hash_of(companion))

    def forget(self, place: Place | None = None) -> None:
        """A companion was deleted by somebody; or, without a place, any may have been."""
        if place is None:
            self._hashes.clear()
            self._gone = None
            return
        self._hashes.pop(place, None)
        if self._gone is not None:
            self._gone.add(place)

    @contextmanager
    def listing(self) -> Iterator[Callable[[Place, JsonObject], None]]:
        """Take over places and items of a list, less what was deleted since the list was asked for."""
        gone = self._gone = set()

        def take_over(place: Place, item: JsonObject) -> None:
            found = hash_of(item)
            may_be_there = self._gone is gone and place not in gone
            if found and may_be_there and len(self._hashes) < _REMEMBERED:
                self._hashes.setdefault(place, found)  # what was written here is newer than any list

        try:
            yield take_over
        finally:  # a list that fails, too, after which deletions would be noted for nobody
            self._gone = None


def place_of(companion: JsonObject) -> Place:
    """Where a companion is."""
    return companion["kind"], companion["metadata"]["namespace"], companion["metadata"]["name"]


def hash_of(live: JsonObject) -> str | None:
    """What a companion was rendered to, as it says itself; None where somebody else made it."""
    annotations = live["metadata"].get("annotations") or {}
    found: str | None = annotations.get(ANNOTATION_SPEC_HASH)
    return found
