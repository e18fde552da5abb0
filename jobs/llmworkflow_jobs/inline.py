"""A file as an address that holds it (RFC 2397)."""

from __future__ import annotations

import base64
import mimetypes
from urllib.parse import unquote_to_bytes

# How files begin whose name is not known.
_BEGINNINGS = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"ID3": "audio/mpeg",
    b"OggS": "audio/ogg",
    b"\x1aE\xdf\xa3": "video/webm",
}


def address_of(content: bytes, name: str = "") -> str:
    """`content` as a data: address, of the type that its name tells, or else its beginning."""
    by_content = next((kind for start, kind in _BEGINNINGS.items() if content.startswith(start)), None)
    kind = mimetypes.guess_type(name)[0] or by_content or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def content_of(address: str) -> bytes:
    """The file in a data: address. Raises ValueError if there is none."""
    head, _, content = address.partition(",")
    return base64.b64decode(content) if head.endswith(";base64") else unquote_to_bytes(content)
