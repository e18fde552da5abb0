"""Secrets of one machine: where they lie, and what is wrong with them."""

from pathlib import Path

from llmworkflow.api.spec.common import SecretKeySource
from llmworkflow.local.secrets import problem_of, read_secret, secret_file


def file_of(root: Path) -> Path:
    source = SecretKeySource.model_validate({"secretKeyRef": {"name": "viggo-keys", "key": "keys"}})
    return secret_file(root, source)


def test_a_missing_secret_says_where_it_is_looked_for(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    assert file == tmp_path / "secrets" / "viggo-keys" / "keys"
    assert problem_of(file) == (
        f"Secret viggo-keys has no key keys on this machine: write its value to {file}, with mode 0600"
    )
    assert read_secret(file) == []


def test_others_may_not_read_it(tmp_path: Path) -> None:
    file = file_of(tmp_path)
    file.parent.mkdir(parents=True)
    file.write_text("one, two\nthree\n")
    file.chmod(0o640)
    assert f"chmod 600 {file}" in problem_of(file)
    file.chmod(0o600)
    assert problem_of(file) == ""
    assert read_secret(file) == ["one", "two", "three"]
