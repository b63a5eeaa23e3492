"""Resources of one tenant: create, read, list, change, delete. The session is already in the tenant."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.context import Principal
from app.core.errors import Unauthorized
from app.core.pagination import CursorCodec, PageRequest, fetch_page
from app.resources.errors import ResourceChanged, ResourceNotFound
from app.resources.models import Resource


async def create_resource(
    session: AsyncSession, principal: Principal, *, name: str, data: dict[str, Any]
) -> Resource:
    """A person owns what they create; what an API key creates has no owner.

    Raises Unauthorized when the person was deleted after their token was made.
    """
    owner_id = principal.subject if principal.kind == "user" else None
    resource = Resource(name=name, data=data, owner_id=owner_id)
    session.add(resource)
    try:
        await session.flush()
    except IntegrityError as error:
        if "fk_resources_owner_id_users" in str(error.orig):
            raise Unauthorized("The user of this token is gone.") from error
        raise
    return resource


async def get_resource(session: AsyncSession, resource_id: UUID) -> Resource:
    """Raises ResourceNotFound."""
    resource = await session.get(Resource, resource_id)
    if resource is None:
        raise ResourceNotFound
    return resource


async def list_resources(
    session: AsyncSession, request: PageRequest, *, cursors: CursorCodec, tenant_id: UUID
) -> tuple[Sequence[Resource], str | None]:
    """Newest first."""
    return await fetch_page(
        session,
        select(Resource),
        Resource,
        request,
        cursors=cursors,
        tenant_id=tenant_id,
        collection="resources",
    )


async def update_resource(
    session: AsyncSession,
    resource_id: UUID,
    changes: dict[str, Any],
    *,
    expected_versions: Collection[int] | None,
) -> Resource:
    """Apply the changes in one statement. Raises ResourceNotFound; ResourceChanged on another version."""
    statement = (
        update(Resource)
        .where(Resource.id == resource_id)
        .values(**changes, version=Resource.version + 1, updated_at=func.now())
        .returning(Resource)
    )
    if expected_versions is not None:
        statement = statement.where(Resource.version.in_(expected_versions))
    resource: Resource | None = await session.scalar(statement)
    if resource is None:
        raise await _why_missing(session, resource_id)
    return resource


async def delete_resource(
    session: AsyncSession, resource_id: UUID, *, expected_versions: Collection[int] | None
) -> None:
    """Raises ResourceNotFound; ResourceChanged on another version."""
    statement = delete(Resource).where(Resource.id == resource_id).returning(Resource.id)
    if expected_versions is not None:
        statement = statement.where(Resource.version.in_(expected_versions))
    if await session.scalar(statement) is None:
        raise await _why_missing(session, resource_id)


async def _why_missing(session: AsyncSession, resource_id: UUID) -> ResourceNotFound | ResourceChanged:
    found = await session.scalar(select(exists().where(Resource.id == resource_id)))
    return ResourceChanged("Read it again and repeat the change.") if found else ResourceNotFound()
