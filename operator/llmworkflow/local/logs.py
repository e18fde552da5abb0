"""Where Ray writes what its processes print."""

from pathlib import Path


def session_logs(folder: str) -> Path:
    """Folder with the logs of a Ray, by the folder of its session."""
    return Path(folder) / "session_latest" / "logs"


def replica_logs(folder: str) -> list[Path]:
    """What the replicas of a Ray's endpoints print, one file each."""
    return sorted((session_logs(folder) / "serve").glob("replica_*.log"))
