"""Operators' access tokens: of a type and an audience that no tenant's token has, and the other way round."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.auth.key_ring import Keys
from app.auth.tokens import JWTCodec, epoch_claim

OPERATOR_TOKEN_TYPE: Final = "operator+jwt"  # noqa: S105  # a media type


@dataclass(frozen=True, slots=True)
class OperatorClaims:
    operator_id: UUID
    epoch: int


class OperatorTokenCodec:
    """Makes and reads operators' tokens, under the same checks as every token of the service."""

    def __init__(self, key_ring: Keys, *, issuer: str, audience: str, ttl_seconds: int) -> None:
        self._codec = JWTCodec(key_ring, token_type=OPERATOR_TOKEN_TYPE, issuer=issuer, audience=audience)
        self._ttl = timedelta(seconds=ttl_seconds)

    def issue(self, operator_id: UUID, epoch: int, now: datetime | None = None) -> str:
        """A signed token."""
        return self._codec.sign(operator_id, {"epoch": epoch}, ttl=self._ttl, now=now)

    def verify(self, token: str, now: datetime) -> OperatorClaims:
        """The claims of a valid token. Raises InvalidToken."""
        claims = self._codec.open(token, now)
        return OperatorClaims(claims.subject, epoch_claim(claims.members.get("epoch")))
