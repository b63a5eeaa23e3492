"""Log in, refresh, log out, and the public keys."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from starlette.responses import JSONResponse

from app.access import GuardedRoute, public
from app.auth.rotation import JWKS_MAX_AGE
from app.auth.schemas import JWKS, LoginRequest, RefreshRequest, TokenResponse
from app.auth.sessions import Sessions, TokenPair
from app.core.entity_tags import is_known

router = APIRouter(prefix="/v1/auth", tags=["auth"], route_class=GuardedRoute)
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
    pair = await sessions.log_in(body.tenant, body.email, body.password.get_secret_value())
    return _token_response(response, pair)


@router.post(
    "/refresh",
    summary="Exchange a refresh token for a new pair",
    responses={401: {"description": "The refresh token is not valid, or was used."}},
)
@public
async def refresh(request: Request, response: Response, body: RefreshRequest) -> TokenResponse:
    """A refresh token works once. Sending one again ends the whole login, because somebody has a copy."""
    sessions: Sessions = request.app.state.sessions
    return _token_response(response, await sessions.refresh(body.refresh_token))


@router.post("/logout", status_code=204, summary="End a login")
@public
async def log_out(request: Request, body: RefreshRequest) -> None:
    """Revokes every refresh token of the login. Access tokens run out by themselves within minutes."""
    sessions: Sessions = request.app.state.sessions
    await sessions.log_out(body.refresh_token)


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
async def jwks(request: Request, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """RFC 7517. Cache for as long as Cache-Control says; a key is published before it signs."""
    answer = JWKSResponse(request.app.state.key_ring.jwks())
    tag = f'"{hashlib.sha256(answer.body).hexdigest()}"'
    headers = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE.total_seconds():.0f}", "ETag": tag}
    if is_known(tag, if_none_match):
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer


def _token_response(response: Response, pair: TokenPair) -> TokenResponse:
    response.headers["Cache-Control"] = "no-store"
    return TokenResponse(
        access_token=pair.access_token, refresh_token=pair.refresh_token, expires_in=pair.expires_in
    )
