"""`python -m llmworkflow` is the command."""

from llmworkflow.cli.main import main

main()
