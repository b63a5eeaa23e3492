"""Tells where a request comes from."""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

UNKNOWN_ADDRESS: Final = "unknown"


def client_address(scope: Scope, trusted_proxies: int) -> str:
    """The address that the outermost trusted proxy saw; entries left of it are the client's own claim."""
    if trusted_proxies:
        forwarded = [
            part.strip()
            for value in Headers(scope=scope).getlist("x-forwarded-for")
            for part in value.split(",")
            if part.strip()
        ]
        if len(forwarded) >= trusted_proxies:
            return forwarded[-trusted_proxies]
    client = scope.get("client")
    return client[0] if client else UNKNOWN_ADDRESS
