"""Finds the principal of an API key: from memory, or by its row and bcrypt."""

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.api_key_format import MAX_LENGTH, MalformedKey, ParsedKey, parse
from app.auth.errors import InvalidAPIKey
from app.auth.models import APIKey
from app.auth.passwords import PasswordHasher
from app.auth.verified_secrets import VerifiedSecrets
from app.core.cache import SingleFlightCache
from app.core.context import Principal, TenantRef
from app.core.database import TenantDatabases
from app.limits.gcra import Bucket, Limit, LocalGCRA
from app.tenants import TenantRegistry

TTL_SECONDS: Final = 30.0
MAX_ENTRIES: Final = 10_000
# A suspended tenant's key is verified too: who holds it may know why it does not work.
STATES_WITH_KEYS: Final = frozenset({"active", "suspended"})
# How often bcrypt is asked about one key id, by each process, for one address and for all. Whoever uses the
# key needs it once: what was accepted is remembered for longer than it takes to use the key again.
LIMIT_PER_ADDRESS: Final = Limit(5)
LIMIT_PER_KEY: Final = Limit(20)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """The rights of a principal as the database has them."""

    role: str
    scopes: tuple[str, ...] | None = None
    expires_at: datetime | None = None

    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Presented:
    """A key as it came. Requests with the same digest share one verification."""

    digest: bytes
    text: str = field(compare=False, repr=False)
    address: str = field(compare=False)


class _Verified(NamedTuple):
    principal: Principal
    expires_at: datetime | None


class KeyVerifier:
    """Remembers a principal for 30 seconds.

    A malformed key or bad checksum costs no I/O, an id that is unknown, revoked or expired no bcrypt, and a
    secret that bcrypt accepted before no bcrypt either. Guessing the secret of a known id is throttled.
    """

    def __init__(
        self,
        *,
        databases: TenantDatabases,
        registry: TenantRegistry,
        hasher: PasswordHasher,
        verified: VerifiedSecrets,
        secret_key: str,
        prefix: str,
    ) -> None:
        self._databases = databases
        self._registry = registry
        self._hasher = hasher
        self._verified = verified
        self._digest_key = hmac.digest(secret_key.encode(), b"API keys", "sha256")
        self._prefix = prefix
        self._attempts = LocalGCRA()
        self._principals = SingleFlightCache(self._verify, ttl_seconds=TTL_SECONDS, size=MAX_ENTRIES)

    async def verify(self, text: str, address: str) -> Principal:
        """The key's principal, with rights of at most 30 s ago. Raises InvalidAPIKey."""
        if len(text) > MAX_LENGTH:
            raise InvalidAPIKey
        encoded = text.encode("utf-8", "surrogateescape")
        presented = _Presented(hmac.digest(self._digest_key, encoded, "sha256"), text, address)
        found = self._principals.peek(presented)
        if found is None:
            found = await self._find(presented)
        if found.expires_at is not None and found.expires_at <= datetime.now(UTC):
            raise InvalidAPIKey
        return found.principal

    def forget(self, principal: Principal) -> None:
        """Read the key again on its next request."""
        self._principals.evict_if(lambda verified: verified.principal == principal)

    async def _find(self, presented: _Presented) -> _Verified:
        try:
            parse(presented.text, self._prefix)
        except MalformedKey:
            raise InvalidAPIKey from None
        return await self._principals.get(presented)

    async def _verify(self, presented: _Presented) -> _Verified:
        """Raises InvalidAPIKey, which is not remembered: a key may become valid at any moment."""
        parsed = parse(presented.text, self._prefix)
        tenant = await self._registry.get(parsed.tenant_id)
        if tenant is None or tenant.state not in STATES_WITH_KEYS:
            raise InvalidAPIKey
        async with self._databases.tenant(tenant) as session:
            query = _unrevoked(parsed.key_id).add_columns(APIKey.secret_hash)
            row = (await session.execute(query)).one_or_none()
        # The connection is back in the pool before bcrypt takes its time.
        if row is None or (standing := _standing(row)).has_expired():
            raise InvalidAPIKey
        if not await self._is_right(tenant, parsed, presented, row.secret_hash):
            raise InvalidAPIKey
        principal = Principal(
            tenant_id=tenant.id,
            subject=parsed.key_id,
            kind="api_key",
            role=standing.role,
            key_id=parsed.key_id,
            scopes=standing.scopes,
        )
        return _Verified(principal, standing.expires_at)

    async def _is_right(
        self, tenant: TenantRef, parsed: ParsedKey, presented: _Presented, stored_hash: str
    ) -> bool:
        if await self._verified.knows(tenant.id, presented.digest, stored_hash):
            return True
        if not self._may_try(parsed.key_id, presented.address):
            log.warning("api_key_guessed_at", tenant_id=str(tenant.id), key_id=str(parsed.key_id))
            return False
        if not (await self._hasher.verify(parsed.secret, stored_hash)).valid:
            return False
        await self._verified.remember(tenant.id, presented.digest, stored_hash)
        # A purge that has begun meanwhile may have searched Redis before that was there.
        current = await self._registry.read(tenant.id)
        if current is None or current.state not in STATES_WITH_KEYS:
            await self._verified.forget(tenant.id, presented.digest)
        return True

    def _may_try(self, key_id: UUID, address: str) -> bool:
        """Charged before the attempt, so that many at once are not free."""
        buckets = (
            Bucket("key", key_id.hex, LIMIT_PER_KEY),
            Bucket("address", f"{key_id.hex}:{address}", LIMIT_PER_ADDRESS),
        )
        return self._attempts.check(buckets).allowed


async def find_key_standing(session: AsyncSession, key_id: UUID) -> Standing | None:
    """None when the key is revoked or unknown; it may have expired."""
    row = (await session.execute(_unrevoked(key_id))).one_or_none()
    return None if row is None else _standing(row)


def _unrevoked(key_id: UUID) -> Select[tuple[str, list[Any] | None, datetime | None]]:
    return select(APIKey.role, APIKey.scopes, APIKey.expires_at).where(
        APIKey.id == key_id, APIKey.revoked_at.is_(None)
    )


def _standing(row: Any) -> Standing:
    return Standing(row.role, None if row.scopes is None else tuple(row.scopes), row.expires_at)
