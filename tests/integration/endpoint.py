"""An endpoint that Ray Serve is told of as the operator tells it, and that is changed as a promotion changes it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai

from llmworkflow.local.machine import HOST, free_port

APPLICATION = "viggo-chat"
QUESTION = [{"role": "user", "content": "inform\nname of the year"}]


@dataclass
class Endpoint:
    """A deployed application, the user_config by which it is changed, and applications beside it."""

    config_path: Path
    report_path: Path
    port: int
    others: Sequence[dict[str, Any]] = ()
    revisions: list[str] = field(default_factory=list)

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://{HOST}:{self.port}/v1", api_key="none", max_retries=0)

    def change(
        self, alias: dict[str, Any] | None, verify: dict[str, Any] | None, seconds: float = 120
    ) -> dict[str, Any]:
        """Serve `alias` under the name viggo, and return the verdict."""
        from ray.serve.context import _get_global_client
        from ray.serve.schema import ServeDeploySchema

        self.revisions.append(f"{len(self.revisions):012x}")
        user_config = {
            "revision": self.revisions[-1],
            "attempt": 1,
            "aliases": {"viggo": alias},
            "verify": verify,
        }
        application = {
            "name": APPLICATION,
            "route_prefix": "/",
            "import_path": "llmworkflow_jobs.serving:build",
            "args": {"config": str(self.config_path), "report": self.report_path.as_uri()},
            "deployments": [{"name": "LLMIngress", "user_config": user_config}],
        }
        _get_global_client().deploy_apps(
            ServeDeploySchema.model_validate({"applications": [application, *self.others]})
        )
        return self._verdict(seconds)

    def ask(self, **options: Any) -> Any:
        return self.client.chat.completions.create(
            model="viggo", messages=QUESTION, temperature=0, max_tokens=12, **options
        )

    def _verdict(self, seconds: float) -> dict[str, Any]:
        from ray import serve

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            report = self._told()
            if report.get("revision") == self.revisions[-1] and report["verification"]:
                assert json.loads(self.report_path.read_text())["verification"] == report["verification"]
                return report["verification"]
            status = serve.status().applications[APPLICATION]
            assert status.status != "DEPLOY_FAILED", status.message
            # KubeRay hands clients over to what runs.
            assert status.status != "RUNNING" or self.report_path.exists(), "it runs, and was not verified"
            time.sleep(0.1)
        raise TimeoutError(f"no verdict within {seconds} s: {serve.status()}")

    def _told(self) -> dict[str, Any]:
        """What the endpoint says of itself to whoever asks."""
        try:
            answer = httpx.get(f"http://{HOST}:{self.port}/llmworkflow/report")
        except httpx.TransportError:
            return {}
        return answer.json() if answer.is_success else {}


@contextmanager
def serving(
    folder: Path, document: dict[str, Any], others: Sequence[dict[str, Any]] = ()
) -> Iterator[Endpoint]:
    """An endpoint of a stage's configuration that is told to serve nothing yet; the folder has its files."""
    from ray import serve

    (folder / "config.json").write_text(json.dumps(document))
    port = free_port()
    serve.start(http_options={"host": HOST, "port": port})
    yield Endpoint(folder / "config.json", folder / "report.json", port, others)
    serve.shutdown()
