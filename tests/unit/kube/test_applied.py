"""What is known of companions, from writes and from lists that may be old by the time that they come."""

from typing import Any

from llmworkflow.kube.applied import Applied

from .builders import metadata

PLACE = ("ConfigMap", "team", "code")


def described(spec_hash: str) -> dict[str, Any]:
    return metadata("code", annotations={"llmworkflow.io/spec-hash": spec_hash})


def code(spec_hash: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": described(spec_hash)}


def test_what_a_list_has_is_known() -> None:
    applied = Applied()
    with applied.listing() as take_over:
        take_over(PLACE, code("h1"))
    assert applied.has(code("h1"))
    assert not applied.has(code("h2"))


def test_what_somebody_else_made_is_not_known() -> None:
    applied = Applied()
    with applied.listing() as take_over:
        take_over(PLACE, {"metadata": metadata("code", annotations={})})
    assert not applied.has({"kind": "ConfigMap", "metadata": metadata("code")})


def test_what_was_written_is_newer_than_a_list() -> None:
    applied = Applied()
    applied.note(code("h2"))
    with applied.listing() as take_over:
        take_over(PLACE, code("h1"))
    assert applied.has(code("h2"))


def test_what_was_deleted_since_a_list_was_asked_for_is_not_known_by_it() -> None:
    applied = Applied()
    with applied.listing() as take_over:
        applied.forget(PLACE)
        take_over(PLACE, code("h1"))
    assert not applied.has(code("h1"))


def test_nothing_is_taken_from_a_list_since_which_a_watch_was_lost() -> None:
    applied = Applied()
    with applied.listing() as take_over:
        applied.forget()
        take_over(PLACE, code("h1"))
    assert not applied.has(code("h1"))


def test_the_next_list_counts_again() -> None:
    applied = Applied()
    with applied.listing():
        applied.forget(PLACE)
    with applied.listing() as take_over:
        take_over(PLACE, code("h1"))
    assert applied.has(code("h1"))
