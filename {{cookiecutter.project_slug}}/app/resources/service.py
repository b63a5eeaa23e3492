"""Resources of one tenant: create, read, list, change, delete. The session is already in the tenant."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.service import AuditTrail, snapshot
from app.core.context import Principal
from app.core.errors import Unauthorized
from app.core.pagination import CursorCodec, PageRequest, fetch_page
from app.resources.errors import ResourceChanged, ResourceNotFound
from app.resources.models import Resource

AUDITED_FIELDS: Final = ("name", "data", "owner_id")
TARGET_KIND: Final = "resource"


async def create_resource(
    session: AsyncSession, principal: Principal, trail: AuditTrail, *, name: str, data: dict[str, Any]
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
    await trail.record(
        session,
        "resources.create",
        target_kind=TARGET_KIND,
        target_id=resource.id,
        after=snapshot(resource, AUDITED_FIELDS),
    )
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
    trail: AuditTrail,
    resource_id: UUID,
    changes: dict[str, Any],
    *,
    expected_versions: Collection[int] | None,
) -> Resource:
    """Raises ResourceNotFound; ResourceChanged on another version."""
    # Locked, so that what is recorded as `before` is what this very change replaces.
    resource = await session.get(Resource, resource_id, with_for_update=True)
    if resource is None:
        raise ResourceNotFound
    if expected_versions is not None and resource.version not in expected_versions:
        raise _changed()
    before = snapshot(resource, AUDITED_FIELDS)
    await session.scalar(
        update(Resource)
        .where(Resource.id == resource_id)
        .values(**changes, version=Resource.version + 1, updated_at=func.now())
        .returning(Resource)
        .execution_options(populate_existing=True)
    )
    await trail.record(
        session,
        "resources.update",
        target_kind=TARGET_KIND,
        target_id=resource_id,
        before=before,
        after=snapshot(resource, AUDITED_FIELDS),
    )
    return resource


async def delete_resource(
    session: AsyncSession, trail: AuditTrail, resource_id: UUID, *, expected_versions: Collection[int] | None
) -> None:
    """Raises ResourceNotFound; ResourceChanged on another version."""
    statement = delete(Resource).where(Resource.id == resource_id).returning(Resource)
    if expected_versions is not None:
        statement = statement.where(Resource.version.in_(expected_versions))
    resource: Resource | None = await session.scalar(statement)
    if resource is None:
        found = await session.scalar(select(exists().where(Resource.id == resource_id)))
        raise _changed() if found else ResourceNotFound
    await trail.record(
        session,
        "resources.delete",
        target_kind=TARGET_KIND,
        target_id=resource_id,
        before=snapshot(resource, AUDITED_FIELDS),
    )


def _changed() -> ResourceChanged:
    return ResourceChanged("Read it again and repeat the change.")
