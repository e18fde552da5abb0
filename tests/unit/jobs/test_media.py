"""Images of rows on their way to an endpoint."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from llmworkflow_jobs import config, data, inline, media, report
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import RowError
from llmworkflow_jobs.rows import Request

Document = Callable[..., dict[str, Any]]

PNG = b"\x89PNG and so on"
INLINE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is it?"}]


@pytest.fixture
def job(tmp_path: Path, stage_config: Document) -> config.JobConfig:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(PNG)
    return config.parse(stage_config("batch", task="serve", multimodal={"kind": "image", "column": "photo"}))


def request(photo: Any) -> Request:
    return Request(0, {"photo": photo}, MESSAGES, [])


@pytest.mark.capability("media")
@pytest.mark.parametrize(
    ("photo", "url"),
    [
        ("volume:photos/cat.png", INLINE),
        (PNG, INLINE),
        ({"bytes": PNG, "path": "cat"}, INLINE),
        ("https://example.org/cat.jpg", "https://example.org/cat.jpg"),
        (INLINE, INLINE),
    ],
)
def test_the_user_shows_what_the_row_has(job: config.JobConfig, photo: Any, url: str) -> None:
    found = media.of(job)
    assert found
    system, user = found.messages(request(photo))
    assert system == MESSAGES[0]
    assert user["content"] == [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What is it?"},
    ]


@pytest.mark.parametrize("photo", [None, "", 3, "volume:photos/dog.png", "ftp://example.org/cat.png"])
def test_a_row_without_what_it_should_show_is_an_error(job: config.JobConfig, photo: Any) -> None:
    found = media.of(job)
    assert found
    with pytest.raises(RowError, match="column photo"):
        found.messages(request(photo))


def photo(colour: str) -> bytes:
    found = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(found, "PNG")
    return found.getvalue()


@pytest.fixture
def seeing(tmp_path: Path, stage_config: Document) -> Callable[[Any], bytes]:
    """What finds the image of a row for an engine."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "red.png").write_bytes(photo("red"))
    looking = media.look(config.parse(stage_config("batch", multimodal={"kind": "image", "column": "photo"})))
    assert looking
    return lambda value: looking({"photo": value})


@pytest.mark.capability("seeing")
@pytest.mark.parametrize(
    "value", ["volume:photos/red.png", photo("red"), {"bytes": photo("red")}, inline.address_of(photo("red"))]
)
def test_an_engine_is_shown_the_file(seeing: Callable[[Any], bytes], value: Any) -> None:
    assert seeing(value) == photo("red")
    image = media.for_engine({media.IMAGE: seeing(value)}, "shown")["shown"]["image"]
    assert image.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "value", [None, PNG, "volume:photos/none.png", "data:image/png;base64,a", b"\x89PNG\r\n\x1a\n12"]
)
def test_what_cannot_be_opened_is_an_error_of_its_row(seeing: Callable[[Any], bytes], value: Any) -> None:
    with pytest.raises(RowError, match="photo"):
        seeing(value)


@pytest.mark.capability("seeing")
def test_the_image_has_its_place_in_the_users_message() -> None:
    asked = []
    media.shown(lambda messages: asked.extend(messages) or [])(MESSAGES)
    assert asked == [
        MESSAGES[0],
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
    ]


def test_media_go_with_a_message_of_the_user() -> None:
    with pytest.raises(RowError, match="there is none of the user"):
        media.shown(lambda _: [])(MESSAGES[:1])


def test_a_picture_that_is_too_large_is_an_error_of_its_row(
    seeing: Callable[[Any], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    with pytest.raises(RowError, match="photo"):
        seeing(file.getvalue())


def test_a_row_without_an_image_shows_none(stage_config: Document) -> None:
    assert media.look(config.parse(stage_config("batch"))) is None
    assert media.for_engine({"model": "/m"}, "shown") == {}


def test_a_column_that_no_row_has(job: config.JobConfig) -> None:
    media.check([request(PNG).row], job)
    with pytest.raises(JobError, match="multimodal") as caught:
        media.check([{}], job)
    assert caught.value.reason == "ColumnMissing"


@pytest.mark.capability("formats")
def test_a_folder_of_images_is_rows(tmp_path: Path, job: config.JobConfig) -> None:
    told = report.Report(job, report.FileSink(str(tmp_path / "report.json")))
    assert data.read_rows([{"uri": "volume:photos"}], job, told) == [{"path": "cat.png", "image": INLINE}]


@pytest.mark.capability("formats")
def test_a_list_of_texts_is_rows(tmp_path: Path, job: config.JobConfig) -> None:
    (tmp_path / "list.json").write_text('["one", {"text": "two"}]')
    told = report.Report(job, report.FileSink(str(tmp_path / "report.json")))
    source = {"uri": "volume:list.json", "format": "list"}
    assert data.read_rows([source], job, told) == [{"text": "one"}, {"text": "two"}]
