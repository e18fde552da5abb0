"""A metric of the user's own: `module:function`, importable in the job's image or brought by ray.pip.

On one machine also a module beside the workflow's file, after all that is installed: it takes no module's place.

    def brevity(generated: str, reference: str | None, row: dict[str, Any]) -> float:
        return 1.0 if len(generated) <= len(reference or "") else 0.0

It is called once for each row that was answered, with the answer, the row's reference (None where it has none) and all
columns of the row, and returns a finite number or a bool; a larger one is better to a gate's betterThan. It runs in the
job's driver, one row after the other.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable
from typing import Any

from llmworkflow_jobs.errors import JobError

MODULES_ENV = "LLMWORKFLOW_MODULES"  # on one machine, the folder of the workflow's file

Function = Callable[[str | None, str | None, dict[str, Any]], Any]


class MetricError(ValueError):
    """A metric gave no number for a row; the message says which row, and what it gave."""


def load(name: str) -> Function:
    """The function that `module:function` names.

    Raises ImageLacksPackage if the module or something it needs is not there, else MetricUnknown.
    """
    module_name, _, attribute = name.partition(":")
    beside = os.environ.get(MODULES_ENV)
    if beside and beside not in sys.path:
        sys.path.append(beside)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise JobError(
            "ImageLacksPackage",
            f"metric {name}: there is no module {error.name}{_remedy(beside)}",
        ) from error
    except Exception as error:  # whatever a module does when it is imported
        raise JobError(
            "MetricUnknown", f"metric {name}: {module_name} cannot be imported: {_told(error)}"
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise JobError(
            "MetricUnknown", f"metric {name}: {module_name} has no function {attribute}; name one that it has"
        )
    return function


def number(call: Callable[[], Any], where: str) -> float:
    """What the metric gives for the row that `where` names. Raises MetricError if that is no finite number."""
    try:
        value = call()
    except Exception as error:  # the answers are worth more than the program that scores them
        raise MetricError(f"{where}: {_told(error)}") from error
    try:
        found = float(value) if not isinstance(value, str | bytes) else math.nan
    except (OverflowError, TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise MetricError(f"{where}: expected a finite number, got {_short(repr(value))}")
    return found


def _remedy(beside: str | None) -> str:
    if beside:
        return f" in {beside} or installed; put it beside the workflow's file, or add its package to ray.pip"
    return "; add its package to ray.pip, or to the image"


def _told(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}")


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:119]}…"
