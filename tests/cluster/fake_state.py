"""What a dashboard tells of nodes and of logs on them: one node, and the log of one replica where a service is."""

from __future__ import annotations

from typing import Any

NODE, FILE = "fake-node", "serve/replica_fake.log"
LOG = "the fake engine is up\n"


def respond(path: str, serves: bool) -> tuple[int, Any]:
    """Status and content of the answer to a request."""
    match path:
        case "/api/v0/nodes":
            return 200, _result({"result": [{"node_id": NODE, "state": "ALIVE"}]})
        case "/api/v0/logs":
            return 200, _result({"serve": [FILE]} if serves else {})
        case "/api/v0/logs/file" | "/api/v0/logs/stream":
            return 200, LOG
    return 404, "404: Not Found"


def _result(content: Any) -> dict[str, Any]:
    return {"result": True, "msg": "", "data": {"result": content}}
