"""Rows through an OpenAI endpoint: a fake one, as those that batches ask are elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from llmworkflow_jobs import batch, batch_options, config, endpoint, media, report
from llmworkflow_jobs.endpoint import Endpoint
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.rows import Answer, Request

KEY = "sk-very-secret"
PARAMETERS = {"temperature": 0.0, "max_tokens": 16}


class FakeEndpoint(ThreadingHTTPServer):
    """Answers with the question in capitals, after as many refusals as it is told to begin with."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusals: list[int] = []
        self.odd: bytes | None = None
        self.lists: bytes | None = None
        self.lists_status = 200
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: set[str | None] = set()
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: FakeEndpoint

    def do_GET(self) -> None:
        if self.server.lists is not None:
            self._send(self.server.lists_status, self.server.lists, "text/html")
            return
        self._answer(200, {"object": "list", "data": [{"id": "first", "object": "model"}, {"id": "second"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.times.append(time.monotonic())
        self.server.keys.add(self.headers["authorization"])
        if self.server.refusals:
            self._answer(self.server.refusals.pop(), {"error": {"message": "not now"}})
            return
        self.server.bodies.append(body)
        if self.server.odd is not None:
            self._send(
                200, self.server.odd, "application/json" if self.server.odd[:1] == b"{" else "text/html"
            )
            return
        question = body["messages"][-1]["content"]
        text = question if isinstance(question, str) else question[-1]["text"]
        message = {"role": "assistant", "content": text.upper()}
        self._answer(
            200,
            {
                "choices": [{"index": 0, "finish_reason": "length", "message": message}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
            },
        )

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def fake() -> Iterator[FakeEndpoint]:
    with FakeEndpoint() as server:
        yield server
        server.shutdown()


def question(text: str, **sampling: Any) -> Request:
    return Request(text, {}, [{"role": "user", "content": text}], [], sampling=sampling)


REQUESTS = [question("one"), Request("bad", {}, [], [], error="column: missing"), question("two")]


def ask(fake: FakeEndpoint, requests: list[Request] = REQUESTS, **fields: Any) -> dict[int, Answer]:
    asked = Endpoint(fake.url, **({"model": "m", "in_flight": 8} | fields))
    return dict(endpoint.answer(requests, asked, PARAMETERS))


@pytest.mark.capability("endpoints")
def test_rows_are_answered_with_what_the_endpoint_counts(fake: FakeEndpoint) -> None:
    found = ask(fake)
    assert sorted(found) == [0, 2]
    assert found[2].text == "TWO"
    assert (found[2].input_tokens, found[2].counted(), found[2].was_cut(16)) == (7, 3, True)
    assert found[2].seconds > 0
    assert [body["model"] for body in fake.bodies] == ["m", "m"]


def test_the_first_model_that_it_lists_answers_unless_one_is_named(fake: FakeEndpoint) -> None:
    ask(fake, model=None)
    assert fake.bodies[0]["model"] == "first"


def test_parameters_are_in_words_that_every_endpoint_knows(fake: FakeEndpoint) -> None:
    schema = {"type": "object"}
    form = {"structured_outputs": {"json": json.dumps(schema)}}
    ask(fake, [question("one", top_k=5, max_tokens=3, **form)])
    (body,) = fake.bodies
    assert (body["temperature"], body["max_tokens"], body["top_k"]) == (0.0, 3, 5)
    assert body["response_format"]["json_schema"]["schema"] == schema
    assert "structured_outputs" not in body
    ask(fake, [question("two", structured_outputs={"choice": ["a", "b"]})])
    assert fake.bodies[1]["structured_outputs"] == {"choice": ["a", "b"]}


@pytest.mark.capability("endpoints")
def test_a_busy_endpoint_is_asked_again(fake: FakeEndpoint) -> None:
    fake.refusals = [429, 503]
    assert {answer.error for answer in ask(fake).values()} == {None}
    assert len(fake.times) == 4


def test_what_stays_refused_is_the_error_of_its_row(fake: FakeEndpoint) -> None:
    fake.refusals = [503] * 3
    (answer,) = ask(fake, [question("one")], max_retries=2).values()
    assert answer.error is not None
    assert answer.error.startswith("InternalServerError")
    fake.refusals = [400]
    (answer,) = ask(fake, [question("one")]).values()
    assert answer.error is not None
    assert "not now" in answer.error
    assert len(fake.times) == 4  # a bad request is not repeated


@pytest.mark.capability("endpoints")
def test_requests_keep_to_the_rate(fake: FakeEndpoint) -> None:
    fake.refusals = [429]
    began = time.monotonic()
    ask(fake, [question(str(n)) for n in range(5)], requests_per_second=50)
    assert len(fake.times) == 6
    assert fake.times[-1] - began >= 5 / 50


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_the_batch_and_is_not_told(
    fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv(endpoint.KEY_ENV, f"{KEY}\nanother")
    fake.refusals = [status]
    with pytest.raises(JobError) as caught:
        ask(fake, [question("one")])
    assert (caught.value.reason, caught.value.retryable) == ("EndpointFailed", False)
    assert KEY not in caught.value.message
    assert fake.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (b'{"error": {"message": "overloaded"}}', "NoAnswer: "),
        (b'{"choices": []}', "NoAnswer: "),
        (b'{"choices": [{"index": 0, "finish_reason": "content_filter"}]}', "NoAnswer: "),
        (b"<p>Sign in</p>", "NoAnswer: "),
        (b'{"choices": [', "JSONDecodeError: "),
    ],
)
def test_an_answer_that_is_none_is_the_error_of_its_row(fake: FakeEndpoint, odd: bytes, told: str) -> None:
    fake.odd = odd
    assert {(answer.error or "").startswith(told) for answer in ask(fake).values()} == {True}


def test_an_endpoint_that_lists_no_models_is_asked_for_one_that_is_named(fake: FakeEndpoint) -> None:
    fake.lists = b"<p>Not here</p>"
    assert {answer.error for answer in ask(fake).values()} == {None}
    with pytest.raises(JobError, match=r"set http\.model, or correct http\.url") as caught:
        ask(fake, model=None)
    assert caught.value.reason == "EndpointFailed"


@pytest.mark.parametrize("model", [None, "m"])
def test_an_endpoint_that_is_away_is_told_at_once(model: str | None) -> None:
    away = Endpoint("http://127.0.0.1:1/v1", model, 8, max_retries=0)
    with pytest.raises(JobError, match=r"127\.0\.0\.1:1") as caught:
        list(endpoint.answer(REQUESTS, away, PARAMETERS))
    assert (caught.value.reason, caught.value.retryable) == ("EndpointFailed", True)


@pytest.mark.parametrize(
    ("status", "passes"), [(429, True), (408, True), (409, True), (503, True), (400, False), (404, False)]
)
def test_an_endpoint_that_is_busy_at_first_is_tried_again(
    fake: FakeEndpoint, status: int, passes: bool
) -> None:
    fake.lists, fake.lists_status = b"not now", status
    with pytest.raises(JobError) as caught:
        ask(fake, model=None, max_retries=0)
    assert (caught.value.reason, caught.value.retryable) == ("EndpointFailed", passes)


def test_a_key_with_a_space_inside_is_sent_whole(fake: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(endpoint.KEY_ENV, "my key, another\n")
    ask(fake, [question("one")])
    assert fake.keys == {"Bearer my key"}


@pytest.mark.parametrize("task", ["http", "serve"])
def test_a_batch_needs_no_model_where_an_endpoint_answers(
    fake: FakeEndpoint, tmp_path: Path, stage_config: Callable[..., dict[str, Any]], task: str
) -> None:
    http = {"url": fake.url, "model": None, "maxRetries": 3, "requestsPerSecond": None, "headers": {}}
    through = {"stage": "chat", "model": "viggo", "url": fake.url.removesuffix("/v1")}
    section = {"http": {"http": http}, "serve": {"through": through}}[task]
    rows = [{"instruction": "name", "output": "NAME"}, {"instruction": "year", "output": "day"}]
    document = stage_config(
        "batch",
        task=task,
        input={"uri": None, "items": rows},
        evaluate={"metrics": ["exactMatch"]},
        checkpoint=True,
        turns=["and {{ row.output }}"] if task == "http" else [],
        **section,
    )
    job = config.parse(document)
    batch.main(job, report.Report(job, report.FileSink(str(tmp_path / "report.json"))))
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["state"] == "Succeeded"
    assert told["metrics"]["exactMatch"]["value"] == (0.0 if task == "http" else 0.5)
    (part,) = tmp_path.rglob("rows/part-00000.jsonl")
    written = [json.loads(line) for line in part.read_text().splitlines()]
    texts = [row["generated_text"] for row in written]
    assert texts == (["AND NAME", "AND DAY"] if task == "http" else ["NAME", "YEAR"])
    assert {body["model"] for body in fake.bodies} == {"first" if task == "http" else "viggo"}
    assert not list(tmp_path.rglob("answered"))


@pytest.mark.capability("media")
def test_an_endpoint_sees_what_a_row_shows(
    fake: FakeEndpoint, tmp_path: Path, stage_config: Callable[..., dict[str, Any]]
) -> None:
    job = config.parse(stage_config("batch", multimodal={"kind": "image", "column": "photo"}))
    shown = [{"photo": "https://example.org/cat.png"}, {"photo": "volume:gone.png"}]
    requests = [replace(question("one"), row=row) for row in shown]
    good, bad = (answer for _, answer in sorted(ask(fake, requests, media=media.of(job)).items()))
    assert good.error is None
    assert fake.bodies[0]["messages"][0]["content"][0]["image_url"]["url"] == shown[0]["photo"]
    assert bad.error is not None
    assert bad.error.startswith("RowError: column photo")


@pytest.mark.parametrize("field", ["engineKwargs", "pipeline"])
def test_an_endpoint_has_its_own_engine(stage_config: Callable[..., dict[str, Any]], field: str) -> None:
    changes = {"engineKwargs": {"max_model_len": 64}, "pipeline": {"maxPendingRequests": 4}}
    with pytest.raises(JobError, match="where the endpoint is started"):
        batch_options.check(stage_config("batch", task="http", **{field: changes[field]})["batch"])
