"""Host names and web origins, as settings and requests spell them."""

import re
from typing import Final
from urllib.parse import urlsplit

# Narrower than RFC 3986, section 3.2.2: names and addresses that exist, and a port that is one.
_HOST: Final = re.compile(
    r"(?P<name>[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?\.?|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def host_of(header: str) -> str | None:
    """The host that a Host header names, in lower case without its port; None when it is malformed."""
    match = _HOST.fullmatch(header)
    if match is None or int(match["port"] or 0) > 65535:
        return None
    return match["name"].lower().removesuffix(".")


def checked_host(value: str) -> str:
    """A host name as a setting gives it. Raises ValueError."""
    host = host_of(value)
    if host is None or ":" in value.partition("]")[2] or (":" in value and not value.startswith("[")):
        raise ValueError(
            f"{value!r} is no host name: write api.example.com, without scheme, port, path or wildcard"
        )
    return host


def checked_origin(value: str) -> str:
    """A web origin (RFC 6454) exactly as browsers send it. Raises ValueError."""
    parts = urlsplit(value)
    host = host_of(parts.netloc)
    if parts.scheme not in _DEFAULT_PORTS or host is None or value != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(
            f"{value!r} is no origin: write https://app.example.com or http://localhost:5173, without path;"
            " neither * nor null is accepted"
        )
    port = parts.port
    sent = f"{parts.scheme}://{host}" + (f":{port}" if port and port != _DEFAULT_PORTS[parts.scheme] else "")
    if value != sent:
        raise ValueError(f"{value!r} is sent by browsers as {sent}: write that")
    return value


def listed(value: object) -> object:
    """`a, b` as ("a", "b"); what is a list already stays one."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value
