"""What people ask for by annotations: `llmworkflow.io/<verb>: <stage>@<revision>#<token>`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llmworkflow.api.names import ANNOTATION_NOTE, ANNOTATION_USER, Verb
from llmworkflow.api.spec.workflow import Metadata

EVERY_STAGE = "*"
_FORM = re.compile(
    r"(?P<stage>\*|[a-z][-a-z0-9]*)(?:@(?P<revision>[0-9a-z]*))?#(?P<token>\S{1,64})", re.ASCII
)


@dataclass(frozen=True)
class Request:
    """One action that a person asked for."""

    verb: Verb
    stage: str  # or EVERY_STAGE
    revision: str  # looked at, or to go back to, or digest of a promotion decided on; empty: whichever
    token: str  # tells this request from an earlier, equal one
    user: str
    verified: bool
    note: str = ""


def pending(metadata: Metadata, handled: Mapping[str, str], verified: bool) -> Iterator[Request]:
    """The requests that were not carried out yet; what does not have the form is none."""
    for verb in Verb:
        match = _FORM.fullmatch(metadata.annotations.get(verb.annotation, "").strip())
        if match and handled.get(verb) != match["token"]:
            yield Request(
                verb=verb,
                stage=match["stage"],
                revision=match["revision"] or "",
                token=match["token"],
                user=metadata.annotations.get(ANNOTATION_USER, ""),
                verified=verified,
                note=metadata.annotations.get(ANNOTATION_NOTE, ""),
            )
