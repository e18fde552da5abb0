"""Kopf gets the metadata of workflows alone where it watches them."""

from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from llmworkflow.kube.login import ListResponse, metadata_alone

PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/apis/llmworkflow.io/v1alpha1/llmworkflows?watch=true", PARTIAL),
        ("/apis/llmworkflow.io/v1alpha1/namespaces/team/llmworkflows?watch=true", PARTIAL),
        ("/apis/llmworkflow.io/v1alpha1/llmworkflows?limit=100", LIST),
        ("/apis/llmworkflow.io/v1alpha1", "*/*"),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "*/*"),
    ],
)
async def test_what_is_asked_for(path: str, accept: str) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Accept"])
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession(middlewares=[metadata_alone]) as session:
        await session.get(server.make_url(path))
    assert asked == [accept]


@pytest.mark.parametrize(
    ("answered", "taken"),
    [
        ({"items": None}, {"items": []}),
        ({"items": [1]}, {"items": [1]}),
        ({"kind": "x"}, {"kind": "x"}),
        ([], []),
    ],
)
async def test_an_empty_list_is_a_list(answered: Any, taken: Any) -> None:
    app = web.Application()

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(answered)

    app.router.add_get("/", answer)
    async with TestServer(app) as server, aiohttp.ClientSession(response_class=ListResponse) as session:
        response = await session.get(server.make_url("/"))
        assert await response.json() == taken
