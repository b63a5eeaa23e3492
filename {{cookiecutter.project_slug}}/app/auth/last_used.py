"""Notes when API keys were last used: in memory at each request, in the database every half minute."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import DateTime, Uuid, bindparam, column, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from app.auth.models import APIKey
from app.core.database import TenantDatabases
from app.tenants import TenantMoving, TenantRegistry

FLUSH_SECONDS: Final = 30.0
CAPACITY: Final = 50_000
# How long a process that stops may take for it.
STOP_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)

Write = Callable[[UUID, Mapping[UUID, datetime]], Awaitable[None]]

_IDS: Final = bindparam("ids", type_=ARRAY(Uuid))
_TIMES: Final = bindparam("times", type_=ARRAY(DateTime(timezone=True)))
_USES: Final = (
    func.unnest(_IDS, _TIMES)
    .table_valued(column("id", Uuid), column("at", DateTime(timezone=True)), name="uses")
    .render_derived()
)
# In the order of their ids, so that two processes that write the same keys do not wait for each other.
_LOCK: Final = (
    select(APIKey.id).where(APIKey.id == func.any(_IDS)).order_by(APIKey.id).with_for_update(key_share=True)
)
_UPDATE: Final = (
    update(APIKey)
    .where(APIKey.id == _USES.c.id)
    .where(or_(APIKey.last_used_at.is_(None), APIKey.last_used_at < _USES.c.at))
    .values(last_used_at=_USES.c.at)
    .execution_options(synchronize_session=False)
)


class LastUsedRecorder:
    """The latest use of each key since the last flush, and the task that flushes through `write`.

    While `write` fails for a tenant, its uses wait; when there is no room left, further keys are not noted.
    """

    def __init__(
        self, write: Write, *, flush_seconds: float = FLUSH_SECONDS, capacity: int = CAPACITY
    ) -> None:
        self._write = write
        self._flush_seconds = flush_seconds
        self._capacity = capacity
        self._used: dict[tuple[UUID, UUID], float] = {}
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def record(self, tenant_id: UUID, key_id: UUID) -> None:
        """Note a use now; never waits and never raises."""
        key = (tenant_id, key_id)
        if key in self._used or len(self._used) < self._capacity:
            self._used[key] = time.time()

    def start(self) -> None:
        """Begin writing in the background."""
        self._task = asyncio.create_task(self._run(), name="last-used-recorder")

    async def stop(self) -> None:
        """End the task and write what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.flush()
        except TimeoutError:
            log.warning("last_used_not_written", keys=len(self._used))

    async def flush(self) -> None:
        """Write everything that was noted, one tenant after the other."""
        async with self._writing:
            tenants: dict[UUID, dict[UUID, float]] = {}
            for (tenant_id, key_id), at in self._used.items():
                tenants.setdefault(tenant_id, {})[key_id] = at
            for tenant_id, uses in tenants.items():
                await self._flush_tenant(tenant_id, uses)

    async def _flush_tenant(self, tenant_id: UUID, uses: Mapping[UUID, float]) -> None:
        try:
            await self._write(
                tenant_id, {key_id: datetime.fromtimestamp(at, UTC) for key_id, at in uses.items()}
            )
        except Exception as error:  # noqa: BLE001  # whatever the database says, requests go on
            log.warning("last_used_write_failed", tenant_id=str(tenant_id), error=type(error).__name__)
            return
        for key_id, at in uses.items():
            # A later use came while this one was written.
            if self._used.get((tenant_id, key_id)) == at:
                del self._used[tenant_id, key_id]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._flush_seconds)
            await self.flush()


async def write_last_used(
    databases: TenantDatabases, registry: TenantRegistry, tenant_id: UUID, uses: Mapping[UUID, datetime]
) -> None:
    """Set `last_used_at`, which never goes back. Nothing is written of a tenant that is being deleted.

    Raises TenantMoving while its tables take no writes.
    """
    tenant = await registry.get(tenant_id)
    if tenant is None or tenant.state not in {"active", "suspended"}:
        return
    if tenant.moving:
        raise TenantMoving
    parameters = {"ids": list(uses), "times": list(uses.values())}
    async with databases.tenant(tenant) as session:
        await session.execute(_LOCK, {"ids": parameters["ids"]})
        await session.execute(_UPDATE, parameters)
