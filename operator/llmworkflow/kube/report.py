"""What a job reported: the ConfigMap that its stage's jobs write to, or the endpoint's word on itself."""

import json
from typing import Any

from llmworkflow.api.fields import JsonObject
from llmworkflow.core.report import JobReport, parse_report
from llmworkflow.kube.children import ChildRecord

KEY = "report.json"  # of the ConfigMap's data
ENDPOINT_PATH = "/llmworkflow/report"  # of the ingress: open to all, as it tells no more than a verdict


def of_config_map(config_map: JsonObject | None, child: ChildRecord) -> JobReport | None:
    """The report of a child, None where there is none that speaks of this child's work."""
    text = ((config_map or {}).get("data") or {}).get(KEY)
    return of_text(text, child) if text else None


def of_text(text: str | bytes, child: ChildRecord) -> JobReport | None:
    """The same, from the text of a report."""
    content = _parsed(text)
    report = parse_report(content) if isinstance(content, dict) else None
    if report is None or child.attempt is None:
        return None
    fits = report.is_of(child.owner_uid, child.stage, child.revision, child.attempt)
    return report if fits else None


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
