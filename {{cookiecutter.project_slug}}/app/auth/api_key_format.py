"""The text of an API key: `{brand}_{live|test}_{ids}_{secret}{checksum}`, checked without any I/O.

`ids` are the tenant's and the key's UUIDs in base62, so a key finds its tenant; `secret` is 32 characters
(190 bits); `checksum` is the CRC-32 of all before it, so a mistyped key costs nothing and scanners can
recognize a leaked one.
"""

import re
import secrets
import zlib
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH: Final = 43  # 62^43 > 2^256
SECRET_LENGTH: Final = 32
CHECKSUM_LENGTH: Final = 6  # 62^6 > 2^32
MAX_LENGTH: Final = 12 + 1 + 4 + 1 + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH
KEY_PATTERN: Final = re.compile(
    rf"(?P<brand>[a-z][a-z0-9]{{1,11}})_(?P<mode>live|test)_(?P<ids>[0-9A-Za-z]{{{ID_LENGTH}}})"
    rf"_(?P<secret>[0-9A-Za-z]{{{SECRET_LENGTH}}})(?P<checksum>[0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)
DISPLAYED_CHARACTERS: Final = 6


class MalformedKey(ValueError):
    """The text is not an API key of this service."""


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """`plaintext` is shown once; `secret` is hashed and stored; `display_prefix` identifies the key."""

    plaintext: str = field(repr=False)
    secret: str = field(repr=False)
    display_prefix: str


@dataclass(frozen=True, slots=True)
class ParsedKey:
    tenant_id: UUID
    key_id: UUID
    secret: str = field(repr=False)


def generate(brand: str, *, live: bool, tenant_id: UUID, key_id: UUID) -> GeneratedKey:
    """A new key. Raises ValueError when the brand does not fit the pattern."""
    secret = "".join(secrets.choice(ALPHABET) for _ in range(SECRET_LENGTH))
    ids = _base62(int.from_bytes(tenant_id.bytes + key_id.bytes, "big"), ID_LENGTH)
    head = f"{brand}_{'live' if live else 'test'}_{ids}_{secret}"
    plaintext = head + _checksum(head)
    if not KEY_PATTERN.fullmatch(plaintext):
        raise ValueError(f"not a brand: {brand!r}")
    # The end of the ids belongs to the key; their beginning is the tenant's and the same for all its keys.
    display_prefix = f"{brand}_{'live' if live else 'test'}_…{ids[-DISPLAYED_CHARACTERS:]}"
    return GeneratedKey(plaintext, secret, display_prefix)


def parse(text: str, brand: str) -> ParsedKey:
    """The parts of a well-formed key of this brand. Raises MalformedKey."""
    match = KEY_PATTERN.fullmatch(text)
    if match is None or match["brand"] != brand:
        raise MalformedKey("not an API key of this service")
    if _checksum(text[:-CHECKSUM_LENGTH]) != match["checksum"]:
        raise MalformedKey("checksum mismatch")
    number = 0
    for character in match["ids"]:
        number = number * 62 + ALPHABET.index(character)
    if number >= 2**256:
        raise MalformedKey("ids out of range")
    ids = number.to_bytes(32, "big")
    return ParsedKey(UUID(bytes=ids[:16]), UUID(bytes=ids[16:]), match["secret"])


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, remainder = divmod(number, 62)
        digits.append(ALPHABET[remainder])
    return "".join(reversed(digits))
