"""Resources over HTTP. Another tenant's id is 404, because its row is in another schema."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from app.access import CurrentGrant, GuardedRoute, requires
from app.audit.dependencies import CurrentTrail
from app.core.dependencies import CurrentPrincipal, CurrentTenant, Cursors, TenantSession
from app.core.entity_tags import ExpectedVersions, KnownVersions, entity_tag
from app.core.pagination import Page, PageRequest, page_request
from app.resources import service
from app.resources.models import Resource
from app.resources.schemas import ResourceCreate, ResourceRead, ResourceUpdate

router = APIRouter(prefix="/v1/resources", tags=["resources"], route_class=GuardedRoute)


@router.post("", status_code=201, summary="Create a resource")
@requires("resources:create")
async def create_resource(
    *,
    session: TenantSession,
    principal: CurrentPrincipal,
    trail: CurrentTrail,
    grant: CurrentGrant,
    response: Response,
    body: ResourceCreate,
) -> ResourceRead:
    resource = await service.create_resource(session, principal, trail, grant, name=body.name, data=body.data)
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


@router.get(
    "/{resource_id}",
    summary="Read a resource",
    response_model=ResourceRead,
    responses={304: {"description": "It is as you have it."}},
)
@requires("resources:read")
async def read_resource(
    *,
    session: TenantSession,
    grant: CurrentGrant,
    response: Response,
    resource_id: UUID,
    known_versions: KnownVersions,
) -> ResourceRead | Response:
    """With `If-None-Match`, only if it changed since: otherwise 304."""
    resource = await service.get_resource(session, grant, resource_id)
    if known_versions is None or resource.version in known_versions:
        return Response(status_code=304, headers={"ETag": entity_tag(resource.version)})
    return _read(response, resource)


@router.patch("/{resource_id}", summary="Change a resource")
@requires("resources:update")
async def update_resource(
    *,
    session: TenantSession,
    trail: CurrentTrail,
    grant: CurrentGrant,
    response: Response,
    resource_id: UUID,
    expected_versions: ExpectedVersions,
    body: ResourceUpdate,
) -> ResourceRead:
    """With `If-Match`, only if nobody changed it since: otherwise 412."""
    changes = body.model_dump(exclude_none=True)
    resource = await service.update_resource(
        session, trail, grant, resource_id, changes, expected_versions=expected_versions
    )
    return _read(response, resource)


@router.delete("/{resource_id}", status_code=204, summary="Delete a resource")
@requires("resources:delete")
async def delete_resource(
    *,
    session: TenantSession,
    trail: CurrentTrail,
    grant: CurrentGrant,
    resource_id: UUID,
    expected_versions: ExpectedVersions,
) -> None:
    """With `If-Match`, only if nobody changed it since: otherwise 412."""
    await service.delete_resource(session, trail, grant, resource_id, expected_versions=expected_versions)


def _read(response: Response, resource: Resource) -> ResourceRead:
    response.headers["ETag"] = entity_tag(resource.version)
    return ResourceRead.model_validate(resource)
