"""Text of a user, whatever it is, stays a value: it never becomes structure, and never part of a command."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmworkflow.api.yaml_reader import read_documents
from llmworkflow.render.templating import to_yaml

from .builders import cluster_of, config_of, env_of, make_workflow, pod_of, rendered

TEXT = st.text(min_size=1, max_size=40)


def shape(value: Any) -> Any:
    """A value with every text taken out: what is left is structure."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "text" if isinstance(value, str) else value


def workflow_of(text: str) -> Any:
    """A workflow with the text wherever a user may write one."""
    variables = [{"name": "VARIABLE", "value": text}]
    ray = {
        "image": text, "env": variables, "pip": [text], "serviceAccountName": text, "queue": text,
        "priorityClassName": text, "imagePullSecrets": [{"name": text}], "envFrom": [{"secretRef": {"name": text}}],
        "accelerator": {"type": "L4", "nodeSelector": {"node": text}, "tolerations": [{"key": text}]},
    }  # fmt: skip
    return make_workflow(
        model={"source": f"hf://{text}", "revision": text, "tokenFrom": {"secretKeyRef": {"name": text, "key": text}}},
        prompt={"format": "custom", "custom": {"user": text, "system": text}},
        storage={"volume": {"claimName": text}, "path": text},
        ray=ray,
        stages={
            "tune": {"fineTune": {"data": {"train": [{"uri": text}]}}},
            "score": {"batch": {"input": {"uri": text}, "sampling": {"stop": [text]}}},
            "chat": {"serve": {"applications": [
                {"name": "own", "importPath": text, "routePrefix": "/own", "args": {"a": text}, "env": variables}
            ]}},
        },
    )  # fmt: skip


@settings(deadline=None, max_examples=15)
@given(TEXT)
@example('"}, "entrypoint": "reboot", {"')
@example("'\n  entrypoint: reboot\n")
@example("{{ ''.__class__ }}{% raw %}")
@example("$(HOSTNAME) `reboot` ${PATH}; reboot #")
@example("- a: b # c\n--- \n...\n&x *x !!python/name:os.system")
@example("\u2028\x85\ufeff\x7f\U0001f600")
def test_text_is_a_value_and_nothing_else(text: str) -> None:
    for stage in ("tune", "score", "chat"):
        found, plain = (rendered(workflow_of(words), stage) for words in (text, "plain"))
        assert shape(found) == shape(plain)
        child = found[-1]
        assert child["spec"].get("entrypoint") == plain[-1]["spec"].get("entrypoint")
        assert cluster_of(child)["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0", "num-gpus": "0"}
        for group in ("head", "workers"):
            container = pod_of(child, group)["containers"][0]
            assert container["image"] == env_of(pod_of(child, group))["VARIABLE"] == text
            assert not {"command", "args"} & set(container)


@settings(deadline=None, max_examples=15)
@given(TEXT)
@example("\u2028\x85\ufeff\x7f\U0001f600\\ud83d")
def test_text_inside_of_text_arrives(text: str) -> None:
    """Configurations are JSON and YAML within YAML: the job, KubeRay and Ray read the very text."""
    job = rendered(workflow_of(text), "tune")[-1]
    assert json.loads(config_of(job))["fineTune"]["data"]["train"][0]["uri"] == text
    assert yaml.safe_load(job["spec"]["runtimeEnvYAML"]) == {"pip": [text]}
    (served,) = read_documents(rendered(workflow_of(text), "chat")[-1]["spec"]["serveConfigV2"])
    assert served.value["applications"][1]["args"] == {"a": text}


@settings(deadline=None, max_examples=10)
@given(TEXT)
def test_printed_manifests_are_the_manifests(text: str) -> None:
    manifests = rendered(workflow_of(text), "chat")
    assert [document.value for document in read_documents(to_yaml(manifests))] == manifests
