"""The command `llmworkflow`."""
