"""Log in, refresh, log out; the sessions of a person; and the public keys."""

import hashlib
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import JSONResponse

from app.access import GuardedRoute, personal, public, requires
from app.audit.dependencies import CurrentTrail
from app.audit.service import AuditTrail
from app.auth import service
from app.auth.password_changes import PasswordChanges
from app.auth.rotation import JWKS_MAX_AGE
from app.auth.schemas import JWKS, LoginRequest, PasswordChange, RefreshRequest, SessionRead, TokenResponse
from app.auth.sessions import Device, Sessions, TokenPair
from app.core.context import Principal
from app.core.database import on_commit
from app.core.dependencies import CurrentPrincipal, CurrentTenant, Cursors, Epochs, TenantSession
from app.core.entity_tags import is_known
from app.core.epochs import ChangeEpochs
from app.core.pagination import CursorCodec, Page, PageRequest, page_request
from app.users import service as users

router = APIRouter(prefix="/v1/auth", tags=["auth"], route_class=GuardedRoute)
people_router = APIRouter(prefix="/v1/users/{user_id}/sessions", tags=["auth"], route_class=GuardedRoute)
keys_router = APIRouter(tags=["auth"], route_class=GuardedRoute)


@router.post(
    "/login",
    summary="Log in with email and password",
    responses={401: {"description": "Tenant, email or password is wrong."}},
)
@public
async def log_in(request: Request, response: Response, body: LoginRequest) -> TokenResponse:
    """Answers 401 in the same way, and after the same work, for an unknown tenant or user and for a wrong
    password."""
    sessions: Sessions = request.app.state.sessions
    pair = await sessions.log_in(body.tenant, body.email, body.password.get_secret_value(), _device(request))
    return _token_response(response, pair)


@router.post(
    "/refresh",
    summary="Exchange a refresh token for a new pair",
    responses={401: {"description": "The refresh token is not valid, or was used."}},
)
@public
async def refresh(request: Request, response: Response, body: RefreshRequest) -> TokenResponse:
    """A refresh token works once. Sending one again ends the session, because somebody has a copy.

    Only within ten seconds it may be sent again, by a client that never got the answer.
    """
    sessions: Sessions = request.app.state.sessions
    return _token_response(response, await sessions.refresh(body.refresh_token, _device(request)))


@router.post("/logout", status_code=204, summary="End the session of a refresh token")
@public
async def log_out(request: Request, body: RefreshRequest) -> None:
    """Its access tokens are refused from the next request on."""
    sessions: Sessions = request.app.state.sessions
    await sessions.log_out(body.refresh_token)


@router.get("/sessions", summary="List the sessions of your account")
@personal
async def list_sessions(
    session: TenantSession,
    principal: CurrentPrincipal,
    cursors: Cursors,
    page: Annotated[PageRequest, Depends(page_request)],
) -> Page[SessionRead]:
    """Newest first. Device and address are what the client said of itself when it was last used."""
    return await _page_of_sessions(session, principal, principal.subject, page, cursors)


@router.delete("/sessions/{session_id}", status_code=204, summary="End a session of your account")
@personal
async def end_session(
    session: TenantSession,
    principal: CurrentPrincipal,
    trail: CurrentTrail,
    epochs: Epochs,
    session_id: UUID,
) -> None:
    """Its access tokens are refused from the next request on."""
    await service.end_session(session, session_id, user_id=principal.subject)
    on_commit(session, partial(epochs.principal_changed, principal.tenant_id, principal.subject))
    await trail.record(session, "auth.session_ended", target_kind="session", target_id=session_id)


@router.delete("/sessions", status_code=204, summary="Log out everywhere")
@personal
async def end_sessions(
    session: TenantSession,
    principal: CurrentPrincipal,
    trail: CurrentTrail,
    epochs: Epochs,
    keep_current: Annotated[bool, Query(description="Leave the session that asks.")] = False,
) -> None:
    """Every access token of your account is refused from the next request on."""
    keep = principal.session_id if keep_current else None
    await _end_all(session, principal, principal.subject, trail, epochs, but=keep)


@router.post(
    "/password",
    status_code=204,
    summary="Change your password",
    responses={
        403: {"description": "The current password is wrong."},
        422: {"description": "The new password is not acceptable."},
        429: {"description": "Too many wrong passwords; wait as long as Retry-After says."},
    },
)
@personal
async def change_password(
    request: Request, tenant: CurrentTenant, principal: CurrentPrincipal, body: PasswordChange
) -> None:
    """Ends all other sessions of your account. A wrong current password counts as a failed login."""
    passwords: PasswordChanges = request.app.state.passwords
    await passwords.change(
        tenant,
        principal,
        current=body.current_password.get_secret_value(),
        new=body.new_password.get_secret_value(),
    )


@people_router.get("", summary="List the sessions of a person")
@requires("sessions:read")
async def list_sessions_of(
    *,
    session: TenantSession,
    principal: CurrentPrincipal,
    cursors: Cursors,
    page: Annotated[PageRequest, Depends(page_request)],
    user_id: UUID,
) -> Page[SessionRead]:
    """Newest first."""
    await users.get_user(session, user_id)
    return await _page_of_sessions(session, principal, user_id, page, cursors)


@people_router.delete("", status_code=204, summary="Log a person out everywhere")
@requires("sessions:delete")
async def end_sessions_of(
    session: TenantSession, principal: CurrentPrincipal, trail: CurrentTrail, epochs: Epochs, user_id: UUID
) -> None:
    """Every access token of the person is refused from the next request on."""
    await users.get_user(session, user_id)
    await _end_all(session, principal, user_id, trail, epochs)


class JWKSResponse(JSONResponse):
    """RFC 7517, section 8.5.1."""

    media_type = "application/jwk-set+json"


@keys_router.get(
    "/.well-known/jwks.json",
    summary="Public keys that verify access tokens",
    response_class=JWKSResponse,
    response_model=JWKS,
    responses={304: {"description": "You have these keys already."}},
)
@public
async def jwks(request: Request) -> Response:
    """RFC 7517. Cache for as long as Cache-Control says; a key is published before it signs."""
    answer = JWKSResponse(request.app.state.key_ring.jwks())
    tag = f'"{hashlib.sha256(answer.body).hexdigest()}"'
    headers = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE.total_seconds():.0f}", "ETag": tag}
    if is_known(tag, request.headers.get("if-none-match")):
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer


async def _page_of_sessions(
    session: AsyncSession, principal: Principal, user_id: UUID, page: PageRequest, cursors: CursorCodec
) -> Page[SessionRead]:
    rows, next_cursor = await service.list_sessions(
        session, user_id, page, cursors=cursors, tenant_id=principal.tenant_id
    )
    items = [
        SessionRead.model_validate(row).model_copy(update={"current": row.id == principal.session_id})
        for row in rows
    ]
    return Page(items=items, next_cursor=next_cursor)


async def _end_all(
    session: AsyncSession,
    principal: Principal,
    user_id: UUID,
    trail: AuditTrail,
    epochs: ChangeEpochs,
    *,
    but: UUID | None = None,
) -> None:
    ended = await service.end_sessions(session, user_id, but=but)
    on_commit(session, partial(epochs.principal_changed, principal.tenant_id, user_id))
    await trail.record(
        session, "auth.sessions_ended", target_kind="user", target_id=user_id, details={"sessions": ended}
    )


def _device(request: Request) -> Device:
    return Device.of(request.headers.get("user-agent", ""), request.state.client_address)


def _token_response(response: Response, pair: TokenPair) -> TokenResponse:
    response.headers["Cache-Control"] = "no-store"
    return TokenResponse(
        access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in
    )
