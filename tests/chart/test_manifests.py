"""What kubectl applies is what the chart installs."""

from __future__ import annotations

import pytest

from .manifests import COMMAND, PATH, operator_manifests

pytestmark = pytest.mark.cluster


def test_manifests_are_those_of_the_chart() -> None:
    assert PATH.read_text() == operator_manifests(), f"run `{COMMAND}`"
