"""The spec of an LLMWorkflow, one file a part."""
