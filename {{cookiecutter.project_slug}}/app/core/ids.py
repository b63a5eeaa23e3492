"""Identifiers: UUIDv7, so that new rows land at the end of every index."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh UUIDv7 (RFC 9562): sorts by creation time, unguessable in its 74 random bits."""
    return uuid7()
