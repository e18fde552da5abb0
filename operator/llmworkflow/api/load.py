"""Workflows from files, read as kubectl reads them."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmworkflow.api.notes import notes
from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.problems import InvalidWorkflow, Problem
from llmworkflow.api.spec.workflow import API_VERSION, KIND, LLMWorkflow
from llmworkflow.api.validate import validate
from llmworkflow.api.yaml_reader import Document, read_documents

STANDARD_INPUT = "-"  # in place of a file, as kubectl has it


@dataclass(frozen=True)
class WorkflowFile:
    """A workflow, and the text that it was read from."""

    workflow: LLMWorkflow
    document: Document
    source: str  # name of the file; empty for a text

    def wrong(self, local: bool) -> InvalidWorkflow | None:
        """Everything that `validate` finds, with its lines; None where it finds nothing."""
        problems = validate(self.workflow, local=local)
        return self.told(problems) if problems else None

    def told(self, problems: list[Problem]) -> InvalidWorkflow:
        """Problems of the workflow, with the lines of the file."""
        return InvalidWorkflow(_with_lines(problems, self.document), self.source)

    def notes(self) -> list[str]:
        """What it says without effect, a line each."""
        return self.told(list(notes(self.workflow))).lines()

    def check(self, local: bool) -> None:
        """Raises what is wrong."""
        if found := self.wrong(local):
            raise found


def load_workflow(source: str | Path) -> LLMWorkflow:
    """The workflow in a file (a Path) or a text.

    Raises:
        InvalidWorkflow: what is wrong with its form, with the lines.
        OSError: the file cannot be read.
    """
    return read_workflow_file(source).workflow


def load_valid_workflow(source: str | Path, local: bool) -> LLMWorkflow:
    """The workflow in a file or a text, checked as a whole. Raises what `load_workflow` raises."""
    file = read_workflow_file(source)
    file.check(local)
    return file.workflow


def read_workflow_file(source: str | Path) -> WorkflowFile:
    """The one workflow of a file or a text; other kinds in it, such as claims, are passed over."""
    name, text = (str(source), _text(source)) if isinstance(source, Path) else ("", source)
    try:
        document = _only_workflow(read_documents(text))
    except InvalidWorkflow as error:
        raise InvalidWorkflow(error.problems, name) from error
    try:
        return WorkflowFile(parse_workflow(document.value), document, name)
    except InvalidWorkflow as error:
        raise InvalidWorkflow(_with_lines(error.problems, document), name) from error


def _text(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == STANDARD_INPUT else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        told = f"byte 0x{error.object[error.start]:02x} is no UTF-8"
        raise InvalidWorkflow([Problem((), told, "save the file as UTF-8", line=line)], str(path)) from error


def _only_workflow(documents: list[Document]) -> Document:
    workflows = [document for document in documents if _field(document, "kind") == KIND]
    if not workflows:
        kinds = ", ".join(
            dict.fromkeys(str(kind) for document in documents if (kind := _field(document, "kind")))
        )
        told = f"holds no {KIND}" + (f", but {kinds}" if kinds else "")
        raise InvalidWorkflow([Problem((), told, f"set apiVersion: {API_VERSION} and kind: {KIND}")])
    if len(workflows) > 1:
        names = ", ".join(map(_name, workflows))
        raise InvalidWorkflow(
            [Problem((), f"holds several workflows ({names})", "give each a file of its own")]
        )
    if _field(workflows[0], "apiVersion") is None:
        missing = Problem(("apiVersion",), "is required", f"set it to {API_VERSION}")
        raise InvalidWorkflow(_with_lines([missing], workflows[0]))
    return workflows[0]


def _field(document: Document, name: str) -> Any:
    return document.value.get(name) if isinstance(document.value, dict) else None


def _name(document: Document) -> str:
    metadata = _field(document, "metadata")
    return str(metadata.get("name")) if isinstance(metadata, dict) else "without a name"


def _with_lines(problems: list[Problem], document: Document) -> list[Problem]:
    return [problem.at(document.line_of(problem.path)) for problem in problems]
