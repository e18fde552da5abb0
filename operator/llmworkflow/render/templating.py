"""Templates of manifests, and YAML that every reader takes for the same values.

What a template prints never becomes YAML: the environment itself leaves a mark in its place, so that no template can
forget it, and the value is put there after the YAML was read. So no text of a user, be it quotes, newlines or `{{ }}`,
ends up as anything but that text; and as all else in a template is constant, its YAML is read once.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, Undefined, pass_context
from jinja2.runtime import Context

from llmworkflow.api.fields import JsonObject

_ODD_CHARACTER = re.compile(r"[^\n\x20-\x7e]")  # line ends in texts are escaped by then
# Plain words that some YAML reader takes for something else: numbers with an exponent, octals, times, yes and no.
_PLAIN_WORD = re.compile(r"[A-Za-z/][A-Za-z0-9_./:-]*")
_NOT_TEXT = frozenset("y n yes no on off true false null".split())
_MARK = "value:"  # which no template has text that begins with
_SET_ASIDE = "values set aside"  # by that name in the context of a template


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON that YAML readers take as well: they know no surrogate pairs, and break lines at more characters."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return _ODD_CHARACTER.sub(lambda found: f"\\U{ord(found[0]):08x}", text)


@pass_context
def _set_aside(context: Context, value: Any) -> str:
    """Leave a mark in the place of a value."""
    if isinstance(value, Undefined):
        return str(value)  # raises: the template and its values do not fit together
    values = context[_SET_ASIDE]
    values.append(_plain(value))
    return f'"{_MARK}{len(values) - 1}"'


_environment = Environment(
    loader=PackageLoader("llmworkflow.render"),
    undefined=StrictUndefined,
    finalize=_set_aside,
    autoescape=False,  # noqa: S701  this is YAML, which has none of the values
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_template(name: str, **values: Any) -> JsonObject:
    """The object that a template describes."""
    rendered: JsonObject = _render(_environment.get_template(f"{name}.yaml.j2"), values)
    return rendered


def _render(template: Template, values: JsonObject) -> Any:
    set_aside: list[Any] = []
    text = template.render(values | {_SET_ASIDE: set_aside})
    return _filled(_read(text), set_aside)


@lru_cache(maxsize=256)
def _read(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  either is safe


def _filled(part: Any, values: Sequence[Any]) -> Any:
    """A copy with the values in place of their marks."""
    if isinstance(part, dict):
        return {_filled(key, values): _filled(item, values) for key, item in part.items()}
    if isinstance(part, list):
        return [_filled(item, values) for item in part]
    if isinstance(part, str) and part.startswith(_MARK):
        return values[int(part.removeprefix(_MARK))]
    return part


def _plain(value: Any) -> Any:
    """A copy of a value as JSON has it, which shares nothing with anybody."""
    match value:
        case str():
            return str(value)
        case None | int():
            return value
        case float() if math.isfinite(value):
            return value
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    raise ValueError(f"{value!r} is not a value of JSON")


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
