"""`python -m llmworkflow.kube [--settings FILE]`: the operator, as its image runs it."""

import argparse
import asyncio
import gc
import sys

from llmworkflow.kube.logs import configure
from llmworkflow.kube.operator import run
from llmworkflow.kube.settings import SETTINGS_VARIABLE, SettingsError, load_settings


def main() -> None:
    """Run until told to end."""
    parser = argparse.ArgumentParser(
        prog="python -m llmworkflow.kube", description="The LLMWorkflow operator."
    )
    parser.add_argument("--settings", help=f"YAML file; default: ${SETTINGS_VARIABLE}, else the defaults")
    try:
        settings = load_settings(parser.parse_args().settings)
    except SettingsError as error:
        sys.exit(f"llmworkflow: {error}")
    configure(settings.log_format)
    gc.collect()
    gc.freeze()  # what was imported stays: looking through it again and again costs pauses, and lets garbage pile up
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
