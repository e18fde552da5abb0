"""The endpoint of a serving stage, which only pretends: it gives a verdict on itself, and one answer to all."""

from __future__ import annotations

import dataclasses
import json
from base64 import b64decode
from typing import Any

from llmworkflow_jobs.api_keys import KEYS_ENV
from llmworkflow_jobs.report import Report

from .api import Api
from .pod_files import PodFiles
from .scripts import ServeScript

REPORT_PATH = "/llmworkflow/report"
CHAT = "/v1/chat/completions"
# What it answers to who asks for pieces.
STREAM = "".join(
    f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': piece}}]})}\n\n"
    for piece in ("name", "(Fake)")
)
STREAM += "data: [DONE]\n\n"

Content = dict[str, Any]
Pod = dict[str, Any]


class _Memory:
    text = ""

    def write(self, text: str) -> None:
        self.text = text


def respond(files: PodFiles, serve_config: Content, script: ServeScript, path: str) -> tuple[int, Content]:
    """Status and content of the answer to a request."""
    wanted = _user_config(serve_config)
    match path:
        case _ if path == REPORT_PATH and wanted and script.verdict:
            return 200, _report(files, wanted, script)
        case "/v1/models":
            return 200, {
                "object": "list",
                "data": [{"id": name, "object": "model"} for name in wanted["aliases"]],
            }
        case _ if path == CHAT:
            message = {"role": "assistant", "content": "name(Fake)"}
            return 200, {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
    return 404, {"detail": "Not Found"}


def is_admitted(api: Api, pod: Pod, headers: Any) -> bool:
    """Whether a request has a key of the endpoint, where it asks for one."""
    for entry in pod["spec"]["containers"][0].get("env", []):
        if entry["name"] == KEYS_ENV:
            source = entry["valueFrom"]["secretKeyRef"]
            secret = api.get("Secret", source["name"], pod["metadata"]["namespace"]) or {}
            keys = b64decode(secret.get("data", {}).get(source["key"], "")).decode().replace(",", " ").split()
            return headers.get("authorization", "").removeprefix("Bearer ") in keys
    return True


def _report(files: PodFiles, wanted: Content, script: ServeScript) -> Content:
    """What the ingress reports of itself after it replayed the rows of the scored batch."""
    config, sink = files.configuration(), _Memory()
    stage = {**config.stage, "revision": wanted["revision"], "attempt": wanted["attempt"]}
    verify = wanted["verify"] or {"rows": 0, "agreement": 0.0}
    verdict = {
        "modelId": next(iter(wanted["aliases"])),
        "rows": verify["rows"],
        "agreement": script.agreement,
        "required": verify["agreement"],
        "passed": script.agreement >= verify["agreement"],
        "message": "the fake endpoint was told so",
    }
    Report(dataclasses.replace(config, stage=stage), sink).verification(verdict)
    content: Content = json.loads(sink.text)
    return content


def _user_config(serve_config: Content) -> Content:
    """What the ingress of the endpoint is told, empty where it is none of the project's."""
    for application in serve_config.get("applications", []):
        for deployment in application.get("deployments", []):
            if "user_config" in deployment:
                found: Content = deployment["user_config"]
                return found
    return {}
