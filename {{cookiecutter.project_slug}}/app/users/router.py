"""People over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from app.access import CurrentRights, GuardedRoute, requires
from app.audit.dependencies import CurrentTrail
from app.core.dependencies import CurrentPrincipal, CurrentTenant, Cursors, Epochs, TenantSession
from app.core.entity_tags import ExpectedVersions, entity_tag
from app.core.pagination import Page, PageRequest, page_request
from app.users import membership, service
from app.users.errors import NotAUser
from app.users.models import User
from app.users.schemas import UserRead, UserUpdate

router = APIRouter(prefix="/v1/users", tags=["users"], route_class=GuardedRoute)


@router.get("", summary="List the people of the tenant")
@requires("users:read")
async def list_users(
    session: TenantSession,
    tenant: CurrentTenant,
    cursors: Cursors,
    page: Annotated[PageRequest, Depends(page_request)],
) -> Page[UserRead]:
    """Newest first."""
    rows, next_cursor = await service.list_users(session, page, cursors=cursors, tenant_id=tenant.id)
    return Page(items=[UserRead.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get(
    "/me", summary="Who am I?", responses={404: {"description": "The caller is an API key, and nobody."}}
)
@requires("profile:read")
async def read_profile(session: TenantSession, principal: CurrentPrincipal) -> UserRead:
    """The person behind the access token; an API key has no profile."""
    if principal.kind != "user":
        raise NotAUser
    return UserRead.model_validate(await service.get_user(session, principal.subject))


@router.get("/{user_id}", summary="Read one person")
@requires("users:read")
async def read_user(session: TenantSession, response: Response, user_id: UUID) -> UserRead:
    return _read(response, await service.get_user(session, user_id))


@router.patch(
    "/{user_id}",
    summary="Give a person another role, disable or enable them",
    responses={409: {"description": "It is the last active admin, or has not accepted the invitation."}},
)
@requires("users:update")
async def update_user(
    *,
    session: TenantSession,
    principal: CurrentPrincipal,
    rights: CurrentRights,
    epochs: Epochs,
    trail: CurrentTrail,
    response: Response,
    user_id: UUID,
    expected_versions: ExpectedVersions,
    body: UserUpdate,
) -> UserRead:
    """Acts on the person's next request. You need all that their role allows, and the new one too."""
    change = membership.Change(principal, rights, epochs, expected_versions, trail)
    user = await membership.update_user(session, change, user_id, role=body.role, state=body.state)
    return _read(response, user)


@router.delete(
    "/{user_id}",
    status_code=204,
    summary="Remove a person",
    responses={409: {"description": "It is the last active admin."}},
)
@requires("users:delete")
async def delete_user(
    *,
    session: TenantSession,
    principal: CurrentPrincipal,
    rights: CurrentRights,
    epochs: Epochs,
    trail: CurrentTrail,
    user_id: UUID,
    expected_versions: ExpectedVersions,
) -> None:
    """What they own stays, without an owner. You need all that their role allows."""
    change = membership.Change(principal, rights, epochs, expected_versions, trail)
    await membership.delete_user(session, change, user_id)


def _read(response: Response, user: User) -> UserRead:
    response.headers["ETag"] = entity_tag(user.version)
    return UserRead.model_validate(user)
