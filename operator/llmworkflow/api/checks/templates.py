"""Templates over rows are templates, and use what there is.

They come from anyone, so they are parsed and no more: already Jinja2's compiler computes what is constant in them.
"""

from collections.abc import Iterator

import jinja2
from jinja2 import nodes

from llmworkflow.api.problems import Path, Problem, did_you_mean
from llmworkflow.api.spec.model import CustomPrompt
from llmworkflow.api.spec.workflow import LLMWorkflow

_ENVIRONMENT = jinja2.Environment(autoescape=True)  # nothing is ever rendered with it
_FILTERS = {*_ENVIRONMENT.filters, "from_json"}  # the one that jobs add
_CALLED = frozenset({"varargs", "kwargs", "caller"})
# Names that Jinja2 itself sets within a statement.
_BROUGHT: dict[type[nodes.Node], frozenset[str]] = {
    nodes.For: frozenset({"loop"}),
    nodes.Macro: _CALLED,
    nodes.CallBlock: _CALLED,
    nodes.Block: frozenset({"self", "super"}),
}

Template = tuple[Path, str | None, tuple[str, ...]]
"""Where a template is written, the template, and the names that it may use."""


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every template of prompts and answers."""
    for path, template, names in _templates(workflow):
        if template is not None:
            yield from _wrong(path, template, names)


def _templates(workflow: LLMWorkflow) -> Iterator[Template]:
    yield from _of_prompt(("spec", "prompt", "custom"), workflow.spec.prompt.custom)
    for position, stage in enumerate(workflow.spec.stages):
        if stage.batch:
            path: Path = ("spec", "stages", position, "batch")
            own = stage.batch.prompt
            yield from _of_prompt((*path, "prompt", "custom"), own.custom if own else None)
            yield (*path, "postprocess"), stage.batch.postprocess, ("row", "text")
            for turn, template in enumerate(stage.batch.turns):
                yield (*path, "turns", turn), template, ("row",)


def _of_prompt(path: Path, custom: CustomPrompt | None) -> Iterator[Template]:
    if custom:
        yield (*path, "system"), custom.system, ("row",)
        yield (*path, "user"), custom.user, ("row",)
        yield (*path, "response"), custom.response, ("row",)


def _wrong(path: Path, template: str, names: tuple[str, ...]) -> Iterator[Problem]:
    try:
        tree = _ENVIRONMENT.parse(template)
    except jinja2.TemplateSyntaxError as error:
        told = f"is no template of Jinja2: line {error.lineno}: {error.message}"
        yield Problem(path, told, "correct it", value=template)
        return
    for name in sorted(_used(tree) - {*names, *_ENVIRONMENT.globals}):
        yield Problem(path, f"there is no {name} in it", did_you_mean(name, names), value=template)
    for name in sorted({found.name for found in tree.find_all(nodes.Filter)} - _FILTERS):
        yield Problem(path, f"there is no filter {name}", did_you_mean(name, _FILTERS), value=template)


def _used(tree: nodes.Template) -> set[str]:
    """The names that a template reads, and that neither it nor its statements set."""
    found = list(tree.find_all(nodes.Name))
    read = {name.name for name in found if name.ctx == "load"}
    own = {name.name for name in found if name.ctx != "load"}
    own |= {macro.name for macro in tree.find_all(nodes.Macro)}
    brought = (names for statement, names in _BROUGHT.items() if tree.find(statement))
    return read.difference(own, *brought)
