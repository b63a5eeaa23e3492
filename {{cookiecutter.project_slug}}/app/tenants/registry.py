"""Answers which tenant an id or a slug names, from memory for a few seconds at a time."""

from typing import Final, Protocol
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, select

from app.core.cache import SingleFlightCache
from app.core.context import TenantRef, tenant_schema
from app.core.database import Database
from app.core.epochs import publish_epoch
from app.tenants.models import Isolation, Tenant, TenantState

# How long a change stays unnoticed when Redis, which tells of it at once, is away.
TTL_SECONDS: Final = 5.0
MAX_ENTRIES: Final = 20_000

log = structlog.get_logger(__name__)


class HearsOfReads(Protocol):
    """Told what the registry says of a tenant: the placement where it logs in itself, if it does."""

    def __call__(self, schema: str, *, but: str | None) -> None: ...


class TenantRegistry:
    """Unknown ids are remembered too, so that a guesser costs one query per guess and interval."""

    def __init__(self, database: Database, redis: Redis, *, ttl_seconds: float = TTL_SECONDS) -> None:
        self._database = database
        self._redis = redis
        self._by_id = SingleFlightCache(self._load_by_id, ttl_seconds=ttl_seconds, size=MAX_ENTRIES)
        self._hear: HearsOfReads | None = None

    def on_read(self, hear: HearsOfReads) -> None:
        """Tell one listener of every tenant that is read."""
        self._hear = hear

    async def get(self, tenant_id: UUID) -> TenantRef | None:
        """The tenant in whatever state it is, or None."""
        return await self._by_id.get(tenant_id)

    async def read(self, tenant_id: UUID) -> TenantRef | None:
        """The tenant as it is now, whatever is remembered."""
        self._by_id.evict(tenant_id)
        return await self._by_id.get(tenant_id)

    async def read_by_slug(self, slug: str) -> TenantRef | None:
        """The tenant as it is now: a person who logs in is no hot path."""
        return await self._load(Tenant.slug == slug)

    async def confirm(self, tenant: TenantRef, seen_epoch: int | None) -> TenantRef | None:
        """The tenant as it is now, unless `seen_epoch`, which Redis holds, says that our copy is the newest.

        What Redis does not know, or knows from before a failed publication, it is told; but nothing of a
        tenant that was purged, of which nothing is to be left.
        """
        if seen_epoch == tenant.epoch:
            return tenant
        current = await self.read(tenant.id)
        if current is None or current.state == TenantState.DELETED:
            return current
        if seen_epoch is None or seen_epoch < current.epoch:
            try:
                await publish_epoch(self._redis, current.id, current.epoch)
            except (RedisError, OSError) as error:
                log.warning("epoch_not_published", error=type(error).__name__)
        return current

    async def has_changed(self, tenant: TenantRef) -> bool:
        """True when the registry holds a newer row than this copy."""
        current = await self.read(tenant.id)
        return current is None or current.epoch != tenant.epoch

    async def _load_by_id(self, tenant_id: UUID) -> TenantRef | None:
        tenant = await self._load(Tenant.id == tenant_id)
        if tenant is None and self._hear is not None:
            self._hear(tenant_schema(tenant_id), but=None)
        return tenant

    async def _load(self, criterion: ColumnElement[bool]) -> TenantRef | None:
        columns = (
            Tenant.id, Tenant.slug, Tenant.plan, Tenant.state, Tenant.placement, Tenant.isolation,
            Tenant.epoch, Tenant.moving_to,
        )  # fmt: skip
        async with self._database.platform() as session:
            row = (await session.execute(select(*columns).where(criterion))).one_or_none()
        if row is None:
            return None
        dedicated = row.isolation == Isolation.DEDICATED and row.state != TenantState.DELETED
        if self._hear is not None:
            self._hear(tenant_schema(row.id), but=row.placement if dedicated else None)
        return TenantRef(
            id=row.id,
            slug=row.slug,
            schema=tenant_schema(row.id),
            plan=row.plan,
            state=row.state,
            placement=row.placement,
            dedicated=dedicated,
            epoch=row.epoch,
            moving=row.moving_to is not None,
        )
