"""llmworkflow: one resource takes a language model from fine-tuning to a served OpenAI endpoint."""

__version__ = "0.1.0"
