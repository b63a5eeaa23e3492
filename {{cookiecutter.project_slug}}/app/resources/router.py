"""Resources over HTTP. Another tenant's id is 404, because its row is in another schema."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from app.access import CurrentGrant, GuardedRoute, requires
from app.core.dependencies import CurrentPrincipal, CurrentTenant, Cursors, TenantSession
from app.core.entity_tags import ExpectedVersion, entity_tag
from app.core.pagination import Page, PageRequest, page_request
from app.resources import service
from app.resources.models import Resource
from app.resources.schemas import ResourceCreate, ResourceRead, ResourceUpdate

router = APIRouter(prefix="/v1/resources", tags=["resources"], route_class=GuardedRoute)


@router.post("", status_code=201, summary="Create a resource")
@requires("resources:create")
async def create_resource(
    session: TenantSession,
    principal: CurrentPrincipal,
    grant: CurrentGrant,
    response: Response,
    body: ResourceCreate,
) -> ResourceRead:
    resource = await service.create_resource(session, principal, grant, name=body.name, data=body.data)
    response.headers["Location"] = f"{router.prefix}/{resource.id}"
    return _read(response, resource)


@router.get("", summary="List resources")
@requires("resources:read")
async def list_resources(
    session: TenantSession,
    tenant: CurrentTenant,
    grant: CurrentGrant,
    cursors: Cursors,
    page: Annotated[PageRequest, Depends(page_request)],
) -> Page[ResourceRead]:
    """Newest first, and only what you may read."""
    rows, next_cursor = await service.list_resources(
        session, grant, page, cursors=cursors, tenant_id=tenant.id
    )
    return Page(items=[ResourceRead.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{resource_id}", summary="Read a resource")
@requires("resources:read")
async def read_resource(
    session: TenantSession, grant: CurrentGrant, response: Response, resource_id: UUID
) -> ResourceRead:
    return _read(response, await service.get_resource(session, grant, resource_id))


@router.patch("/{resource_id}", summary="Change a resource")
@requires("resources:update")
async def update_resource(
    *,
    session: TenantSession,
    grant: CurrentGrant,
    response: Response,
    resource_id: UUID,
    expected_version: ExpectedVersion,
    body: ResourceUpdate,
) -> ResourceRead:
    """With `If-Match`, only if nobody changed it since: otherwise 412."""
    changes = body.model_dump(exclude_none=True)
    resource = await service.update_resource(
        session, grant, resource_id, changes, expected_version=expected_version
    )
    return _read(response, resource)


@router.delete("/{resource_id}", status_code=204, summary="Delete a resource")
@requires("resources:delete")
async def delete_resource(
    session: TenantSession, grant: CurrentGrant, resource_id: UUID, expected_version: ExpectedVersion
) -> None:
    """With `If-Match`, only if nobody changed it since: otherwise 412."""
    await service.delete_resource(session, grant, resource_id, expected_version=expected_version)


def _read(response: Response, resource: Resource) -> ResourceRead:
    response.headers["ETag"] = entity_tag(resource.version)
    return ResourceRead.model_validate(resource)
