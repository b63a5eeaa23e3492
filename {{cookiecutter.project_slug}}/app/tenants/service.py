"""Looks tenants up for operators: one with its newest operation, or a page of all."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.pagination import CursorCodec, PageRequest, fetch_page
from app.tenants.errors import TenantNotFound
from app.tenants.models import Tenant, TenantOperation

# Cursors are bound to a tenant; the list of all tenants is bound to none of them.
NO_TENANT = UUID(int=0)


async def get_tenant(session: AsyncSession, tenant_id: UUID) -> tuple[Tenant, TenantOperation | None]:
    """The tenant and its newest operation. Raises TenantNotFound."""
    tenant = await session.get(Tenant, tenant_id)
    if tenant is None:
        raise TenantNotFound
    newest = (
        select(TenantOperation)
        .where(TenantOperation.tenant_id == tenant_id)
        .order_by(tuple_(TenantOperation.started_at, TenantOperation.id).desc())
        .limit(1)
    )
    return tenant, await session.scalar(newest)


async def list_tenants(
    session: AsyncSession, request: PageRequest, *, cursors: CursorCodec, state: str | None
) -> tuple[Sequence[Tenant], str | None]:
    """Newest first, in one state or in any."""
    query = select(Tenant) if state is None else select(Tenant).where(Tenant.state == state)
    return await fetch_page(
        session, query, Tenant, request, cursors=cursors, tenant_id=NO_TENANT, collection=f"tenants:{state}"
    )
