"""Templates of manifests, and YAML that every reader takes for the same values.

Whatever a template prints is written as JSON by the environment itself, so that no template can forget it and
no text of a user, be it quotes, newlines or `{{ }}`, ends up as anything but that text.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Undefined

from llmworkflow.api.fields import JsonObject

_ODD_CHARACTER = re.compile(r"[^\n\x20-\x7e]")  # line ends in texts are escaped by then
# Plain words that some YAML reader takes for something else: numbers with an exponent, octals, times, yes and no.
_PLAIN_WORD = re.compile(r"[A-Za-z/][A-Za-z0-9_./:-]*")
_NOT_TEXT = frozenset("y n yes no on off true false null".split())


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # whichever there is
    """PyYAML's fast loader, with JSON's idea of a number: its own takes 1e-05 for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+(\.[0-9]+)?[eE][-+]?[0-9]+$"), list("-0123456789")
)


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON that YAML readers take as well: they know no surrogate pairs, and break lines at more characters."""
    if isinstance(value, Undefined):
        return str(value)  # raises: the template and its values do not fit together
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _ODD_CHARACTER.sub(lambda found: f"\\U{ord(found[0]):08x}", text)


_environment = Environment(
    loader=PackageLoader("llmworkflow.render"),
    undefined=StrictUndefined,
    finalize=as_json,
    autoescape=False,  # noqa: S701  this is YAML, escaped by finalize
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_template(name: str, **values: Any) -> JsonObject:
    """The object that a template describes."""
    text = _environment.get_template(f"{name}.yaml.j2").render(values)
    rendered: JsonObject = yaml.load(text, Loader=_Loader)  # noqa: S506  a safe one
    return rendered


def to_yaml(documents: Iterable[JsonObject]) -> str:
    """Documents for people and for kubectl: texts of several lines as blocks, doubtful words in quotes."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, explicit_start=True
    )


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper with lists under their key, no aliases, and no doubtful plain words."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if "\n" in text.strip("\n"):
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    is_plain = _PLAIN_WORD.fullmatch(text) and text.lower() not in _NOT_TEXT
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else '"')


_Dumper.add_representer(str, _represent_text)
