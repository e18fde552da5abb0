"""YAML that kubectl reads as it was: text that kubectl would take for something else, such as n or 1e3, is quoted."""

from typing import Any

import yaml

from llmworkflow.api.yaml_reader import KubectlLoader


class _Dumper(yaml.SafeDumper):
    """Quotes what either YAML 1.1 or kubectl would not read as text, and writes shared parts out each time."""

    yaml_implicit_resolvers = {
        first: [
            *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
            *KubectlLoader.yaml_implicit_resolvers.get(first, []),
        ]
        for first in {**yaml.SafeDumper.yaml_implicit_resolvers, **KubectlLoader.yaml_implicit_resolvers}
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Several lines as a block that a person can read."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def to_yaml(*documents: Any) -> str:
    """The documents as YAML, their keys in order."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, width=110, explicit_start=len(documents) > 1
    )
