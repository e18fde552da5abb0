"""A real Prometheus, with the chart's rules, that scrapes a running operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import yaml

from llmworkflow.local.machine import HOST, free_port

from .debian import program
from .programs import Program

START_SECONDS = 60
INTERVAL = "1s"


class Prometheus(Program):
    """Prometheus of Debian."""

    def __init__(self, folder: Path, job: str, target: str, rules: dict[str, Any]) -> None:
        address = f"{HOST}:{free_port()}"
        self.url = f"http://{address}"
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        config = {
            "global": {
                "scrape_interval": INTERVAL,
                "scrape_timeout": INTERVAL,
                "evaluation_interval": INTERVAL,
            },
            "rule_files": [str(folder / "rules.yaml")],
            "scrape_configs": [
                {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [target]}]}
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        flags = {
            "config.file": folder / "prometheus.yaml",
            "storage.tsdb.path": folder / "prometheus",
            "web.listen-address": address,
        }
        command = [
            program("prometheus", "prometheus"),
            *(f"--{flag}={value}" for flag, value in flags.items()),
        ]
        super().__init__("prometheus", command, folder)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        super().start()
        self.wait_until(self._ready, START_SECONDS, "Prometheus is ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        found: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return found

    def firing(self) -> list[dict[str, Any]]:
        """The alerts that fire."""
        return [alert for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"]

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=query, trust_env=False, timeout=30)
        content: dict[str, Any] = answer.json()
        assert answer.is_success, content
        return content["data"]  # type: ignore[no-any-return]

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False
