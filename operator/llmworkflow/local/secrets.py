"""Secrets on one machine: a file for each key, as a cluster mounts them, that nobody but its owner can read.

Only the path is ever handed on, so that no value reaches a configuration, a log or a list of processes.
"""

from pathlib import Path

from llmworkflow.api.spec.common import SecretKeySource

_OTHERS = 0o077  # permission bits of the group and of everybody else


def secret_file(root: Path, source: SecretKeySource) -> Path:
    """The file that holds the value: <root>/secrets/<name of the Secret>/<key>."""
    return root / "secrets" / source.secret_key_ref.name / source.secret_key_ref.key


def problem_of(file: Path) -> str:
    """Why the value cannot be used, and what to do; empty where it can."""
    secret, key = file.parent.name, file.name
    if not file.is_file():
        return f"Secret {secret} has no key {key} on this machine: write its value to {file}, with mode 0600"
    if file.stat().st_mode & _OTHERS:
        return f"key {key} of Secret {secret} can be read by others: run `chmod 600 {file}`"
    return ""


def read_secret(file: Path) -> list[str]:
    """The values in a file, one a line or separated by commas; none where there is no file."""
    text = file.read_text() if file.is_file() else ""
    return [value.strip() for value in text.replace(",", "\n").splitlines() if value.strip()]
