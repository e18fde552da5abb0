"""Records of the children that this machine made, kept so that none is made twice or forgotten."""

import hashlib
import json
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmworkflow.core.actions import Work
from llmworkflow.core.observation import ChildKind
from llmworkflow.local.home import read_json, write_json


@dataclass(frozen=True)
class ChildRecord:
    """One child: what it is, what it was told, and the Ray session that it lives and dies with."""

    kind: ChildKind
    name: str
    uid: str
    owner_uid: str
    session: str
    stage: str
    revision: str
    attempt: int
    settings: str
    spec_hash: str


class ChildRecords:
    """The records of one workflow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self, session: str) -> list[ChildRecord]:
        """Children of this Ray session; those of an earlier one ended with it."""
        found = [ChildRecord(**read_json(path)) for path in sorted(self._folder.glob("[!.]*.json"))]
        return [record for record in found if record.session == session]

    def save(self, record: ChildRecord) -> None:
        """Keep a record."""
        write_json(self._folder / f"{record.name}.json", asdict(record))

    def remove(self, name: str) -> None:
        """Forget a child that is gone."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)


def record_of(kind: ChildKind, name: str, owner_uid: str, session: str, work: Work, told: Any) -> ChildRecord:
    """The record of a child that is about to be made."""
    return ChildRecord(
        kind=kind,
        name=name,
        uid=str(uuid.uuid4()),
        owner_uid=owner_uid,
        session=session,
        stage=work.stage,
        revision=work.revision,
        attempt=work.attempt,
        settings=work.settings,
        spec_hash=spec_hash(told),
    )


def spec_hash(told: Any) -> str:
    """Digest of what a child was told."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
