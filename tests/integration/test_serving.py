"""An endpoint through Ray Serve's declarative configuration and vLLM on a tiny model."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import openai
import psutil
import pytest
from fastapi import HTTPException
from pyarrow import parquet

from llmworkflow.api.spec.serve import Application, ServedModel
from llmworkflow.render.serve_config import _application
from llmworkflow.render.stage_config import public
from llmworkflow_jobs import batch, config, report

from .endpoint import APPLICATION, QUESTION, Endpoint, serving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

GREETER = """
import os
from ray import serve

@serve.deployment(ray_actor_options={"num_cpus": 0})
class Greeter:
    def __init__(self, word):
        self._word = word

    def __call__(self, request):
        return f"{self._word} {os.environ['WHOM']}"

def build(args):
    return Greeter.bind(args["word"])
"""


def own_application(folder: Path) -> dict[str, Any]:
    """What Ray Serve is told of an application whose code is in the folder."""
    (folder / "greeter.py").write_text(GREETER)
    env = [{"name": "PYTHONPATH", "value": str(folder)}, {"name": "WHOM", "value": "engineers"}]
    fields = {"name": "greeter", "importPath": "greeter:build", "routePrefix": "/greet", "env": env}
    return _application(Application.model_validate({**fields, "args": {"word": "hello"}}))


@pytest.fixture(scope="module")
def rows_of(scored: Any) -> dict[str, Any]:
    return {"rows": 16, "agreement": 0.95, "rowsOf": scored.rows_artifact}


@pytest.fixture(scope="module")
def tuned(scored: Any) -> dict[str, Any]:
    return {"stage": "tune", "revision": "aaaaaaaaaaaa", "attempt": 1, **scored.adapter}


@pytest.fixture(scope="module")
def endpoint(
    scored: Any, stage_document: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """An endpoint that is told to serve nothing yet: a test says what."""
    folder = tmp_path_factory.mktemp("serve")
    served = {"modelId": "viggo", "model": {"stage": "tune"}, "lora": {"perReplica": 4}}
    model = {**public(ServedModel.model_validate(served)), "loadsAdapters": True}
    document = stage_document("serve", scored.volume.as_uri(), stage={"name": "chat"}, models=[model])
    with serving(folder, document, [own_application(folder)]) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def bad_verdict(endpoint: Endpoint) -> dict[str, Any]:
    """The verdict on the endpoint when it comes up, and its adapter does not, however often it is tried."""
    return endpoint.change({"uri": "file:///nowhere/private", "type": "adapter"}, None, seconds=500)


@pytest.mark.capability("verification")
def test_an_endpoint_that_was_not_verified_says_so_and_answers_nothing(
    endpoint: Endpoint, bad_verdict: dict[str, Any]
) -> None:
    assert not bad_verdict["passed"]
    assert "cannot be loaded; the log of its engine says why" in bad_verdict["message"]
    assert "nowhere" not in bad_verdict["message"]
    with pytest.raises(openai.InternalServerError, match="being loaded"):
        endpoint.ask()


@pytest.fixture(scope="module")
def first_verdict(
    endpoint: Endpoint, bad_verdict: dict[str, Any], tuned: dict[str, Any], rows_of: dict[str, Any]
) -> dict[str, Any]:
    """The verdict on the endpoint once it serves the adapter that was scored."""
    return endpoint.change(tuned, rows_of)


@pytest.mark.capability("openai", "verification")
def test_the_endpoint_answers_as_the_scored_batch_did(first_verdict: dict[str, Any]) -> None:
    assert first_verdict == {
        "modelId": "viggo", "rows": 16, "agreement": 1.0, "required": 0.95, "passed": True,
        "message": "16 of 16 rows are answered as in the batch",
    }  # fmt: skip


@pytest.mark.usefixtures("first_verdict")
def test_clients_see_the_stable_name_alone(endpoint: Endpoint) -> None:
    assert [model.id for model in endpoint.client.models.list()] == ["viggo"]
    for name in ("other", "viggo:tune-aaaaaaaaaaaa-1", "viggo:x@file:///tmp"):
        with pytest.raises(openai.NotFoundError):
            endpoint.client.chat.completions.create(model=name, messages=QUESTION)


@pytest.mark.capability("applications")
@pytest.mark.usefixtures("first_verdict")
def test_an_application_of_the_users_own_answers_beside_it(endpoint: Endpoint) -> None:
    from ray import serve

    deadline = time.monotonic() + 120
    while serve.status().applications["greeter"].status != "RUNNING":
        assert time.monotonic() < deadline, serve.status().applications["greeter"]
        time.sleep(0.1)
    assert httpx.get(f"http://127.0.0.1:{endpoint.port}/greet").text == "hello engineers"


@pytest.mark.capability("openai")
@pytest.mark.usefixtures("first_verdict")
def test_a_stream_says_the_same(endpoint: Endpoint) -> None:
    streamed = [chunk.choices[0].delta.content or "" for chunk in endpoint.ask(stream=True)]
    assert len(streamed) > 1
    assert "".join(streamed) == endpoint.ask().choices[0].message.content


@pytest.mark.usefixtures("first_verdict")
def test_a_request_may_be_as_long_as_images_make_it(endpoint: Endpoint) -> None:
    question = [{"role": "user", "content": "year " * (1 << 20)}]
    with pytest.raises(openai.BadRequestError, match="maximum context length"):
        endpoint.client.chat.completions.create(model="viggo", messages=question, max_tokens=1)


@pytest.fixture
def ask_through(
    endpoint: Endpoint, scored: Any, stage_document: Callable[..., Any], tmp_path: Path
) -> Callable[..., list[dict[str, Any]]]:
    """A function (**changes) that runs a batch of task serve and returns its rows."""

    def run(**changes: Any) -> list[dict[str, Any]]:
        through = {"stage": "chat", "model": "viggo", "url": f"http://127.0.0.1:{endpoint.port}"}
        document = stage_document("batch", scored.volume.as_uri(), task="serve", through=through, **changes)
        job = config.parse(document)
        batch.main(job, report.Report(job, report.FileSink(str(tmp_path / "report.json"))))
        part = Path(job.output_uri.removeprefix("file://")) / "rows/part-00000.jsonl"
        return [json.loads(line) for line in part.read_text().splitlines()]

    return run


@pytest.mark.capability("through")
@pytest.mark.usefixtures("first_verdict")
def test_a_batch_through_the_endpoint_answers_as_the_one_that_was_scored(
    ask_through: Callable[..., list[dict[str, Any]]], scored: Any
) -> None:
    rows = ask_through(stage={"name": "through"}, input={"uri": "volume:test.jsonl", "limit": 24})
    (file,) = (scored.volume / "default/viggo/score/0123456789ab/1/rows").glob("*.parquet")
    before = parquet.read_table(file).to_pylist()
    for row in rows:
        same = before[row["row_id"]]
        for column in ("generated_text", "num_input_tokens", "num_generated_tokens", "truncated"):
            assert row[column] == same[column], column


@pytest.mark.capability("structured-serving")
@pytest.mark.usefixtures("first_verdict")
def test_an_endpoint_takes_forms_as_the_engine_does(ask_through: Callable[..., list[dict[str, Any]]]) -> None:
    forms = [{"choice": ["year", "name"]}, {"jsonSchema": {"enum": ["what", "is"]}}]
    items = [{"instruction": "inform", "output": "", "how": {"structured": form}} for form in forms]
    first, second = ask_through(
        stage={"name": "formed"}, input={"uri": None, "items": items}, sampling={"column": "how"}
    )
    assert first["generated_text"] in ("year", "name")
    assert json.loads(second["generated_text"]) in ("what", "is")


@pytest.mark.capability("promotion")
@pytest.mark.usefixtures("first_verdict")
def test_a_promotion_and_its_rollback_keep_the_engine(
    endpoint: Endpoint, tuned: dict[str, Any], rows_of: dict[str, Any], publish_adapter: Callable[..., Any]
) -> None:
    before, engine = endpoint.ask(), engine_process()
    successor = {
        "stage": "tune",
        "revision": "bbbbbbbbbbbb",
        "attempt": 1,
        **publish_adapter("bbbbbbbbbbbb", 1),
    }
    assert endpoint.change(successor, None)["passed"]
    after = endpoint.ask()
    assert after.model == "viggo:tune-bbbbbbbbbbbb-1"
    assert after.choices[0].message.content != before.choices[0].message.content
    assert endpoint.change(tuned, rows_of)["passed"]
    assert endpoint.ask().choices[0].message.content == before.choices[0].message.content
    assert engine_process() == engine


@pytest.mark.capability("verification")
@pytest.mark.usefixtures("first_verdict")
def test_another_model_than_the_scored_one_is_no_success(
    endpoint: Endpoint, scored: Any, rows_of: dict[str, Any], publish_adapter: Callable[..., Any]
) -> None:
    impostor = publish_adapter("cccccccccccc", 2)
    alias = {"stage": "tune", "revision": "cccccccccccc", "attempt": 1, **impostor}
    verdict = endpoint.change(alias, rows_of)
    assert not verdict["passed"]
    assert "which is not served" in verdict["message"]
    verdict = endpoint.change(alias, rows_of | {"rowsOf": claim(scored, impostor)})
    assert not verdict["passed"]
    assert "in the batch" in verdict["message"]


@pytest.mark.usefixtures("first_verdict")
def test_an_adapter_that_is_gone_leaves_the_old_one_serving(
    endpoint: Endpoint,
    tuned: dict[str, Any],
    rows_of: dict[str, Any],
    scored: Any,
    publish_adapter: Callable[..., Any],
) -> None:
    assert endpoint.change(tuned, rows_of)["passed"]
    before = endpoint.ask()
    gone = publish_adapter("dddddddddddd", 3)
    shutil.rmtree(scored.volume / "default/viggo/tune/dddddddddddd")
    verdict = endpoint.change({"stage": "tune", "revision": "dddddddddddd", "attempt": 1, **gone}, rows_of)
    assert not verdict["passed"]
    assert "ArtifactMissing" in verdict["message"]
    assert endpoint.ask().choices[0].message == before.choices[0].message


@pytest.mark.usefixtures("first_verdict")
def test_requests_that_bring_a_new_adapter_at_once_all_load_it(publish_adapter: Callable[..., Any]) -> None:
    from ray import serve

    adapter = publish_adapter("eeeeeeeeeeee", 4)
    handle = serve.get_deployment_handle("AdapterServer:viggo", APPLICATION)
    route = f"viggo:tune-eeeeeeeeeeee-1@{adapter['uri']}"
    for loaded in [handle.load.remote(route) for _ in range(8)]:
        loaded.result(timeout_s=60)


@pytest.mark.usefixtures("first_verdict")
def test_nobody_is_told_where_an_adapter_lies_that_cannot_be_loaded() -> None:
    from ray import serve

    handle = serve.get_deployment_handle("AdapterServer:viggo", APPLICATION)
    with pytest.raises(HTTPException) as told:
        handle.load.remote("viggo:gone-1@file:///nowhere/private").result(timeout_s=60)
    assert "the adapter of this model is not available" in str(told.value)
    assert "nowhere" not in str(told.value)


@pytest.mark.usefixtures("first_verdict")
def test_an_adapter_that_is_not_there_for_a_moment_is_served_once_it_is(
    endpoint: Endpoint, tuned: dict[str, Any], rows_of: dict[str, Any], scored: Any, tmp_path: Path
) -> None:
    late = tmp_path / "late"
    Timer(5, shutil.copytree, (Path(tuned["uri"].removeprefix("file://")), late)).start()
    assert endpoint.change({"uri": late.as_uri(), "type": "adapter"}, None)["passed"]
    assert endpoint.change(tuned, rows_of)["passed"]


def engine_process() -> int:
    """The process of the only engine below this test."""
    (process,) = [child for child in psutil.Process().children(recursive=True) if "EngineCor" in child.name()]
    return process.pid


def claim(scored: Any, adapter: dict[str, str]) -> dict[str, str]:
    """A copy of the scored batch that says that another adapter had made it."""
    from llmworkflow_jobs import config, storage

    job = config.parse(scored.document | {"stage": scored.document["stage"] | {"name": "claimed"}})
    stages = scored.volume / "default/viggo"
    shutil.copytree(stages / "score/0123456789ab/1", stages / "claimed/0123456789ab/1")
    return storage.publish(job, "rows", ["rows", "replay.jsonl"], {"model": adapter, "adapters": {}})
