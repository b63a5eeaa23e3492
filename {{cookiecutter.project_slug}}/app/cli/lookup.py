"""Finds the tenant that a command names by its slug."""

from uuid import UUID

from sqlalchemy import select

from app.cli.connections import runtime_database
from app.tenants.creation import SLUG_PATTERN
from app.tenants.errors import TenantNotFound
from app.tenants.models import Tenant


def checked_slug(slug: str) -> str:
    """The slug, if a tenant may have it: an argument may hold bytes that no database takes.

    Raises TenantNotFound.
    """
    if not SLUG_PATTERN.fullmatch(slug):
        raise TenantNotFound(f"{slug!r} is no slug; `tenants list` shows them.")
    return slug


async def find_tenant_id(slug: str) -> UUID:
    """Raises TenantNotFound."""
    query = select(Tenant.id).where(Tenant.slug == checked_slug(slug))
    database = runtime_database()
    try:
        async with database.platform() as session:
            tenant_id: UUID | None = await session.scalar(query)
    finally:
        await database.close()
    if tenant_id is None:
        raise TenantNotFound(f"no tenant has the slug {slug}")
    return tenant_id
