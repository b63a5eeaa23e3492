"""Epochs: a number in Redis per tenant that tells every process that its copy of the tenant is old.

The number is a column of the registry, raised in the transaction that changes the tenant and published here
after the commit, so Redis is never ahead of the database. A key that Redis lost means "look it up".
"""

from typing import Final
from uuid import UUID

from redis.asyncio import Redis

# The key only grows, so that two publishers in the wrong order leave the newer number.
_RAISE: Final = """
local known = tonumber(redis.call('GET', KEYS[1]) or '0')
if known < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
"""


def epoch_key(tenant_id: UUID) -> str:
    """Tagged with the tenant, so that a cluster keeps it in the slot of the tenant's limits."""
    return f"epoch:{{{tenant_id.hex}}}"


async def publish_epoch(redis: Redis, tenant_id: UUID, epoch: int) -> None:
    """Make every process look the tenant up before it serves it again. Raises RedisError."""
    await redis.eval(_RAISE, 1, epoch_key(tenant_id), str(epoch))
