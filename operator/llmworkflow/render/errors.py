"""Why a workflow cannot be rendered."""


class RenderError(ValueError):
    """Names the stage, the field, its value and the remedy."""
