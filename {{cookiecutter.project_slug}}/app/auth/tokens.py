"""The one place where access tokens are made and read: RS256 only, every claim required and checked.

Follows RFC 9068 (JWT access tokens) and RFC 8725 (JWT best practices). python-jose alone accepts missing
claims, unknown `crit`, any `typ` and any key, so everything it leaves open is closed here.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NoReturn
from uuid import UUID

from jose import jws
from jose.exceptions import JOSEError

from app.auth.key_ring import ALGORITHM, KeyRing, VerificationKey
from app.core.ids import new_id

TOKEN_TYPE: Final = "at+jwt"  # noqa: S105  # a media type
MAX_TOKEN_BYTES: Final = 8 * 1024
LEEWAY: Final = timedelta(seconds=10)
HEADER_MEMBERS: Final = frozenset({"alg", "typ", "kid"})
MAX_ROLE_LENGTH: Final = 63
SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")


class RejectionReason(StrEnum):
    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    ALGORITHM = "algorithm"
    TYPE = "type"
    HEADER = "header"
    KEY = "key"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    EXPIRED = "expired"


class InvalidToken(ValueError):
    """The token is refused; `reason` is for our logs and tests, not for the client."""

    def __init__(self, reason: RejectionReason) -> None:
        super().__init__(f"invalid token: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class AccessClaims:
    subject: UUID
    tenant_id: UUID
    role: str
    jti: str
    issued_at: datetime
    expires_at: datetime


class TokenCodec:
    """Signs with the current key of the ring and verifies with the key that the token names."""

    def __init__(self, key_ring: KeyRing, *, issuer: str, audience: str, ttl_seconds: int) -> None:
        self._key_ring = key_ring
        self._issuer = issuer
        self._audience = audience
        self._ttl = timedelta(seconds=ttl_seconds)

    def issue(self, subject: UUID, tenant_id: UUID, role: str, now: datetime | None = None) -> str:
        """A signed access token."""
        issued_at = now or datetime.now(UTC)
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(subject),
            "tid": str(tenant_id),
            "role": role,
            "jti": new_id().hex,
            "iat": int(issued_at.timestamp()),
            "exp": int((issued_at + self._ttl).timestamp()),
        }
        key = self._key_ring.signing_key
        headers = {"typ": TOKEN_TYPE, "kid": key.kid}
        return str(jws.sign(claims, key.prepared, headers=headers, algorithm=ALGORITHM))

    def verify(self, token: str, now: datetime | None = None) -> AccessClaims:
        """The claims of a valid token. Raises InvalidToken."""
        if len(token) > MAX_TOKEN_BYTES:
            _refuse(RejectionReason.OVERSIZED)
        segments = token.split(".")
        if len(segments) != 3:
            _refuse(RejectionReason.MALFORMED)
        header, *_ = [_strict_base64url(segment) for segment in segments]
        key = self._key_for(_strict_object(header))
        try:
            payload = jws.verify(token, key.prepared, algorithms=[ALGORITHM])
        except JOSEError:
            _refuse(RejectionReason.SIGNATURE)
        return self._check(_strict_object(payload), now or datetime.now(UTC))

    def _key_for(self, header: Mapping[str, Any]) -> VerificationKey:
        """Decides on the header before any cryptography; a member we do not know is refused, `crit` too."""
        if header.get("alg") != ALGORITHM:
            _refuse(RejectionReason.ALGORITHM)
        if header.get("typ") != TOKEN_TYPE:
            _refuse(RejectionReason.TYPE)
        if set(header) != HEADER_MEMBERS:
            _refuse(RejectionReason.HEADER)
        kid = header["kid"]
        key = self._key_ring.verification_key(kid) if isinstance(kid, str) else None
        if key is None:
            _refuse(RejectionReason.KEY)
        return key

    def _check(self, claims: Mapping[str, Any], now: datetime) -> AccessClaims:
        issued_at, expires_at = _moment(claims.get("iat")), _moment(claims.get("exp"))
        role, jti = claims.get("role"), claims.get("jti")
        if (
            claims.get("iss") != self._issuer
            or claims.get("aud") != self._audience
            or not isinstance(role, str)
            or not 0 < len(role) <= MAX_ROLE_LENGTH
            or not isinstance(jti, str)
            or not 0 < len(jti) <= 64
            or issued_at > now + LEEWAY
            or expires_at <= issued_at
            or ("nbf" in claims and _moment(claims["nbf"]) > now + LEEWAY)
        ):
            _refuse(RejectionReason.CLAIMS)
        if expires_at <= now - LEEWAY:  # Not `expires_at + LEEWAY`: it may be the last moment there is.
            _refuse(RejectionReason.EXPIRED)
        return AccessClaims(
            subject=_uuid(claims.get("sub")),
            tenant_id=_uuid(claims.get("tid")),
            role=role,
            jti=jti,
            issued_at=issued_at,
            expires_at=expires_at,
        )


def _refuse(reason: RejectionReason) -> NoReturn:
    raise InvalidToken(reason) from None


def _strict_base64url(segment: str) -> bytes:
    """RFC 7515: no padding, no foreign characters, no stray bits, so that one token has one spelling."""
    if not SEGMENT.fullmatch(segment):
        _refuse(RejectionReason.MALFORMED)
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        _refuse(RejectionReason.MALFORMED)
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != segment:
        _refuse(RejectionReason.MALFORMED)
    return decoded


def _strict_object(document: bytes) -> dict[str, Any]:
    """A UTF-8 JSON object whose names are unique: two parsers must not read one token in two ways."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            _refuse(RejectionReason.MALFORMED)
        return members

    try:
        # Decoded here, because `loads` would guess UTF-16 and UTF-32 from bytes.
        value = json.loads(document.decode(), object_pairs_hook=unique, parse_constant=_refuse_constant)
    except InvalidToken:
        raise
    except (ValueError, RecursionError):
        _refuse(RejectionReason.MALFORMED)
    if not isinstance(value, dict):
        _refuse(RejectionReason.MALFORMED)
    return value


def _refuse_constant(_: str) -> NoReturn:
    """NaN and Infinity are Python's JSON, not RFC 8259's."""
    _refuse(RejectionReason.MALFORMED)


def _moment(value: Any) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(RejectionReason.CLAIMS)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        _refuse(RejectionReason.CLAIMS)


def _uuid(value: Any) -> UUID:
    try:
        parsed = UUID(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    # Only the canonical spelling, so that one id is one string everywhere.
    if parsed is None or str(parsed) != value:
        _refuse(RejectionReason.CLAIMS)
    return parsed
