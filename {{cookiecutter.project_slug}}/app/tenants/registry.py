"""Answers which tenant an id or a slug names, from memory for a few seconds at a time."""

from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, select

from app.core.cache import SingleFlightCache
from app.core.context import TenantRef, tenant_schema
from app.core.database import Database
from app.tenants.models import Tenant, TenantState

TTL_SECONDS: Final = 5.0
MAX_ENTRIES: Final = 20_000


class TenantRegistry:
    """Unknown ids are remembered too, so that a guesser costs one query per guess and interval."""

    def __init__(self, database: Database, *, ttl_seconds: float = TTL_SECONDS) -> None:
        self._database = database
        self._by_id = SingleFlightCache(self._load_by_id, ttl_seconds=ttl_seconds, size=MAX_ENTRIES)
        self._by_slug = SingleFlightCache(self._load_by_slug, ttl_seconds=ttl_seconds, size=MAX_ENTRIES)

    async def get(self, tenant_id: UUID) -> TenantRef | None:
        """The tenant in whatever state it is, or None."""
        return await self._by_id.get(tenant_id)

    async def get_by_slug(self, slug: str) -> TenantRef | None:
        """The tenant in whatever state it is, or None."""
        return await self._by_slug.get(slug)

    async def get_active(self, tenant_id: UUID) -> TenantRef | None:
        """The tenant if requests may be served for it."""
        tenant = await self.get(tenant_id)
        return tenant if tenant is not None and tenant.state == TenantState.ACTIVE else None

    async def _load_by_id(self, tenant_id: UUID) -> TenantRef | None:
        return await self._load(Tenant.id == tenant_id)

    async def _load_by_slug(self, slug: str) -> TenantRef | None:
        return await self._load(Tenant.slug == slug)

    async def _load(self, criterion: ColumnElement[bool]) -> TenantRef | None:
        columns = (Tenant.id, Tenant.slug, Tenant.plan, Tenant.state)
        async with self._database.platform() as session:
            row = (await session.execute(select(*columns).where(criterion))).one_or_none()
        if row is None:
            return None
        return TenantRef(
            id=row.id, slug=row.slug, schema=tenant_schema(row.id), plan=row.plan, state=row.state
        )
