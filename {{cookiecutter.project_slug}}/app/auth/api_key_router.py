"""API keys over HTTP. Another tenant's id is 404, because its row is in another schema."""

from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from app.access import CurrentRights, GuardedRoute, requires
from app.audit.dependencies import CurrentTrail
from app.auth import api_keys
from app.auth.api_keys import HashedKey, KeyRights, Maker
from app.auth.models import APIKey
from app.auth.passwords import PasswordHasher
from app.auth.schemas import APIKeyCreate, APIKeyCreated, APIKeyRead, APIKeyRotate
from app.auth.service import new_api_key
from app.core.dependencies import (
    CurrentPrincipal,
    CurrentSettings,
    CurrentTenant,
    Cursors,
    Epochs,
    TenantSession,
)
from app.core.ids import new_id
from app.core.pagination import Page, PageRequest, page_request

CONFLICTS: Final = {"description": "The tenant has as many keys as it may have."}

router = APIRouter(prefix="/v1/api-keys", tags=["api-keys"], route_class=GuardedRoute)


def _maker(principal: CurrentPrincipal, rights: CurrentRights, trail: CurrentTrail) -> Maker:
    return Maker(principal, rights, trail)


async def _hashed_key(request: Request, tenant: CurrentTenant, settings: CurrentSettings) -> HashedKey:
    hasher: PasswordHasher = request.app.state.key_hasher
    key_id = new_id()
    key = new_api_key(
        settings.api_key_prefix, live=settings.is_production_like, tenant_id=tenant.id, key_id=key_id
    )
    return HashedKey(key_id, key.plaintext, key.display_prefix, await hasher.hash(key.secret))


# Named before the session, so that it is made before the transaction begins.
NewKey = Annotated[HashedKey, Depends(_hashed_key)]
CurrentMaker = Annotated[Maker, Depends(_maker)]


@router.post("", status_code=201, summary="Create an API key", responses={409: CONFLICTS})
@requires("api_keys:create")
async def create_api_key(
    *,
    hashed: NewKey,
    session: TenantSession,
    maker: CurrentMaker,
    response: Response,
    body: APIKeyCreate,
) -> APIKeyCreated:
    """The key is in this answer and nowhere else. It may do what its role allows, narrowed by its scopes;
    give none that allow more than you may do."""
    rights = KeyRights(body.role, body.scopes, body.expires_at)
    key = await api_keys.create_api_key(session, maker, hashed, name=body.name, rights=rights)
    return _created(response, key, hashed)


@router.get("", summary="List API keys")
@requires("api_keys:read")
async def list_api_keys(
    session: TenantSession,
    tenant: CurrentTenant,
    cursors: Cursors,
    page: Annotated[PageRequest, Depends(page_request)],
) -> Page[APIKeyRead]:
    """Newest first, with those that are revoked or expired."""
    rows, next_cursor = await api_keys.list_api_keys(session, page, cursors=cursors, tenant_id=tenant.id)
    return Page(items=[APIKeyRead.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{key_id}", summary="Read an API key")
@requires("api_keys:read")
async def read_api_key(session: TenantSession, key_id: UUID) -> APIKeyRead:
    return APIKeyRead.model_validate(await api_keys.get_api_key(session, key_id))


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    summary="Replace an API key",
    responses={409: {"description": "The key is revoked, expired or rotated, or the tenant has too many."}},
)
@requires("api_keys:rotate")
async def rotate_api_key(
    *,
    hashed: NewKey,
    session: TenantSession,
    maker: CurrentMaker,
    epochs: Epochs,
    response: Response,
    key_id: UUID,
    body: APIKeyRotate,
) -> APIKeyCreated:
    """Answers a new key with the same name, role and scopes. The old one works for `overlap_seconds` more."""
    key = await api_keys.rotate_api_key(
        session,
        maker,
        hashed,
        key_id,
        overlap=timedelta(seconds=body.overlap_seconds),
        expires_at=body.expires_at,
        epochs=epochs,
    )
    return _created(response, key, hashed)


@router.delete("/{key_id}", status_code=204, summary="Revoke an API key")
@requires("api_keys:revoke")
async def revoke_api_key(
    session: TenantSession, principal: CurrentPrincipal, trail: CurrentTrail, epochs: Epochs, key_id: UUID
) -> None:
    """Its next request is refused. It stays in the list; revoking it again changes nothing."""
    await api_keys.revoke_api_key(session, principal, trail, key_id, epochs=epochs)


def _created(response: Response, key: APIKey, hashed: HashedKey) -> APIKeyCreated:
    response.headers["Location"] = f"{router.prefix}/{key.id}"
    response.headers["Cache-Control"] = "no-store"
    read = APIKeyRead.model_validate(key)
    return APIKeyCreated(**read.model_dump(), api_key=hashed.plaintext)
