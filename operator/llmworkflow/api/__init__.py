"""The resource: its models, the CRD and reference page made from them, and its validation."""
