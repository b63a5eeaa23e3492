"""Epochs: numbers in Redis that tell every process that what it remembers is old.

A tenant's is a column of the registry, raised in the transaction that changes the tenant and published here
after the commit, so Redis is never ahead of the database. A key that Redis lost means "look it up".

That of a principal (a person, an API key) and that of a tenant's roles only say that something changed: what
is remembered under another number is read again. They are raised after the commit too, and kept for longer
than anything is remembered. The gateway reads all three with the charge of the request (app/limits).
"""

import asyncio
import time
from contextlib import suppress
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

# The key only grows, so that two publishers in the wrong order leave the newer number.
_RAISE: Final = """
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if known < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""
# Longer than the longest access token, and than anything that is remembered of an API key.
CHANGE_TTL_SECONDS: Final = 2 * 3600
# Copies are read again after 30 s (app/auth/authenticator.py), whatever Redis knows.
RETRY_FOR_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 0.5
# By the clock of Redis, and always another number, also after the key was lost.
_CHANGE: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if now <= known then now = known + 1 end
redis.call('SET', KEYS[1], string.format('%.0f', now), 'EX', ARGV[1])
return 1
"""

log = structlog.get_logger(__name__)


class KnownEpochs(NamedTuple):
    """What Redis knows of a request's tenant, principal and roles; None where it knows nothing."""

    tenant: int | None
    principal: int | None
    roles: int | None


def epoch_key(tenant_id: UUID) -> str:
    """Tagged with the tenant, so that a cluster keeps it in the slot of the tenant's limits."""
    return f"epoch:{{{tenant_id.hex}}}"


async def publish_epoch(redis: Redis, tenant_id: UUID, epoch: int) -> None:
    """Make every process look the tenant up before it serves it again. Raises RedisError."""
    await redis.eval(_RAISE, 1, epoch_key(tenant_id), str(epoch))


def principal_epoch_key(tenant_id: UUID, subject: UUID) -> str:
    """Of a person or an API key, in the slot of the tenant's limits."""
    return f"epoch:{{{tenant_id.hex}}}:principal:{subject.hex}"


def roles_epoch_key(tenant_id: UUID) -> str:
    """Of all roles of a tenant, in the slot of the tenant's limits."""
    return f"epoch:{{{tenant_id.hex}}}:roles"


def epoch_keys(tenant_id: UUID, subject: UUID) -> tuple[str, str, str]:
    """In the order of `KnownEpochs`."""
    return epoch_key(tenant_id), principal_epoch_key(tenant_id, subject), roles_epoch_key(tenant_id)


class ChangeEpochs:
    """Raises the epochs of principals and roles, after the transaction that changed them was committed.

    While Redis does not answer, what other processes remember runs out within seconds; when it answers again
    it is told what it missed, for as long as anything may be remembered from before.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # When each was told last, in monotonic seconds.
        self._missed: dict[str, float] = {}
        self._retrying: asyncio.Task[None] | None = None

    async def principal_changed(self, tenant_id: UUID, *subjects: UUID) -> None:
        """Rights, sessions or the state of people or API keys changed: the next request of each knows."""
        for subject in subjects:
            await self._change(principal_epoch_key(tenant_id, subject))

    async def roles_changed(self, tenant_id: UUID) -> None:
        """A role's rules changed, or a role came or went."""
        await self._change(roles_epoch_key(tenant_id))

    async def close(self) -> None:
        """Stop telling Redis what it missed."""
        if self._retrying is not None:
            self._retrying.cancel()
            with suppress(asyncio.CancelledError):
                await self._retrying

    async def _change(self, key: str) -> None:
        try:
            await self._publish(key)
        except (RedisError, OSError) as error:
            log.warning("epoch_not_published", error=type(error).__name__)
            self._missed[key] = time.monotonic()
            if self._retrying is None or self._retrying.done():
                self._retrying = asyncio.create_task(self._retry(), name="missed-epochs")

    async def _retry(self) -> None:
        while self._missed:
            await asyncio.sleep(RETRY_SECONDS)
            oldest = time.monotonic() - RETRY_FOR_SECONDS
            for key, since in list(self._missed.items()):
                try:
                    if since >= oldest:
                        await self._publish(key)
                except (RedisError, OSError):
                    break
                if self._missed[key] == since:
                    del self._missed[key]

    async def _publish(self, key: str) -> None:
        await self._redis.eval(_CHANGE, 1, key, str(CHANGE_TTL_SECONDS))
