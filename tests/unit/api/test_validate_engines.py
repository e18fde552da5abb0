"""Endpoints and engines that would not come up as they are written."""

from __future__ import annotations

import pytest

from .problems import BATCH, SERVED, STAGES, problems


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("/x/", "Ray Serve takes no / at the end and no wildcard; write /x"),
        ("/{a}", "Ray Serve takes no / at the end and no wildcard; choose another"),
        ("/x/{a}/", "Ray Serve takes no / at the end and no wildcard; write /x"),
        ("/tokenize", "belongs to the endpoint; choose another"),
        ("/detokenize", "belongs to the endpoint; choose another"),
        ("/docs/mine", "belongs to the endpoint; choose another"),
        ("/openapi.json", "belongs to the endpoint; choose another"),
        ("/-/healthz", "belongs to the endpoint; choose another"),
    ],
)
def test_an_application_lies_where_ray_serve_and_the_endpoint_let_it(prefix: str, told: str) -> None:
    own = {"name": "a", "importPath": "a:b", "routePrefix": prefix}
    (found,) = problems(((*STAGES, 2, "serve", "applications"), [own]))
    assert found == f'spec.stages[2].serve.applications[0].routePrefix = "{prefix}": {told}'


@pytest.mark.parametrize("prefix", ["/x", "/x/y", "/docsearch", "/v1beta", "/openapi", "/a-b"])
def test_other_paths_are_free_for_applications(prefix: str) -> None:
    own = {"name": "a", "importPath": "a:b", "routePrefix": prefix}
    assert problems(((*STAGES, 2, "serve", "applications"), [own])) == []


@pytest.mark.parametrize(
    ("count", "parallelism", "options", "told"),
    [
        (1, {}, {"tensor_parallel_size": 2}, ["tensor 1"]),
        (0.5, {}, {"pipeline_parallel_size": 2}, ["pipeline 1"]),
        (4, {}, {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}, ["tensor 1", "pipeline 1"]),
        (4, {"tensor": 2}, {"tensor_parallel_size": 4}, ["tensor 2"]),
        (4, {"tensor": 4}, {"pipeline_parallel_size": 2}, ["pipeline 1"]),
        (4, {}, {"tensor_parallel_size": 4}, []),
        (4, {}, {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, []),
        (1, {"tensor": 2}, {"tensor_parallel_size": 2}, []),
        (1, {}, {"tensor_parallel_size": 1}, []),
        (0, {}, {"tensor_parallel_size": 2}, []),
    ],
)
@pytest.mark.parametrize("place", [BATCH, SERVED])
def test_an_engine_takes_the_accelerators_that_are_counted_for_it(
    place: tuple[str | int, ...],
    count: float,
    parallelism: dict[str, int],
    options: dict[str, int],
    told: list[str],
) -> None:
    found = problems(
        (("spec", "ray", "accelerator"), {"type": "L4", "count": count}),
        ((*place, "parallelism"), parallelism),
        ((*place, "engineKwargs"), options),
    )
    assert [line.split(": ", 1)[1] for line in found] == [
        f"pods are counted for parallelism.{field}; remove it, and set parallelism.{field.split()[0]}"
        for field in told
    ]


@pytest.mark.parametrize("end", ["/chat/completions", "/chat/completions/", "/completions"])
def test_the_address_of_a_call_is_none_of_an_endpoint(end: str) -> None:
    asked = {"task": "http", "input": {"uri": "volume:a"}, "http": {"url": f"https://a/v1{end}"}}
    told = "is the address of a call, not of the endpoint; write https://a/v1"
    found = problems((STAGES, [{"name": "ask", "batch": asked}]))
    assert found == [f'spec.stages[0].batch.http.url = "https://a/v1{end}": {told}']
