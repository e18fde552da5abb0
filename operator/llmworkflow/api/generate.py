"""Write what is generated from the models, or check that it is up to date.

python -m llmworkflow.api.generate [--check]
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from llmworkflow.api import crd, reference, remedies

ROOT = Path(__file__).resolve().parents[3]
COMMAND = "python -m llmworkflow.api.generate"

Generated = Mapping[str, Callable[[], str]]
"""What makes a file, by its path below the root of the repository."""

GENERATED: Generated = {
    "manifests/crd.yaml": lambda: (
        f"# Generated from operator/llmworkflow/api by `{COMMAND}`.\n{crd.manifest()}"
    ),
    "docs/reference.md": lambda: (
        f"<!-- Generated from operator/llmworkflow/api by `{COMMAND}`. -->\n\n{reference.page()}"
    ),
    "docs/reasons.md": lambda: (
        f"<!-- Generated from operator/llmworkflow/api by `{COMMAND}`. -->\n\n{remedies.page()}"
    ),
}


def write(root: Path, generated: Generated = GENERATED) -> None:
    """Write every generated file below the root of the repository."""
    for name, make in generated.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make())


def stale(root: Path, generated: Generated = GENERATED) -> list[str]:
    """Names of the generated files that are not as they would be written now."""
    return [
        name
        for name, make in generated.items()
        if not (root / name).is_file() or (root / name).read_text() != make()
    ]


def main(arguments: list[str] | None = None, generated: Generated = GENERATED, command: str = COMMAND) -> int:
    """Run the command: 0, or 1 where --check finds a stale file."""
    parser = argparse.ArgumentParser(description="Write what is generated from the models.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    if not parser.parse_args(arguments).check:
        write(ROOT, generated)
        return 0
    outdated = stale(ROOT, generated)
    for name in outdated:
        sys.stderr.write(f"{name} is not what the models say: run `{command}`\n")
    return 1 if outdated else 0


if __name__ == "__main__":
    sys.exit(main())
