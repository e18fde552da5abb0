"""The page as one HTML file: no script that it needs, nothing from elsewhere, all text escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from llmworkflow.page.lineage import short
from llmworkflow.page.page import Page, interval_of

_environment = Environment(
    loader=PackageLoader("llmworkflow.page"),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def to_html(page: Page) -> str:
    """The file's text."""
    return _environment.get_template("page.html.j2").render(page=page)


def duration(seconds: float) -> str:
    """Seconds for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


_environment.filters.update({"duration": duration, "interval": interval_of, "short": short})
