"""The command and its subcommands, each loaded when it is called: Ray and torch are slow to import."""

import importlib

import click

from llmworkflow import __version__

COMMANDS = {
    "run": "run",
    "demo": "demo",
    "init": "files",
    "validate": "files",
    "render": "files",
    "plan": "files",
    "apply": "apply",
    "status": "status",
    "logs": "logs",
    "events": "events",
    "chat": "chat",
    "stop": "run",
    "gc": "gc",
    "models": "models",
    "report": "report",
    "approve": "decide",
    "reject": "decide",
    "retry": "act",
    "cancel": "act",
    "rollback": "act",
    "suspend": "hold",
    "resume": "hold",
    "delete": "apply",
    "doctor": "doctor",
}


class LazyGroup(click.Group):
    """A group that imports a subcommand's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The subcommands, in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"llmworkflow.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__)
def main() -> None:
    """Take a language model from fine-tuning through evaluation to a served OpenAI endpoint."""


def plugin() -> None:
    """The same as `kubectl llmwf`, which is what its help is to say."""
    main(prog_name="kubectl llmwf")
