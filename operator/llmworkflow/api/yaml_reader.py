"""YAML as kubectl reads it, with the line of every value.

kubectl goes through sigs.k8s.io/yaml, which keeps YAML 1.1's booleans (yes, no, on, off) and octal numbers,
takes 1e-4 for a number, and leaves dates and times as text. A repeated key, of which kubectl silently takes the
last one, is an error here.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from llmworkflow.api.problems import InvalidWorkflow, Path, Problem

_TAG = "tag:yaml.org,2002:"
_TRUE = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_FALSE = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_NULL = ("", "~", "null", "Null", "NULL")
_INTEGER = re.compile(r"[-+]?(0x[0-9a-fA-F_]+|0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_INFINITY_OR_NAN = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NUMBER_STARTS = list("-+.0123456789")
_EXACT_INTEGERS = 2**53  # floats up to here that have no fraction are written as integers in JSON


@dataclass(frozen=True)
class Document:
    """One document of a file: its value, and where each part of it stands."""

    value: Any
    node: yaml.Node

    def line_of(self, path: Path) -> int:
        """The line, from 1, of the value at the path, or of the nearest part around it that is there."""
        node, line = self.node, self.node.start_mark.line
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line + 1


def read_documents(text: str) -> list[Document]:
    """The documents of a text that hold anything.

    Raises:
        InvalidWorkflow: the line and column of a syntax error.
    """
    try:
        return [document for document in _documents(text) if document.value is not None]
    except yaml.MarkedYAMLError as error:
        raise InvalidWorkflow([_syntax_problem(error)]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidWorkflow([Problem((), f"not readable as YAML: {error.reason}", line=line)]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidWorkflow([Problem((), f"not readable as YAML: {error}")]) from error


def _documents(text: str) -> Iterator[Document]:
    loader = KubectlLoader(text)
    try:
        while (node := loader.get_node() if loader.check_node() else None) is not None:
            value = loader.construct_document(node)
            json.dumps(value)  # raises ValueError where an alias contains itself
            yield Document(value, node)
    finally:
        loader.dispose()


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    told = ", ".join(part for part in (error.problem, error.note) if part)
    if mark is None:
        return Problem((), f"not readable as YAML: {told}")
    return Problem((), f"not readable as YAML: {told} (column {mark.column + 1})", line=mark.line + 1)


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line, item
    if isinstance(node, yaml.MappingNode):
        # merged keys come first, so the last one of a name is the one that counts
        for key, value in reversed(node.value):
            if key.value == part:
                return key.start_mark.line, value
    return None


class KubectlLoader(yaml.SafeLoader):
    """The safe loader with kubectl's idea of plain scalars, text keys, and no repeated keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first_lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            name = self._key(key)
            if name in first_lines:
                raise _error(f"the key {name} was given on line {first_lines[name]} already", key)
            first_lines[name] = key.start_mark.line + 1
        self.flatten_mapping(node)
        return {self._key(key): self.construct_object(value, deep=deep) for key, value in node.value}

    def _key(self, node: yaml.Node) -> str:
        key = self.construct_object(node, deep=True)
        if not isinstance(key, str | int | float):
            raise _error("a key must be text", node)
        return key if isinstance(key, str) else json.dumps(key)


def _error(problem: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


def _boolean(loader: KubectlLoader, node: yaml.ScalarNode) -> bool:
    return loader.construct_scalar(node) in _TRUE


def _integer(loader: KubectlLoader, node: yaml.ScalarNode) -> int:
    plain = str(loader.construct_scalar(node)).replace("_", "")
    is_octal = re.fullmatch(r"[-+]?0[0-7]+", plain)
    return int(plain, 8 if is_octal else 0)


def _float(loader: KubectlLoader, node: yaml.ScalarNode) -> float | int | str:
    text = str(loader.construct_scalar(node))
    if _INFINITY_OR_NAN.fullmatch(text):
        raise _error(f"{text} is no number that Kubernetes can hold", node)
    number = float(text.replace("_", ""))
    if abs(number) == float("inf"):
        return text
    return int(number) if number.is_integer() and abs(number) <= _EXACT_INTEGERS else number


def _words(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"^(?:{'|'.join(map(re.escape, words))})$")


def _whole(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(f"^(?:{pattern.pattern})$")


KubectlLoader.add_implicit_resolver(f"{_TAG}bool", _words(_TRUE + _FALSE), list("yYnNtTfFoO"))
KubectlLoader.add_implicit_resolver(f"{_TAG}null", _words(_NULL), ["~", "n", "N", ""])
KubectlLoader.add_implicit_resolver(f"{_TAG}int", _whole(_INTEGER), _NUMBER_STARTS)
KubectlLoader.add_implicit_resolver(f"{_TAG}float", _whole(_FLOAT), _NUMBER_STARTS)
KubectlLoader.add_implicit_resolver(f"{_TAG}float", _whole(_INFINITY_OR_NAN), _NUMBER_STARTS)
KubectlLoader.add_implicit_resolver(f"{_TAG}merge", re.compile("^<<$"), ["<"])
KubectlLoader.add_constructor(f"{_TAG}bool", _boolean)
KubectlLoader.add_constructor(f"{_TAG}int", _integer)
KubectlLoader.add_constructor(f"{_TAG}float", _float)
