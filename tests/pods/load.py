"""Clients in a pod that keep an endpoint busy, and what came of their requests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from .cluster import Pods

SECONDS = 300
_SCRIPT = """
import json, openai, pathlib, threading, time
client = openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0, timeout=60)
answers, failures = [], []

def ask():
    question = [{"role": "user", "content": "Iron Harbor was released in 2009."}]
    stream = client.chat.completions.create(
        model="viggo", messages=question, max_tokens=32, temperature=0, stream=True
    )
    chunks = list(stream)
    assert [1 for chunk in chunks for choice in chunk.choices if choice.finish_reason], "it broke off"
    answers.append([time.time(), chunks[0].model])
    pathlib.Path(f"/tmp/{name}.begun").touch()

def ask_on():
    while not pathlib.Path(f"/tmp/{name}.enough").exists():
        try:
            ask()
        except (openai.OpenAIError, OSError, AssertionError) as error:
            failures.append(repr(error))
            time.sleep(0.1)

threads = [threading.Thread(target=ask_on) for _ in range(clients)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"answers": answers, "failures": failures}))
"""


@dataclass
class Load:
    """What came of it, once it is over."""

    answers: list[tuple[float, str]] = field(default_factory=list)  # when each ended, and who gave it
    failures: list[str] = field(default_factory=list)

    def first_of(self, revision: str) -> float:
        """When the first answer of an adapter came."""
        return next(when for when, name in self.answers if revision in name)


@contextmanager
def load(pods: Pods, pod: str, url: str, key: str, clients: int = 4) -> Iterator[Load]:
    """Clients that stream one answer after the other while the block runs, in a pod that is named as its namespace."""
    name, found = secrets.token_hex(4), Load()
    with ThreadPoolExecutor(1) as background:
        asked = background.submit(
            pods.python_in, pod, pod, _SCRIPT, SECONDS, url=url, key=key, name=name, clients=clients
        )
        begun = f"until [ -e /tmp/{name}.begun ]; do sleep 0.1; done"
        try:
            pods.run_in(pod, pod, "timeout", "100", "sh", "-c", begun)
            yield found
        finally:
            pods.run_in(pod, pod, "touch", f"/tmp/{name}.enough")
    result = asked.result()
    found.answers, found.failures = result["answers"], result["failures"]
    print(f"{len(found.answers)} answers, {len(found.failures)} failed: {found.failures[:3]}")
