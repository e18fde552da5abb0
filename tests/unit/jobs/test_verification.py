"""Which rows are replayed, and when an endpoint agrees with the batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow_jobs import config, replay, verification
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.rows import Answer, Request

SAMPLING = {"temperature": 0.0, "max_tokens": 3}
VIGGO: dict[str | None, str] = {None: "viggo"}


def answered(count: int) -> list[tuple[Request, Answer]]:
    """Requests and their answers; row 0 has failed."""
    requests = [Request(n, {}, [{"role": "user", "content": str(n)}], [1, n]) for n in range(count)]
    return [
        (request, Answer(f"text {n}", [5, n], 0.1, error="too long" if n == 0 else None))
        for n, request in enumerate(requests)
    ]


def endpoint(**changes: Any) -> verification.Ask:
    """An endpoint that answers as `answered` did; changes by row's number replace token ids of the answer."""

    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        n = int(body["messages"][0]["content"])
        choice = {"token_ids": [5, n], "message": {"content": f"text {n}"}} | changes.get(f"row{n}", {})
        return {"prompt_token_ids": [1, n], "choices": [choice]}

    return ask


def test_replay_takes_rows_that_succeeded_and_always_the_same() -> None:
    rows = replay.choose(answered(100), SAMPLING, reproducible=True)
    assert len(rows) == 64
    assert rows == replay.choose(answered(100), SAMPLING, reproducible=True)
    assert all(row["generated_text"] != "text 0" for row in rows)
    assert rows[0]["sampling"] == SAMPLING


def test_replay_is_read_as_it_was_written(stage_config: Callable[..., dict[str, Any]]) -> None:
    job = config.parse(stage_config("batch"))
    rows = replay.choose(answered(5), SAMPLING, reproducible=True)
    rows[0]["generated_text"] = "line\nbreaks\u2028 and ünïcode"
    replay.write(rows, job)
    uri = f"{job.output_uri}/{replay.FILE}"
    assert replay.read(uri, job) == rows


async def test_agreement() -> None:
    rows = replay.choose(answered(17), SAMPLING, reproducible=True)
    verdict = await verification.replay(VIGGO, rows, 0.95, endpoint())
    assert verdict == {
        "modelId": "viggo", "rows": 16, "agreement": 1.0, "required": 0.95, "passed": True,
        "message": "16 of 16 rows are answered as in the batch",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"token_ids": [5, 9]}, "token 1 of the answer is 9, in the batch 3"),
        ({"token_ids": [5]}, "the answer has 1 tokens, in the batch 2"),
        (
            {"message": {"content": "text"}},
            "the tokens agree, the texts of 4 characters, in the batch 6, differ at character 4",
        ),
    ],
)
async def test_one_row_of_sixteen_is_too_many(change: dict[str, Any], problem: str) -> None:
    rows = replay.choose(answered(17), SAMPLING, reproducible=True)
    verdict = await verification.replay(VIGGO, rows, 0.95, endpoint(row3=change))
    assert (verdict["passed"], verdict["agreement"]) == (False, 0.9375)
    assert problem in verdict["message"]
    assert (await verification.replay(VIGGO, rows, 0.9, endpoint(row3=change)))["passed"]


async def test_another_prompt_is_a_difference_even_if_sampling_is_random() -> None:
    rows = replay.choose(answered(5), SAMPLING, reproducible=False)
    assert (await verification.replay(VIGGO, rows, 1.0, endpoint(row1={"token_ids": [8, 8, 8]})))["passed"]
    rows[0]["prompt_token_ids"] = [1, 1, 1]
    verdict = await verification.replay(VIGGO, rows, 1.0, endpoint())
    assert "the prompt" in verdict["message"]


async def test_an_engine_that_is_away_says_nothing_about_the_model() -> None:
    calls = 0

    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise ConnectionError("refused")
        return await endpoint()(body)

    rows = replay.choose(answered(3), SAMPLING, reproducible=True)
    with pytest.raises(ConnectionError):
        await verification.replay(VIGGO, rows, 1.0, ask)
    assert (await verification.replay(VIGGO, rows, 1.0, ask))["passed"]


async def test_a_row_that_fails_ends_the_others_before_they_are_all_asked_again() -> None:
    ended = []

    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        if body["messages"][0]["content"] == "1":
            raise ConnectionError("refused")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(body)
        return {}

    with pytest.raises(ConnectionError):
        await verification.replay(VIGGO, replay.choose(answered(4), SAMPLING, reproducible=True), 1.0, ask)
    assert len(ended) == 2


@pytest.mark.parametrize(
    ("refuses", "told"),
    [(True, "the endpoint refuses it: 400 BadRequest"), (False, "the reply is not one of a chat: KeyError")],
)
async def test_what_an_endpoint_refuses_or_garbles_is_a_difference(refuses: bool, told: str) -> None:
    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        if refuses:
            raise verification.RefusedError("400 BadRequest")
        return {"detail": "none"}

    rows = replay.choose(answered(3), SAMPLING, reproducible=True)
    verdict = await verification.replay(VIGGO, rows, 0.95, ask)
    assert (verdict["passed"], verdict["agreement"]) == (False, 0.0)
    assert told in verdict["message"]


async def test_an_engine_that_hangs_is_not_waited_for() -> None:
    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    verdict = await verification.limited(verification.greet(["viggo"], ask), 0.01, "viggo")
    assert (verdict["passed"], verdict["message"]) == (False, "verification took more than 0.01 s")


async def test_a_time_out_of_somebody_elses_is_no_verdict() -> None:
    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        raise TimeoutError("the engine did not answer")

    with pytest.raises(TimeoutError):
        await verification.limited(verification.greet(["viggo"], ask), 60, "viggo")


ROW = "Patient Jane Roe, born 1970"


@given(st.text())
def test_a_text_that_differs_is_not_told_to_everybody(text: str) -> None:
    row = {"prompt_token_ids": [1], "generated_token_ids": [2], "generated_text": ROW}
    reply = {"prompt_token_ids": [1], "choices": [{"token_ids": [2], "message": {"content": f"Zoe {text}"}}]}
    told = verification.difference(row, reply) or ""
    assert "differ at character 0" in told
    assert "Zoe" not in told
    assert "Jane" not in told


SECRETS = "s3://bank-data/private/default/viggo"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            JobError("ArtifactMissing", f"{SECRETS}/tune/abc/1 is gone; run stage tune again"),
            "ArtifactMissing: tune/abc/1 is gone; run stage tune again",
        ),
        (JobError("InputChanged", "s3://other/x was tuned elsewhere"), "InputChanged: … was tuned elsewhere"),
        (
            JobError("StorageError", "file:///mnt/x: [Errno 5]", retryable=True),
            "StorageError: JobError; the log of the ingress says more",
        ),
        (
            PermissionError(13, "denied", "/mnt/x"),
            "StorageError: PermissionError; the log of the ingress says more",
        ),
        (ValueError("row 7"), "InternalError: ValueError; the log of the ingress says more"),
    ],
)
def test_what_anybody_may_read_of_an_error(error: Exception, told: str) -> None:
    assert verification.public(error, SECRETS) == told


async def test_rows_are_asked_of_the_adapter_that_answered_them() -> None:
    asked = []

    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        asked.append((body["messages"][0]["content"], body["model"]))
        return await endpoint()(body)

    pairs = [
        (replace(request, adapter=name), answer)
        for (request, answer), name in zip(answered(4), ["films", "games", None, "films"], strict=True)
    ]
    rows = replay.choose(pairs, SAMPLING, reproducible=True)
    names = {None: "chat", "games": "chat:games", "films": "chat:films"}
    assert (await verification.replay(names, rows, 1.0, ask))["passed"]
    assert sorted(asked) == [("1", "chat:games"), ("2", "chat"), ("3", "chat:films")]


@pytest.mark.parametrize(("tokens", "passed"), [([4], True), ([], False)])
async def test_without_rows_one_token_is_enough(tokens: list[int], passed: bool) -> None:
    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        return {"choices": [{"token_ids": tokens}]}

    assert (await verification.greet(["viggo"], ask))["passed"] is passed


async def test_without_rows_every_name_has_to_answer() -> None:
    async def ask(body: dict[str, Any]) -> dict[str, Any]:
        return {"choices": [{"token_ids": [] if body["model"] == "chat:films" else [4]}]}

    verdict = await verification.greet(["chat", "chat:films"], ask)
    assert (verdict["passed"], verdict["modelId"]) == (False, "chat:films")


async def test_thinking_that_the_endpoint_tells_apart_is_no_difference() -> None:
    rows = replay.choose(answered(17), SAMPLING, reproducible=True)
    split = {"token_ids": [5, 3], "message": {"reasoning": "text", "content": "3"}}
    other = {"token_ids": [5, 4], "message": {"reasoning": None, "content": "4"}}
    verdict = await verification.replay(VIGGO, rows, 1.0, endpoint(row3=split, row4=other))
    assert verdict["agreement"] == 0.9375  # the other alone differs, in one of 16 rows
    assert verdict["message"].endswith("the texts of 1 characters, in the batch 6, differ at character 0")
