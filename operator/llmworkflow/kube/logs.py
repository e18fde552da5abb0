"""Log lines: one JSON object each, or text for people, with what they are about as fields."""

import json
import logging
from datetime import UTC, datetime
from typing import Literal

_FIELDS = ("namespace", "workflow", "stage", "attempt", "reason")


class JsonFormatter(logging.Formatter):
    """One line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        content = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        content |= fields_of(record) | {"message": record.getMessage()}
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line with key=value before the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(where)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        record.where = "".join(f"{name}={value} " for name, value in fields_of(record).items())
        return super().format(record)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """What the line is about."""
    found = {name: getattr(record, name, None) for name in _FIELDS}
    return {name: value for name, value in found.items() if value is not None}


def configure(form: Literal["json", "text"]) -> None:
    """Log to the standard error stream."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
