"""Turns a request's credential into a principal or an operator: a bearer token or an `X-API-Key`."""

import hmac
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from cachetools import TTLCache
from starlette.datastructures import Headers

from app.auth.errors import AmbiguousCredentials, InvalidAccessToken, InvalidAPIKey
from app.auth.key_verifier import KeyVerifier, Standing, find_key_standing
from app.auth.last_used import LastUsedRecorder
from app.auth.service import session_stands
from app.auth.tokens import Actor, InvalidToken, RejectionReason, TokenCodec
from app.core.cache import SingleFlightCache
from app.core.context import OperatorRef, Principal, PrincipalKind, TenantRef
from app.core.database import TenantDatabases
from app.users import service as users

TOKEN_TTL_SECONDS: Final = 30.0
STANDING_TTL_SECONDS: Final = 30.0
OUTAGE_TTL_SECONDS: Final = 5.0
MAX_ENTRIES: Final = 10_000
API_KEY_HEADER: Final = "x-api-key"


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    principal: Principal
    expires_at: datetime
    actor: Actor | None


class _Identity(NamedTuple):
    """Whose standing is remembered, and under which number of Redis."""

    tenant: TenantRef
    kind: PrincipalKind
    subject: UUID
    session_id: UUID | None
    epoch: int | None


class KnowsOperators(Protocol):
    """Asks the database each time: operators are few, and one who was disabled must be out at once."""

    async def authenticate(self, token: str) -> OperatorRef:
        """Raises InvalidAccessToken."""

    async def confirm(self, operator_id: UUID, epoch: int) -> OperatorRef | None:
        """The operator, unless disabled or given a new epoch."""


class Authenticator:
    """Verifies credentials; verified ones are remembered by digest for at most 30 seconds."""

    def __init__(
        self,
        *,
        codec: TokenCodec,
        databases: TenantDatabases,
        operators: KnowsOperators,
        keys: KeyVerifier,
        last_used: LastUsedRecorder,
        secret_key: str,
    ) -> None:
        self._codec = codec
        self._databases = databases
        self._operators = operators
        self._keys = keys
        self._last_used = last_used
        self._digest_key = hmac.digest(secret_key.encode(), b"credential cache", "sha256")
        self._tokens: TTLCache[bytes, VerifiedToken] = TTLCache(MAX_ENTRIES, TOKEN_TTL_SECONDS)
        self._standings = SingleFlightCache(
            self._load_standing, ttl_seconds=STANDING_TTL_SECONDS, size=MAX_ENTRIES
        )

    async def authenticate(self, headers: Headers, address: str) -> Principal | OperatorRef | None:
        """The caller, or None when no credential was sent. `address` is where the request comes from.

        Raises AmbiguousCredentials, InvalidAccessToken or InvalidAPIKey.
        """
        authorizations = headers.getlist("authorization")
        api_keys = headers.getlist(API_KEY_HEADER)
        if len(authorizations) + len(api_keys) > 1:
            raise AmbiguousCredentials
        if api_keys:
            return await self._keys.verify(api_keys[0], address)
        if authorizations:
            return await self._from_bearer(authorizations[0])
        return None

    async def confirm(
        self, principal: Principal, tenant: TenantRef, epoch: int | None, *, known: bool
    ) -> Principal:
        """The principal with the rights it has now. Raises InvalidAccessToken or InvalidAPIKey.

        `tenant` is confirmed. `epoch` is the principal's in Redis: under a number that was not seen before
        the database is asked. It is asked every 30 s besides, in case that Redis forgot the number, and
        every 5 s while Redis does not answer (`known` is false).
        """
        # A key itself was read within the last 30 s.
        if principal.kind != "api_key" or epoch is not None or not known:
            principal = await self._with_standing(principal, tenant, epoch, known=known)
        if principal.kind == "api_key":
            self._last_used.record(principal.tenant_id, principal.subject)
        return principal

    async def _with_standing(
        self, principal: Principal, tenant: TenantRef, epoch: int | None, *, known: bool
    ) -> Principal:
        if not known:
            epoch = -int(time.monotonic() // OUTAGE_TTL_SECONDS)
        identity = _Identity(tenant, principal.kind, principal.subject, principal.session_id, epoch)
        standing = await self._standings.get(identity)
        if standing is not None and standing.has_expired():
            standing = None
        if standing is not None and (standing.role, standing.scopes) == (principal.role, principal.scopes):
            return principal
        if principal.kind == "api_key":
            # Redis may have forgotten the number by the next request, which then must not find the old copy.
            self._keys.forget(principal)
        if standing is None:
            raise InvalidAPIKey if principal.kind == "api_key" else _invalid("It was revoked; log in again.")
        return replace(principal, role=standing.role, scopes=standing.scopes)

    async def _load_standing(self, identity: _Identity) -> Standing | None:
        if identity.epoch is not None:
            # Read under no number, and older.
            self._standings.evict(identity._replace(epoch=None))
        async with self._databases.tenant(identity.tenant) as session:
            if identity.kind == "api_key":
                return await find_key_standing(session, identity.subject)
            if identity.session_id is not None and not await session_stands(
                session, identity.session_id, user_id=identity.subject
            ):
                return None
            user = await users.find_active(session, identity.subject)
        return None if user is None else Standing(user.role)

    async def _from_bearer(self, authorization: str) -> Principal | OperatorRef:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise InvalidAccessToken("The Authorization scheme must be Bearer.")
        try:
            verified = self._verify_token(token)
        except InvalidToken as error:
            if error.reason is RejectionReason.TYPE:
                return await self._operators.authenticate(token)
            expired = error.reason is RejectionReason.EXPIRED
            raise _invalid("It has expired; use the refresh token." if expired else None) from None
        actor = verified.actor
        if actor is not None and await self._operators.confirm(actor.subject, actor.epoch) is None:
            raise InvalidAccessToken("The operator who acts here is disabled, or has a new password.")
        return verified.principal

    def forget_tokens(self) -> None:
        """Verify every token anew: the key that signed it may have been withdrawn."""
        self._tokens.clear()

    def _verify_token(self, token: str) -> VerifiedToken:
        """Raises InvalidToken."""
        now = datetime.now(UTC)
        digest = self._digest(token)
        cached = self._tokens.get(digest)
        if cached is not None and now < cached.expires_at:
            return cached
        claims = self._codec.verify(token, now)
        principal = Principal(
            tenant_id=claims.tenant_id,
            subject=claims.subject,
            kind="user",
            role=claims.role,
            actor_id=claims.actor.subject if claims.actor else None,
            session_id=claims.session_id,
        )
        verified = VerifiedToken(principal, claims.expires_at, claims.actor)
        self._tokens[digest] = verified
        return verified

    def _digest(self, credential: str) -> bytes:
        return hmac.digest(self._digest_key, credential.encode("utf-8", "surrogateescape"), "sha256")


def _invalid(detail: str | None) -> InvalidAccessToken:
    return InvalidAccessToken(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
