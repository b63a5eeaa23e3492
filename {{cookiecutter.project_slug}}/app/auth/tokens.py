"""The one place where signed tokens are made and read: RS256 only, every claim required and checked.

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

from app.auth.key_ring import ALGORITHM, Keys, VerificationKey
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
class SignedClaims:
    """What every token of ours says; `members` holds all claims, for its codec to read the rest from."""

    subject: UUID
    jti: str
    issued_at: datetime
    expires_at: datetime
    members: Mapping[str, Any]


class JWSCodec:
    """Signed objects of one type (RFC 7515, compact): signed with the current key of the ring, verified with
    the key that they name. What their members must say is the caller's to check."""

    def __init__(self, key_ring: Keys, *, object_type: str) -> None:
        self._key_ring = key_ring
        self._type = object_type

    def sign(self, members: Mapping[str, Any]) -> str:
        key = self._key_ring.signing_key
        headers = {"typ": self._type, "kid": key.kid}
        return str(jws.sign(dict(members), key.prepared, headers=headers, algorithm=ALGORITHM))

    def open(self, signed: str) -> dict[str, Any]:
        """The members of an object whose signature is valid. Raises InvalidToken."""
        if len(signed) > MAX_TOKEN_BYTES:
            refuse(RejectionReason.OVERSIZED)
        segments = signed.split(".")
        if len(segments) != 3:
            refuse(RejectionReason.MALFORMED)
        header, *_ = [_strict_base64url(segment) for segment in segments]
        key = self._key_for(_strict_object(header))
        try:
            payload = jws.verify(signed, key.prepared, algorithms=[ALGORITHM])
        except JOSEError:
            refuse(RejectionReason.SIGNATURE)
        return _strict_object(payload)

    def _key_for(self, header: Mapping[str, Any]) -> VerificationKey:
        """Decides on the header before any cryptography; a member we do not know is refused, `crit` too."""
        if header.get("alg") != ALGORITHM:
            refuse(RejectionReason.ALGORITHM)
        if header.get("typ") != self._type:
            refuse(RejectionReason.TYPE)
        if set(header) != HEADER_MEMBERS:
            refuse(RejectionReason.HEADER)
        kid = header["kid"]
        key = self._key_ring.verification_key(kid) if isinstance(kid, str) else None
        if key is None:
            refuse(RejectionReason.KEY)
        return key


class JWTCodec:
    """Tokens of one type for one audience."""

    def __init__(self, key_ring: Keys, *, token_type: str, issuer: str, audience: str) -> None:
        self._codec = JWSCodec(key_ring, object_type=token_type)
        self._issuer = issuer
        self._audience = audience

    def sign(self, subject: UUID, members: Mapping[str, Any], *, ttl: timedelta, now: datetime | None) -> str:
        """A signed token with the claims that every token has, and `members`."""
        issued_at = now or datetime.now(UTC)
        claims = {
            **members,
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(subject),
            "jti": new_id().hex,
            "iat": int(issued_at.timestamp()),
            "exp": int((issued_at + ttl).timestamp()),
        }
        return self._codec.sign(claims)

    def open(self, token: str, now: datetime) -> SignedClaims:
        """The claims of a valid token. Raises InvalidToken."""
        return self._check(self._codec.open(token), now)

    def _check(self, claims: Mapping[str, Any], now: datetime) -> SignedClaims:
        issued_at, expires_at = _moment(claims.get("iat")), _moment(claims.get("exp"))
        jti = claims.get("jti")
        if (
            claims.get("iss") != self._issuer
            or claims.get("aud") != self._audience
            or not isinstance(jti, str)
            or not 0 < len(jti) <= 64
            or issued_at > now + LEEWAY
            or expires_at <= issued_at
            or ("nbf" in claims and _moment(claims["nbf"]) > now + LEEWAY)
        ):
            refuse(RejectionReason.CLAIMS)
        if expires_at <= now - LEEWAY:  # Not `expires_at + LEEWAY`: it may be the last moment there is.
            refuse(RejectionReason.EXPIRED)
        return SignedClaims(
            subject=uuid_claim(claims.get("sub")),
            jti=jti,
            issued_at=issued_at,
            expires_at=expires_at,
            members=claims,
        )


@dataclass(frozen=True, slots=True)
class Actor:
    """The operator who acts as the subject (RFC 8693, section 4.1); `epoch` must still be the operator's."""

    subject: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class AccessClaims:
    subject: UUID
    tenant_id: UUID
    role: str
    jti: str
    issued_at: datetime
    expires_at: datetime
    session_id: UUID | None = None
    actor: Actor | None = None


class TokenCodec:
    """Access tokens of tenants."""

    def __init__(self, key_ring: Keys, *, issuer: str, audience: str, ttl_seconds: int) -> None:
        self._codec = JWTCodec(key_ring, token_type=TOKEN_TYPE, issuer=issuer, audience=audience)
        self._ttl = timedelta(seconds=ttl_seconds)

    def issue(
        self,
        subject: UUID,
        tenant_id: UUID,
        role: str,
        now: datetime | None = None,
        *,
        ttl: timedelta | None = None,
        session_id: UUID | None = None,
        actor: Actor | None = None,
    ) -> str:
        """A signed access token of a session, or of an `actor`, the operator who acts as the subject."""
        members: dict[str, Any] = {"tid": str(tenant_id), "role": role}
        if session_id is not None:
            members["sid"] = str(session_id)
        if actor is not None:
            members["act"] = {"sub": str(actor.subject), "epoch": actor.epoch}
        return self._codec.sign(subject, members, ttl=ttl or self._ttl, now=now)

    def verify(self, token: str, now: datetime | None = None) -> AccessClaims:
        """The claims of a valid token. Raises InvalidToken."""
        now = now or datetime.now(UTC)
        claims = self._codec.open(token, now)
        role = claims.members.get("role")
        if not isinstance(role, str) or not 0 < len(role) <= MAX_ROLE_LENGTH:
            refuse(RejectionReason.CLAIMS)
        actor = _actor(claims.members["act"]) if "act" in claims.members else None
        # Without one of them nothing could end the token before its time. `sid` is OpenID Connect's.
        session_id = uuid_claim(claims.members.get("sid")) if actor is None else None
        if actor is not None and claims.expires_at <= now:  # A time box has no leeway.
            refuse(RejectionReason.EXPIRED)
        return AccessClaims(
            subject=claims.subject,
            tenant_id=uuid_claim(claims.members.get("tid")),
            role=role,
            jti=claims.jti,
            issued_at=claims.issued_at,
            expires_at=claims.expires_at,
            session_id=session_id,
            actor=actor,
        )


def refuse(reason: RejectionReason) -> NoReturn:
    """Raises InvalidToken."""
    raise InvalidToken(reason) from None


def uuid_claim(value: Any) -> UUID:
    """The id in a claim, in its canonical spelling only, so that one id is one string everywhere."""
    try:
        parsed = UUID(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    if parsed is None or str(parsed) != value:
        refuse(RejectionReason.CLAIMS)
    return parsed


def epoch_claim(value: Any) -> int:
    """The number in a claim: positive, and no larger than the database holds."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**63:
        refuse(RejectionReason.CLAIMS)
    return value


def _actor(value: Any) -> Actor:
    """Exactly what `issue` writes: an actor who acts for another, or names more, is refused."""
    if not isinstance(value, dict) or set(value) != {"sub", "epoch"}:
        refuse(RejectionReason.CLAIMS)
    return Actor(uuid_claim(value["sub"]), epoch_claim(value["epoch"]))


def _strict_base64url(segment: str) -> bytes:
    """RFC 7515: no padding, no foreign characters, no stray bits, so that one token has one spelling."""
    if not SEGMENT.fullmatch(segment):
        refuse(RejectionReason.MALFORMED)
    try:
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error:
        refuse(RejectionReason.MALFORMED)
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != segment:
        refuse(RejectionReason.MALFORMED)
    return decoded


def _strict_object(document: bytes) -> dict[str, Any]:
    """A UTF-8 JSON object whose names are unique: two parsers must not read one token in two ways."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            refuse(RejectionReason.MALFORMED)
        return members

    try:
        # Decoded here, because `loads` would guess UTF-16 and UTF-32 from bytes.
        value = json.loads(document.decode(), object_pairs_hook=unique, parse_constant=_refuse_constant)
    except InvalidToken:
        raise
    except (ValueError, RecursionError):
        refuse(RejectionReason.MALFORMED)
    if not isinstance(value, dict):
        refuse(RejectionReason.MALFORMED)
    return value


def _refuse_constant(_: str) -> NoReturn:
    """NaN and Infinity are Python's JSON, not RFC 8259's."""
    refuse(RejectionReason.MALFORMED)


def _moment(value: Any) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(RejectionReason.CLAIMS)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError):
        refuse(RejectionReason.CLAIMS)
