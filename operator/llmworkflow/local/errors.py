"""What can keep a machine from running a workflow."""


class LocalError(Exception):
    """A condition of this machine that a person must change; the message says how."""
