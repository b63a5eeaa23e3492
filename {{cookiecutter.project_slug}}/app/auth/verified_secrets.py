"""Remembers which secrets of API keys bcrypt has accepted, here and in Redis, so that it is asked seldom.

An entry grants nothing. It only says that the key whose text has this digest fits this stored hash, and is
believed when its MAC says so too; whether that key opens anything is read from the database beforehand. So
whoever reads Redis learns nothing, whoever writes to it makes no principal and brings back no revoked key.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import structlog
from cachetools import TTLCache
from redis.asyncio import Redis
from redis.exceptions import RedisError

# Counted from the last use, so that guessing at a key cannot crowd out whoever uses it (see KeyVerifier).
TTL_SECONDS: Final = 15 * 60
MAX_ENTRIES: Final = 10_000
TIMEOUT_SECONDS: Final = 0.25
# After a failure Redis is not asked again for this long.
RETRY_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


def proof_key(tenant_id: UUID, digest: bytes) -> str:
    """In the slot of the tenant's limits, and found by whoever purges the tenant."""
    return f"api-key:{{{tenant_id.hex}}}:{digest.hex()}"


class VerifiedSecrets:
    """`digest` is a keyed one of the whole key. While Redis is away each process remembers for itself."""

    def __init__(self, redis: Redis, secret_key: str) -> None:
        self._redis = redis
        self._mac_key = hmac.digest(secret_key.encode(), b"verified secrets of API keys", "sha256")
        self._local: TTLCache[bytes, bytes] = TTLCache(MAX_ENTRIES, TTL_SECONDS)
        self._retry_at = 0.0

    async def knows(self, tenant_id: UUID, digest: bytes, stored_hash: str) -> bool:
        """True when bcrypt has accepted the key with this digest for this hash."""
        proof = self._proof(digest, stored_hash)
        if self._local.get(digest) != proof:
            key = proof_key(tenant_id, digest)
            kept = await self._ask(lambda: self._redis.getex(key, ex=TTL_SECONDS))
            if kept is None:
                return False
            if not hmac.compare_digest(kept, proof):
                log.warning("verified_secret_forged", tenant_id=str(tenant_id))
                return False
        self._local[digest] = proof
        return True

    async def remember(self, tenant_id: UUID, digest: bytes, stored_hash: str) -> None:
        """Note that bcrypt has accepted it."""
        proof = self._local[digest] = self._proof(digest, stored_hash)
        key = proof_key(tenant_id, digest)
        await self._ask(lambda: self._redis.set(key, proof, ex=TTL_SECONDS))

    async def forget(self, tenant_id: UUID, digest: bytes) -> None:
        """Take it back, because nothing of the tenant is to be left."""
        self._local.pop(digest, None)
        await self._ask(lambda: self._redis.delete(proof_key(tenant_id, digest)))

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        """What Redis answers; None when it does not."""
        if time.monotonic() < self._retry_at:
            return None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await command()
        except (RedisError, OSError, TimeoutError) as error:
            self._retry_at = time.monotonic() + RETRY_SECONDS
            log.warning("verified_secrets_outage", error=type(error).__name__)
            return None

    def _proof(self, digest: bytes, stored_hash: str) -> bytes:
        return hmac.digest(self._mac_key, digest + stored_hash.encode(), "sha256")
