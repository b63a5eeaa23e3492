"""Operators over HTTP: log in, who am I, the trail, and acting as a user of a tenant."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from app.access import GuardedRoute, operators_only, public
from app.core.dependencies import Cursors
from app.core.pagination import Page, PageRequest, page_request
from app.operators import service, trail
from app.operators.dependencies import CurrentAction, CurrentOperator, OperatorSession
from app.operators.impersonation import Impersonation, Impersonations
from app.operators.schemas import (
    ImpersonationRequest,
    ImpersonationTokenResponse,
    OperatorActionRead,
    OperatorLoginRequest,
    OperatorRead,
    OperatorTokenResponse,
)
from app.operators.sessions import OperatorSessions

router = APIRouter(prefix="/v1/operators", tags=["operators"], route_class=GuardedRoute)
impersonations_router = APIRouter(
    prefix="/v1/tenants/{tenant_id}/impersonations", tags=["operators"], route_class=GuardedRoute
)


@router.post(
    "/login",
    summary="Log in as an operator of the platform",
    responses={401: {"description": "Email or password is wrong."}},
)
@public
async def log_in(request: Request, response: Response, body: OperatorLoginRequest) -> OperatorTokenResponse:
    """Answers 401 in the same way, and after the same work, for an unknown operator and a wrong password."""
    sessions: OperatorSessions = request.app.state.operator_sessions
    token = await sessions.log_in(
        body.email, body.password.get_secret_value(), correlation_id=request.state.correlation_id
    )
    response.headers["Cache-Control"] = "no-store"
    return OperatorTokenResponse(access_token=token.access_token, expires_in=token.expires_in)


@router.get("/me", summary="Which operator am I?")
@operators_only()
async def read_me(session: OperatorSession, operator: CurrentOperator) -> OperatorRead:
    return OperatorRead.model_validate(await service.get_operator(session, operator.id))


@router.get("/actions", summary="Read the trail of the platform")
@operators_only()
async def list_actions(
    session: OperatorSession,
    cursors: Cursors,
    page: Annotated[PageRequest, Depends(page_request)],
    tenant_id: Annotated[UUID | None, Query(description="Only what concerns this tenant.")] = None,
) -> Page[OperatorActionRead]:
    """Newest first."""
    rows, next_cursor = await trail.list_actions(session, page, cursors=cursors, tenant_id=tenant_id)
    return Page(items=[OperatorActionRead.model_validate(row) for row in rows], next_cursor=next_cursor)


@impersonations_router.post(
    "",
    status_code=201,
    summary="Act as a user of a tenant for some minutes",
    responses={409: {"description": "The tenant or the user is not active."}},
)
@operators_only(action="impersonations:create")
async def impersonate(
    request: Request, response: Response, tenant_id: UUID, body: ImpersonationRequest, action: CurrentAction
) -> ImpersonationTokenResponse:
    """Written into the platform's trail and into the tenant's, with the reason."""
    impersonations: Impersonations = request.app.state.impersonations
    asked = Impersonation(reason=body.reason, minutes=body.minutes, user_id=body.user_id, email=body.email)
    token = await impersonations.begin(action, tenant_id, asked)
    response.headers["Cache-Control"] = "no-store"
    return ImpersonationTokenResponse(
        access_token=token.access_token,
        expires_in=body.minutes * 60,
        expires_at=token.expires_at,
        user_id=token.user_id,
    )
