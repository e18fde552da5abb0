"""Parameters of `ray start`: KubeRay writes them into a shell command, so only harmless ones may pass."""

from __future__ import annotations

import pytest

from llmworkflow.render.errors import RenderError
from llmworkflow.render.ray_start import group_resources, start_parameters


def test_the_users_parameters_win() -> None:
    found = start_parameters({"num-cpus": "8"}, {"num-cpus": "0", "num-gpus": "0"}, "ray.head")
    assert found == {"num-cpus": "8", "num-gpus": "0"}


@pytest.mark.parametrize(
    "parameters",
    [
        {"temp-dir": "/tmp; reboot"}, {"temp-dir": "$(reboot)"}, {"temp-dir": "`reboot`"}, {"temp-dir": "a\nb"},
        {"temp-dir": "a b"}, {"temp-dir": "a'b"}, {"block && reboot": "true"}, {"": "true"}, {"temp-dir": "a\n"},
    ],
)  # fmt: skip
def test_what_a_shell_would_read_is_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(RenderError, match=r"ray\.worker\.rayStartParams"):
        start_parameters(parameters, {}, "ray.worker")


def test_nothing_to_announce_leaves_parameters_alone() -> None:
    assert group_resources({"num-cpus": "0"}, {}, None, "ray.head") == ({"num-cpus": "0"}, {})


def test_resources_are_announced_in_one_place() -> None:
    """KubeRay refuses a group with resources in both."""
    parameters, resources = group_resources({"num-cpus": "4", "block": "true"}, {}, "L4", "ray.worker")
    assert parameters == {"block": "true"}
    assert resources == {"CPU": "4", "accelerator_type:L4": "1"}


@pytest.mark.capability("accelerators")
@pytest.mark.parametrize("text", ['{"fast-disk": 2}', "'{\"fast-disk\": 2}'", '"{\\"fast-disk\\": 2}"'])
def test_custom_resources_in_all_ways_in_which_people_write_them(text: str) -> None:
    assert group_resources({}, {"resources": text}, None, "ray.worker") == ({}, {"fast-disk": "2.0"})


@pytest.mark.parametrize(
    "text", ["", "fast-disk", "[1]", '{"a": "x"}', '{"a\' b": 1}', '{"$(a)": 1}', '{"a": null}']
)
def test_custom_resources_that_are_none(text: str) -> None:
    with pytest.raises(RenderError, match=r"ray\.worker\.rayStartParams\.resources"):
        group_resources({}, {"resources": text}, None, "ray.worker")
