"""Whoever only looks at clusters needs no Ray, no torch, no pyarrow; and waits for no import that is not needed."""

from __future__ import annotations

import subprocess
import sys

ABSENT = (
    "ray",
    "torch",
    "vllm",
    "pyarrow",
    "psutil",
    "httpx",
    "openai",
    "kopf",
    "prometheus_client",
)
CODE = f"""
import sys
for name in {ABSENT!r}:
    sys.modules[name] = None
from llmworkflow.cli.main import main, COMMANDS
for name in COMMANDS:
    main.get_command(None, name)
assert "kubernetes" not in sys.modules, "it takes half a second to import"
from datetime import UTC, datetime
from llmworkflow.api.load import load_workflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.client.cluster_page import page_html
import llmworkflow.client.connect
workflow = load_workflow('''
apiVersion: llmworkflow.io/v1alpha1
kind: LLMWorkflow
metadata: {{name: viggo}}
spec:
  model: {{source: "volume:tiny"}}
  storage: {{volume: {{claimName: data}}}}
  stages: [{{name: score, batch: {{input: {{uri: "volume:test.jsonl"}}}}}}]
''')
assert "volume claim default/data" in page_html(workflow, LLMWorkflowStatus(), datetime.now(UTC))
"""


def test_commands_come_up_without_what_local_runs_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], check=False, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
