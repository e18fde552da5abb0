"""Statuses of operators of other versions."""

from __future__ import annotations

import pytest

from llmworkflow.client.errors import ClientError
from llmworkflow.client.reading import status_of


def test_a_status_that_nobody_wrote_is_empty() -> None:
    assert status_of({"metadata": {"name": "viggo"}}).phase == "Pending"


def test_a_status_of_another_version_is_told() -> None:
    stage = {"name": "tune", "kind": "fineTune", "state": "Dreaming"}
    with pytest.raises(ClientError, match=r"status.stages.0.state: .*install the version of the operator"):
        status_of({"metadata": {"name": "viggo"}, "status": {"stages": [stage]}})
