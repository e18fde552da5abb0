"""What every command and script may meet, whatever it works on."""


class ClientError(Exception):
    """A condition that a person must change; the message says how."""
