"""A candidate against its incumbents: on the same rows, both scored here by the same code, row against row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmworkflow_jobs import intervals, rows, storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.evaluate import Evaluation, groups, points
from llmworkflow_jobs.metrics import Metric, Scored
from llmworkflow_jobs.own_metric import MetricError
from llmworkflow_jobs.rows import Request

# The incumbent whose rows the job has to make itself.
BASE = "base"


@dataclass(frozen=True)
class Incumbent:
    """Whom the candidate is compared with: its answers to the candidate's rows, in their order.

    Without rows it cannot be compared with, and `problem` says why. `told` is what the configuration says of it.
    """

    told: Mapping[str, Any]
    rows: list[Scored] | None
    problem: str = ""


class Incomparable(Exception):  # noqa: N818 -- reads as what it is
    """An incumbent was measured otherwise; the message says how."""


def needs_base(config: JobConfig) -> bool:
    """Whether a gate compares with the base model, which the job then asks too."""
    incumbents = config.incumbents.values()
    return config.section["evaluate"] is not None and any(told["artifact"] is None for told in incumbents)


def terms(
    requests: Sequence[Request], sampling: Mapping[str, Any], data: Mapping[str, str]
) -> dict[str, str]:
    """Digests of the terms of an evaluation: rows of two batches are only compared if these are the same.

    They are the data, the prompts of the rows taken from it, token for token, and the sampling that is asked for.
    """
    return {
        "data": _digest(sorted(data.values())),
        "prompts": _digest([_asked(request) for request in requests]),
        "sampling": _digest(sampling),
    }


def _asked(request: Request) -> list[Any]:
    own = [dict(request.sampling)] if request.sampling else []
    return [
        request.row_id,
        request.token_ids or request.messages,
        *own,
    ]  # of endpoints no token ids are known


def published(
    told: Mapping[str, Any], candidate: Sequence[Scored], terms: Mapping[str, str], config: JobConfig
) -> Incumbent:
    """An incumbent whose rows an earlier batch published."""
    try:
        return Incumbent(told, _rows_of(told, candidate, terms, config))
    except Incomparable as error:
        return Incumbent(told, None, str(error))
    except JobError as error:  # rows that are gone are no reason to throw away those of the candidate
        return Incumbent(told, None, error.message)


def compare(
    candidate: Sequence[Scored], evaluation: Evaluation, metric: Metric, incumbent: Incumbent, seed: int
) -> dict[str, Any]:
    """What the candidate is better by, as a comparison of the report."""
    found = {
        "incumbentRevision": incumbent.told["revision"],
        "confidence": incumbent.told["confidence"],
        "comparable": False,
    }
    if incumbent.rows is None or evaluation.points is None:
        return found | {"message": incumbent.problem or evaluation.score.message}
    try:
        theirs = points(incumbent.rows, metric)
    except MetricError as error:
        return found | {"message": f"the incumbent's rows cannot be scored: {error}"}
    differences = [ours - other for ours, other in zip(evaluation.points, theirs, strict=True)]
    low, high = intervals.of_difference(differences, groups(candidate), seed, incumbent.told["confidence"])
    difference = math.fsum(differences) / len(differences)
    numbers = {"difference": difference, "low": low, "high": high, "n": len(differences)}
    return found | numbers | {"comparable": True}


def _rows_of(
    told: Mapping[str, Any], candidate: Sequence[Scored], terms: Mapping[str, str], config: JobConfig
) -> list[Scored]:
    """The incumbent's rows, matched with the candidate's by their ids. Raises Incomparable or ArtifactMissing."""
    artifact = told["artifact"]
    manifest = storage.read_manifest(artifact, config)
    theirs = manifest.get("evaluation") or {}
    if differing := [name for name, digest in terms.items() if theirs.get(name) != digest]:
        raise _incomparable(artifact, f"was measured with other {' and '.join(differing)}")
    filesystem, folder = storage.open_uri(f"{artifact['uri']}/{rows.FOLDER}", config)
    found = {row["row_id"]: row for row in rows.read(filesystem, folder)}
    if set(found) != {row.row_id for row in candidate}:
        raise _incomparable(artifact, f"has other rows: {len(found)}, of {len(candidate)} here")
    matched = [(row, found[row.row_id]) for row in candidate]
    if other := [row.row_id for row, old in matched if row.reference != old["reference"]]:
        raise _incomparable(
            artifact, f"has other references in {len(other)} rows, the first in row {other[0]}"
        )
    return [replace(row, generated=old["generated_text"], truncated=old["truncated"]) for row, old in matched]


def _incomparable(artifact: Mapping[str, str], problem: str) -> Incomparable:
    return Incomparable(f"the batch at {artifact['uri']} {problem}")


def _digest(value: Any) -> str:
    return storage.text_digest(json.dumps(value, sort_keys=True, default=str))
