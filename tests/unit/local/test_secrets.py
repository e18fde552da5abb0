"""Secrets on one machine: files of the user alone, named by the workflow as on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmworkflow.api.load import load_workflow
from llmworkflow.api.spec.common import SecretKeySource, SecretSource
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.yaml_writer import to_yaml
from llmworkflow.local.errors import LocalError
from llmworkflow.local.secrets import Secrets, secret_names

STORAGE = {"uri": "s3://bucket/team", "credentialsFrom": {"secretRef": {"name": "s3"}}}


def workflow(**stage: Any) -> LLMWorkflow:
    stages = [
        {"name": "score", "batch": {"input": {"uri": "s3://bucket/test.jsonl"}}},
        {"name": "chat", "serve": {"models": [{"modelId": "viggo"}], **stage}},
    ]
    spec = {"model": {"source": "s3://bucket/model"}, "storage": STORAGE, "stages": stages}
    document = {"apiVersion": "llmworkflow.io/v1alpha1", "kind": "LLMWorkflow", "metadata": {"name": "viggo"}}
    return load_workflow(to_yaml(document | {"spec": spec}))


def key(name: str, key: str) -> SecretKeySource:
    return SecretKeySource.model_validate({"secretKeyRef": {"name": name, "key": key}})


def whole(name: str) -> SecretSource:
    return SecretSource.model_validate({"secretRef": {"name": name}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "default"


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path, "default")


def keep(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_a_key_is_a_file(folder: Path, secrets: Secrets) -> None:
    keep(folder / "viggo-keys" / "keys", "first\nsecond\n")
    assert secrets.value(key("viggo-keys", "keys")) == "first\nsecond"


def test_a_missing_key_says_where_to_put_it(folder: Path, secrets: Secrets) -> None:
    with pytest.raises(
        LocalError, match=r"default/hub has no key token .*secrets/default/hub/token.*chmod 600"
    ):
        secrets.value(key("hub", "token"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_that_others_read_is_refused(folder: Path, secrets: Secrets, mode: int) -> None:
    keep(folder / "hub" / "token", "hf_secret", mode)
    with pytest.raises(LocalError, match=r"others can read: .*chmod 600") as caught:
        secrets.value(key("hub", "token"))
    assert "hf_secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "of"), [("../other/hub", "token"), ("hub", "../../x"), ("..", "token"), ("", "a")]
)
def test_no_name_leads_out_of_the_folder(secrets: Secrets, name: str, of: str) -> None:
    with pytest.raises(LocalError, match="is no name of a Secret"):
        secrets.value(key(name or ".", of))


def test_all_keys_that_can_be_variables(folder: Path, secrets: Secrets) -> None:
    keep(folder / "s3" / "AWS_ACCESS_KEY_ID", "id\n")
    keep(folder / "s3" / "AWS_SECRET_ACCESS_KEY", "secret")
    keep(folder / "s3" / "read-me.txt", "no variable", 0o644)
    assert secrets.values(whole("s3")) == {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_a_secret_without_keys_says_what_to_do(folder: Path, secrets: Secrets) -> None:
    with pytest.raises(
        LocalError, match=r"default/s3 is not on this machine: .*default/s3/AWS_ACCESS_KEY_ID"
    ):
        secrets.values(whole("s3"))


def test_a_workflow_gets_the_variables_of_its_pods(folder: Path, secrets: Secrets) -> None:
    keep(folder / "s3" / "AWS_ACCESS_KEY_ID", "id")
    keep(folder / "keys" / "all", "sk-1")
    served = workflow(apiKeysFrom={"secretKeyRef": {"name": "keys", "key": "all"}})
    assert secrets.environment(served) == {"AWS_ACCESS_KEY_ID": "id", "LLMWORKFLOW_API_KEYS": "sk-1"}
    assert secret_names(served) == {("s3",), ("LLMWORKFLOW_API_KEYS", "keys", "all")}


def test_two_values_of_one_variable_are_refused(folder: Path, secrets: Secrets) -> None:
    for name in ("s3", "other"):
        keep(folder / name / "AWS_ACCESS_KEY_ID", name)
    mixed = workflow().model_dump(by_alias=True, exclude_unset=True)
    mixed["spec"]["stages"][0]["batch"]["input"]["credentialsFrom"] = {"secretRef": {"name": "other"}}
    with pytest.raises(
        LocalError, match="stages score and score take AWS_ACCESS_KEY_ID from different Secrets"
    ):
        secrets.environment(LLMWorkflow.model_validate(mixed))
