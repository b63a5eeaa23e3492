"""People over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from app.access import GuardedRoute, requires
from app.core.dependencies import CurrentPrincipal, CurrentTenant, Cursors, TenantSession
from app.core.pagination import Page, PageRequest, page_request
from app.users import service
from app.users.errors import NotAUser
from app.users.schemas import UserRead

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
async def read_user(session: TenantSession, user_id: UUID) -> UserRead:
    return UserRead.model_validate(await service.get_user(session, user_id))
