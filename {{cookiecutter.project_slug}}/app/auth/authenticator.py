"""Turns a request's credential into a principal or an operator: a bearer token or an `X-API-Key`."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

from cachetools import TTLCache
from sqlalchemy import select
from starlette.datastructures import Headers

from app.auth.api_key_format import MalformedKey, ParsedKey, parse
from app.auth.errors import AmbiguousCredentials, InvalidAccessToken, InvalidAPIKey
from app.auth.models import APIKey
from app.auth.passwords import PasswordHasher
from app.auth.sessions import login_stands
from app.auth.tokens import Actor, InvalidToken, RejectionReason, TokenCodec
from app.core.cache import SingleFlightCache
from app.core.context import OperatorRef, Principal, TenantRef
from app.core.database import TenantDatabases
from app.tenants import TenantRegistry

KEY_TTL_SECONDS: Final = 30.0
TOKEN_TTL_SECONDS: Final = 30.0
LOGIN_TTL_SECONDS: Final = 30.0
MAX_ENTRIES: Final = 10_000
API_KEY_HEADER: Final = "x-api-key"
# A suspended tenant's key is verified too: who holds it may know why it does not work.
STATES_WITH_KEYS: Final = frozenset({"active", "suspended"})


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    principal: Principal
    expires_at: datetime
    actor: Actor | None


class KnowsOperators(Protocol):
    """Asks the database each time: operators are few, and one who was disabled must be out at once."""

    async def authenticate(self, token: str) -> OperatorRef:
        """Raises InvalidAccessToken."""

    async def confirm(self, operator_id: UUID, epoch: int) -> OperatorRef | None:
        """The operator, unless disabled or given a new epoch."""


class Authenticator:
    """Verifies credentials; verified ones are remembered by digest for at most 30 seconds.

    A key with a bad checksum costs no I/O, and one whose id is unknown never reaches bcrypt.
    """

    def __init__(
        self,
        *,
        codec: TokenCodec,
        databases: TenantDatabases,
        registry: TenantRegistry,
        key_hasher: PasswordHasher,
        operators: KnowsOperators,
        secret_key: str,
        api_key_prefix: str,
    ) -> None:
        self._codec = codec
        self._databases = databases
        self._registry = registry
        self._key_hasher = key_hasher
        self._operators = operators
        self._digest_key = hmac.digest(secret_key.encode(), b"credential cache", "sha256")
        self._brand = api_key_prefix
        self._tokens: TTLCache[bytes, VerifiedToken] = TTLCache(MAX_ENTRIES, TOKEN_TTL_SECONDS)
        self._keys = SingleFlightCache(self._verify_key, ttl_seconds=KEY_TTL_SECONDS, size=MAX_ENTRIES)
        self._logins = SingleFlightCache(self._login_stands, ttl_seconds=LOGIN_TTL_SECONDS, size=MAX_ENTRIES)

    async def authenticate(self, headers: Headers) -> Principal | OperatorRef | None:
        """The caller, or None when no credential was sent.

        Raises AmbiguousCredentials, InvalidAccessToken or InvalidAPIKey.
        """
        authorizations = headers.getlist("authorization")
        api_keys = headers.getlist(API_KEY_HEADER)
        if len(authorizations) + len(api_keys) > 1:
            raise AmbiguousCredentials
        if api_keys:
            return await self._from_api_key(api_keys[0])
        if authorizations:
            return await self._from_bearer(authorizations[0])
        return None

    async def confirm_login(self, principal: Principal, tenant: TenantRef) -> None:
        """Raises InvalidAccessToken when the login of a token was ended since the token was issued.

        `tenant` is confirmed, so only after a change of it, which raised its epoch, is the database asked.
        """
        login = principal.login
        if (
            login is not None
            and login.epoch != tenant.epoch
            and not await self._logins.get((tenant, login.id))
        ):
            raise _invalid("Its login was ended; log in again.")

    async def _login_stands(self, request: tuple[TenantRef, UUID]) -> bool:
        tenant, login_id = request
        async with self._databases.tenant(tenant) as session:
            return await login_stands(session, login_id)

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
            login=claims.login,
        )
        verified = VerifiedToken(principal, claims.expires_at, claims.actor)
        self._tokens[digest] = verified
        return verified

    async def _from_api_key(self, text: str) -> Principal:
        try:
            parsed = parse(text, self._brand)
        except MalformedKey:
            raise InvalidAPIKey from None
        digest = self._digest(text)
        principal, expires_at = await self._keys.get((digest, parsed))
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise InvalidAPIKey
        return principal

    async def _verify_key(self, request: tuple[bytes, ParsedKey]) -> tuple[Principal, datetime | None]:
        """Raises InvalidAPIKey, which is not remembered: a key may become valid at any moment."""
        _, parsed = request
        tenant = await self._registry.get(parsed.tenant_id)
        if tenant is None or tenant.state not in STATES_WITH_KEYS:
            raise InvalidAPIKey
        async with self._databases.tenant(tenant) as session:
            query = select(APIKey.secret_hash, APIKey.role, APIKey.scopes, APIKey.expires_at).where(
                APIKey.id == parsed.key_id, APIKey.revoked_at.is_(None)
            )
            row = (await session.execute(query)).one_or_none()
        # The connection is back in the pool before bcrypt takes its time.
        if row is None or not (await self._key_hasher.verify(parsed.secret, row.secret_hash)).valid:
            raise InvalidAPIKey
        principal = Principal(
            tenant_id=tenant.id,
            subject=parsed.key_id,
            kind="api_key",
            role=row.role,
            key_id=parsed.key_id,
            scopes=None if row.scopes is None else tuple(row.scopes),
        )
        return principal, row.expires_at

    def _digest(self, credential: str) -> bytes:
        return hmac.digest(self._digest_key, credential.encode("utf-8", "surrogateescape"), "sha256")


def _invalid(detail: str | None) -> InvalidAccessToken:
    return InvalidAccessToken(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
