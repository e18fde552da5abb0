"""The command, as someone has it who has a kubeconfig."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from llmworkflow.cli.main import main

from .binaries import binary
from .conftest import Cluster
from .printed import ROOT
from .workflows import workflow

SECONDS = 100


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Person:
    """Someone at a terminal, in a namespace."""

    cluster: Cluster
    name: str
    namespace: str
    home: Path

    def run(self, *arguments: str | Path, stdin: str = "") -> Done:
        """Run a command to its end, in this process: its start is most of the time that it takes."""
        ended = CliRunner().invoke(
            main, [str(part) for part in arguments], input=stdin, env=self._variables()
        )
        if ended.exception and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Done(ended.exit_code, ended.stdout, ended.stderr)

    def starts(self, program: str | Path, *arguments: str | Path) -> Done:
        """Run a program of this environment, or another one, as a shell does."""
        scripts = Path(sys.executable).parent
        ended = subprocess.run(
            [scripts / program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            cwd=self.home,
            env={**os.environ, **self._variables(), "PATH": f"{scripts}:{os.environ['PATH']}"},
        )
        return Done(ended.returncode, ended.stdout, ended.stderr)

    def types(self, lines: str, seconds: float = SECONDS) -> str:
        """What a shell prints of lines that are typed at the root of the repository."""
        programs = [Path(sys.executable).parent, binary("kubernetes", "kubectl").parent, os.environ["PATH"]]
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=ROOT,
            env={**os.environ, **self._variables(), "PATH": os.pathsep.join(map(str, programs))},
        )
        assert ended.returncode == 0, f"{lines}: {ended.stderr}"
        return ended.stdout

    @contextmanager
    def follows(self, *arguments: str | Path) -> Iterator[Path]:
        """What `llmworkflow` prints into, which goes on until the block ends, and then ends well at Ctrl-C."""
        printed = self.home / "followed.txt"
        # Tests that run in the background have their programs ignore Ctrl-C.
        command = ["env", "--default-signal=INT", Path(sys.executable).with_name("llmworkflow"), *arguments]
        with printed.open("w") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **self._variables()}
            )
        try:
            yield printed
            process.send_signal(signal.SIGINT)
            assert process.wait(SECONDS) == 0, printed.read_text()
        finally:
            process.kill()
            process.wait()

    def does(self, *arguments: str | Path, stdin: str = "") -> str:
        """What a command prints that ends well, and has no complaint."""
        done = self.run(*arguments, stdin=stdin)
        assert (done.code, done.err) == (0, ""), f"{arguments}: {done}"
        return done.out

    def fails(self, *arguments: str | Path, code: int = 1) -> str:
        """What a command complains of."""
        done = self.run(*arguments)
        assert done.code == code, f"{arguments}: {done}"
        assert "Traceback" not in done.err
        return done.err

    def _variables(self) -> dict[str, str]:
        return {"KUBECONFIG": str(self._kubeconfig()), "LLMWORKFLOW_HOME": str(self.home)}

    def _kubeconfig(self) -> Path:
        """A kubeconfig whose context names the namespace."""
        path = self.home / f"{self.name}.kubeconfig"
        if not path.exists():
            content = yaml.safe_load(self.cluster.control_plane.kubeconfig_of(self.name).read_text())
            content["contexts"][0]["context"]["namespace"] = self.namespace
            path.touch(mode=0o600)
            path.write_text(yaml.safe_dump(content))
        return path


def with_role(cluster: Cluster, name: str, role: str, namespace: str, folder: Path) -> Person:
    """Someone who has one of the cluster's roles in a namespace, and a folder of the own."""
    cluster.api.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
        }
    )
    home = folder / name
    home.mkdir()
    return Person(cluster, name, namespace, home)


def workflow_file(person: Person, **spec: Any) -> Path:
    """A workflow file that names no namespace."""
    content = workflow(person.namespace, **spec)
    del content["metadata"]["namespace"]
    path = person.home / "workflow.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
