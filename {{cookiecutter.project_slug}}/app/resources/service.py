"""Resources of one tenant: create, read, list, change, delete. The session is already in the tenant."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import Grant, ObjectType
from app.audit.service import AuditTrail, snapshot
from app.core.context import Principal
from app.core.errors import AppError, Forbidden, Unauthorized
from app.core.pagination import CursorCodec, PageRequest, fetch_page
from app.resources.errors import ResourceChanged, ResourceNotFound
from app.resources.models import Resource

AUDITED_FIELDS: Final = ("name", "data", "owner_id")
TARGET_KIND: Final = "resource"
READ: Final = "resources:read"
# What the conditions of a role can ask of a resource.
RESOURCES: Final = ObjectType(
    owner=Resource.owner_id, attributes={"name": Resource.name, "data": Resource.data}
)


async def create_resource(
    session: AsyncSession,
    principal: Principal,
    trail: AuditTrail,
    grant: Grant,
    *,
    name: str,
    data: dict[str, Any],
) -> Resource:
    """A person owns what they create; what an API key creates has no owner.

    Raises Forbidden unless the grant allows such a resource; Unauthorized when the person was deleted after
    their token was made.
    """
    owner_id = principal.subject if principal.kind == "user" else None
    resource = Resource(name=name, data=data, owner_id=owner_id)
    _refuse_unless_allowed(grant, resource)
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


async def get_resource(session: AsyncSession, grant: Grant, resource_id: UUID) -> Resource:
    """Raises ResourceNotFound, also for one that the grant does not allow."""
    resource = await session.get(Resource, resource_id)
    if resource is None or not grant.allows(RESOURCES, resource):
        raise ResourceNotFound
    return resource


async def list_resources(
    session: AsyncSession, grant: Grant, request: PageRequest, *, cursors: CursorCodec, tenant_id: UUID
) -> tuple[Sequence[Resource], str | None]:
    """Those that the grant allows, newest first."""
    return await fetch_page(
        session,
        select(Resource).where(*grant.filters(RESOURCES)),
        Resource,
        request,
        cursors=cursors,
        tenant_id=tenant_id,
        collection="resources",
    )


async def update_resource(
    session: AsyncSession,
    trail: AuditTrail,
    grant: Grant,
    resource_id: UUID,
    changes: dict[str, Any],
    *,
    expected_versions: Collection[int] | None,
) -> Resource:
    """Raises ResourceNotFound; Forbidden unless the grant allows the resource as it was and as it becomes;
    ResourceChanged on another version.
    """
    # Locked, so that what is recorded as `before` is what this very change replaces.
    resource = await session.get(Resource, resource_id, with_for_update=True)
    if resource is None or not grant.allows(RESOURCES, resource):
        raise await _why_missing(session, grant, resource_id)
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
    _refuse_unless_allowed(grant, resource)
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
    session: AsyncSession,
    trail: AuditTrail,
    grant: Grant,
    resource_id: UUID,
    *,
    expected_versions: Collection[int] | None,
) -> None:
    """Raises ResourceNotFound; Forbidden unless the grant allows it; ResourceChanged on another version."""
    statement = delete(Resource).where(Resource.id == resource_id, *grant.filters(RESOURCES))
    if expected_versions is not None:
        statement = statement.where(Resource.version.in_(expected_versions))
    resource: Resource | None = await session.scalar(statement.returning(Resource))
    if resource is None:
        raise await _why_missing(session, grant, resource_id)
    await trail.record(
        session,
        "resources.delete",
        target_kind=TARGET_KIND,
        target_id=resource_id,
        before=snapshot(resource, AUDITED_FIELDS),
    )


async def _why_missing(session: AsyncSession, grant: Grant, resource_id: UUID) -> AppError:
    """Who may not even read the resource does not hear that it exists."""
    resource = await session.get(Resource, resource_id)
    if resource is None:
        return ResourceNotFound()
    if grant.allows(RESOURCES, resource):
        return _changed()
    may_read = grant.rights.grant(READ).allows(RESOURCES, resource)
    return _not_allowed(grant) if may_read else ResourceNotFound()


def _changed() -> ResourceChanged:
    return ResourceChanged("Read it again and repeat the change.")


def _refuse_unless_allowed(grant: Grant, resource: Resource) -> None:
    if not grant.allows(RESOURCES, resource):
        raise _not_allowed(grant)


def _not_allowed(grant: Grant) -> Forbidden:
    return Forbidden(
        f"Your role allows {grant.permission}, but not for this resource.", permission=grant.permission
    )
