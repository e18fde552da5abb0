"""Times in a status: UTC, to the second, as Kubernetes writes them."""

from datetime import UTC, datetime, timedelta

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def stamp(moment: datetime) -> str:
    """The moment as it stands in a status."""
    return moment.astimezone(UTC).strftime(_FORMAT)


def moment(stamped: str) -> datetime:
    """The moment that a status names."""
    return datetime.strptime(stamped, _FORMAT).replace(tzinfo=UTC)


def after(stamped: str, seconds: float) -> datetime:
    """So many seconds after the moment that a status names."""
    return moment(stamped) + timedelta(seconds=seconds)


def elapsed(stamped: str, now: datetime) -> float:
    """Seconds since the moment that a status names; none where clocks disagree."""
    return max(0.0, (now - moment(stamped)).total_seconds())
