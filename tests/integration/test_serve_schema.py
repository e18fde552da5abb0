"""Every sample's Serve configuration is one that this version of Ray takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[1] / "golden" / "samples"


def serve_configs() -> dict[str, Any]:
    """The Serve configurations of all golden files, by sample."""
    return {
        path.stem: yaml.safe_load(manifest["spec"]["serveConfigV2"])
        for path in sorted(SAMPLES.glob("*.yaml"))
        for manifest in yaml.load_all(path.read_text(), yaml.CSafeLoader)
        if manifest["kind"] == "RayService"
    }


@pytest.mark.capability("applications")
@pytest.mark.parametrize("config", serve_configs().values(), ids=serve_configs())
def test_ray_takes_the_configuration(config: dict[str, Any]) -> None:
    from ray.serve.schema import ServeDeploySchema

    parsed = ServeDeploySchema.model_validate(config)
    endpoint = parsed.applications[0]
    assert (parsed.http_options.host, parsed.http_options.port) == ("0.0.0.0", 8000)
    assert endpoint.args == config["applications"][0]["args"]
    assert endpoint.deployments[0].user_config == config["applications"][0]["deployments"][0]["user_config"]
