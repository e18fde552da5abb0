"""Secrets on one machine: files that only the user can read, `<root>/secrets/<namespace>/<name>/<key>`.

On a cluster the pods get them as environment variables; here Ray does, and with it every job and replica. They are
never in a runtime environment or on a command line, which other users and Ray's own logs show.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from llmworkflow.api.spec.common import SecretKeySource, SecretSource
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.local.environment import key_variables, whole_secrets
from llmworkflow.local.errors import LocalError
from llmworkflow.render.environment import secret_sources, secret_variables

_NAME = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]*")  # of Secrets and their keys; none leads out of the folder
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHERS = 0o077  # permissions of anyone but the owner


class Secrets:
    """The Secrets of one namespace."""

    def __init__(self, root: Path, namespace: str) -> None:
        self._namespace = namespace
        self._folder = root / "secrets" / namespace

    def value(self, source: SecretKeySource) -> str:
        """The value of one key, less the line end that editors add.

        Raises:
            LocalError: it is not there, or others can read it.
        """
        reference = source.secret_key_ref
        return self._read(reference.name, reference.key)

    def values(self, source: SecretSource) -> dict[str, str]:
        """The values of all keys of a Secret that can be names of variables.

        Raises:
            LocalError: there are none, or others can read one.
        """
        name = source.secret_ref.name
        folder = self._path(name)
        keys = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        found = {key: self._read(name, key) for key in sorted(keys) if _VARIABLE.fullmatch(key)}
        if not found:
            raise LocalError(
                f"secret {self._namespace}/{name} is not on this machine: write each of its values into a file "
                f"named as the variable, such as {folder}/AWS_ACCESS_KEY_ID, and `chmod -R go= {folder}`"
            )
        return found

    def environment(self, workflow: LLMWorkflow) -> dict[str, str]:
        """All variables that the pods of a workflow would get from Secrets.

        Raises:
            LocalError: a Secret is not there, two stages want different values in one variable, or a variable comes
                from what only a cluster has.
        """
        found: dict[str, tuple[str, str]] = {}
        for stage in workflow.spec.stages:
            for name, value in self._of_stage(workflow, stage):
                owner, known = found.setdefault(name, (stage.name, value))
                if known != value:
                    raise LocalError(
                        f"stages {owner} and {stage.name} take {name} from different Secrets: one machine gives "
                        "all stages the same variables, so name one Secret in both"
                    )
        return {name: value for name, (_, value) in found.items()}

    def _of_stage(self, workflow: LLMWorkflow, stage: Stage) -> Iterator[tuple[str, str]]:
        keys = _keys(workflow, stage)
        for variable, key in keys.items():
            yield variable, self.value(key)
        for source in secret_sources(workflow, stage):
            yield from self.values(source).items()
        for prefix, source in whole_secrets(workflow, stage):
            values = {f"{prefix}{name}": value for name, value in self.values(source).items()}
            yield from ((name, value) for name, value in values.items() if name not in keys)

    def _read(self, name: str, key: str) -> str:
        path = self._path(name, key)
        try:
            mode = path.stat()
            if mode.st_mode & _OTHERS or mode.st_uid != os.geteuid():
                raise LocalError(
                    f"{path} is a secret that others can read: `chown $USER {path}` and `chmod 600 {path}`"
                )
            return path.read_text(encoding="utf-8").removesuffix("\n")
        except UnicodeDecodeError:
            raise LocalError(f"{path} is no text in UTF-8: save it as such") from None
        except FileNotFoundError:
            raise LocalError(
                f"secret {self._namespace}/{name} has no key {key} on this machine: write the value into {path} "
                f"and `chmod 600 {path}`"
            ) from None

    def _path(self, *names: str) -> Path:
        for name in names:
            if not _NAME.fullmatch(name):
                raise LocalError(
                    f"{name!r} is no name of a Secret or of a key: use letters, digits, - _ and ."
                )
        return self._folder.joinpath(*names)


def secret_names(workflow: LLMWorkflow) -> set[tuple[str, ...]]:
    """Which Secrets, and which of their keys, a workflow names."""
    found: set[tuple[str, ...]] = set()
    for stage in workflow.spec.stages:
        for variable, key in _keys(workflow, stage).items():
            found.add((variable, key.secret_key_ref.name, key.secret_key_ref.key))
        found |= {(source.secret_ref.name,) for source in secret_sources(workflow, stage)}
        found |= {(prefix, source.secret_ref.name) for prefix, source in whole_secrets(workflow, stage)}
    return found


def _keys(workflow: LLMWorkflow, stage: Stage) -> dict[str, SecretKeySource]:
    """Variables that are keys of Secrets; as on a cluster, those of `ray.env` win."""
    return secret_variables(workflow, stage) | key_variables(workflow, stage)
