"""The API keys of one tenant: make, list, rotate, revoke. The session is already in the tenant."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import Rights, refuse_escalation
from app.audit.service import AuditTrail, snapshot
from app.auth.errors import (
    APIKeyNotFound,
    APIKeyNotRotatable,
    APIKeyOutlivesMaker,
    ExpiryInThePast,
    TooManyAPIKeys,
)
from app.auth.models import APIKey
from app.auth.service import add_api_key
from app.core.context import Principal
from app.core.database import on_commit, utc_now
from app.core.epochs import ChangeEpochs
from app.core.errors import Forbidden, Unauthorized
from app.core.pagination import CursorCodec, PageRequest, fetch_page

# Keys that work, in a tenant. Requests at the same moment may pass it by their number.
MAX_ACTIVE_KEYS: Final = 1_000
AUDITED_FIELDS: Final = ("name", "role", "scopes", "expires_at")


@dataclass(frozen=True, slots=True)
class HashedKey:
    """A new key, hashed before the transaction begins, so that no connection waits for bcrypt."""

    id: UUID
    plaintext: str = field(repr=False)
    display_prefix: str
    secret_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRights:
    """`scopes` narrow the role; None does not. A key without `expires_at` works until it is revoked."""

    role: str
    scopes: tuple[str, ...] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes a key, with which rights, and the trail that tells of it."""

    principal: Principal
    rights: Rights
    trail: AuditTrail


async def create_api_key(
    session: AsyncSession, maker: Maker, hashed: HashedKey, *, name: str, rights: KeyRights
) -> APIKey:
    """Raises UnknownRole, PrivilegeEscalation, APIKeyOutlivesMaker, ExpiryInThePast, TooManyAPIKeys, and
    Forbidden for an operator who acts as a user.
    """
    key = await _add(session, maker, hashed, name, rights)
    await maker.trail.record(
        session,
        "api_keys.create",
        target_kind="api_key",
        target_id=key.id,
        after=snapshot(key, AUDITED_FIELDS),
    )
    return key


async def list_api_keys(
    session: AsyncSession, request: PageRequest, *, cursors: CursorCodec, tenant_id: UUID
) -> tuple[Sequence[APIKey], str | None]:
    """Newest first, revoked and expired ones too."""
    return await fetch_page(
        session, select(APIKey), APIKey, request, cursors=cursors, tenant_id=tenant_id, collection="api_keys"
    )


async def get_api_key(session: AsyncSession, key_id: UUID) -> APIKey:
    """Raises APIKeyNotFound."""
    key = await session.get(APIKey, key_id)
    if key is None:
        raise APIKeyNotFound
    return key


async def rotate_api_key(
    session: AsyncSession,
    maker: Maker,
    hashed: HashedKey,
    key_id: UUID,
    *,
    overlap: timedelta,
    expires_at: datetime | None,
    epochs: ChangeEpochs,
) -> APIKey:
    """A successor with the name, role and scopes of a key, which works for `overlap` more and no longer than
    it would have. The successor expires when the key would have, unless `expires_at` says otherwise.

    Raises APIKeyNotFound, APIKeyNotRotatable, and what `create_api_key` raises.
    """
    old = await _lock(session, key_id)
    _refuse_ended(old)
    scopes = None if old.scopes is None else tuple(old.scopes)
    rights = KeyRights(old.role, scopes, expires_at or old.expires_at)
    key = await _add(session, maker, hashed, old.name, rights)
    ends = {"expires_at": func.least(APIKey.expires_at, func.now() + overlap)}
    await session.execute(
        update(APIKey)
        .where(APIKey.id == old.id)
        .values(replaced_by=key.id, **(ends if overlap else {"revoked_at": utc_now()}))
    )
    on_commit(session, partial(epochs.principal_changed, maker.principal.tenant_id, old.id))
    await maker.trail.record(
        session,
        "api_keys.rotate",
        target_kind="api_key",
        target_id=key.id,
        after=snapshot(key, AUDITED_FIELDS),
        details={"replaces": str(old.id), "overlap_seconds": int(overlap.total_seconds())},
    )
    return key


async def revoke_api_key(
    session: AsyncSession, principal: Principal, trail: AuditTrail, key_id: UUID, *, epochs: ChangeEpochs
) -> None:
    """Its next request is refused; its row stays. Safe to repeat. Raises APIKeyNotFound."""
    key = await _lock(session, key_id)
    # Told again too, in case that Redis did not hear of it.
    on_commit(session, partial(epochs.principal_changed, principal.tenant_id, key.id))
    if key.revoked_at is not None:
        trail.nothing_changed(session)
        return
    key.revoked_at = utc_now()
    await session.flush()
    await trail.record(session, "api_keys.revoke", target_kind="api_key", target_id=key.id)


async def _add(
    session: AsyncSession, maker: Maker, hashed: HashedKey, name: str, rights: KeyRights
) -> APIKey:
    principal = maker.principal
    if principal.actor_id is not None:
        raise Forbidden("An operator who acts as a user may not make API keys, which would outlast that.")
    await refuse_escalation(session, maker.rights, rights.role, rights.scopes)
    await _refuse_outliving(session, principal, rights.expires_at)
    await _refuse_too_many(session)
    try:
        return await add_api_key(
            session,
            key_id=hashed.id,
            name=name,
            display_prefix=hashed.display_prefix,
            secret_hash=hashed.secret_hash,
            role=rights.role,
            scopes=None if rights.scopes is None else list(rights.scopes),
            created_by=principal.subject if principal.kind == "user" else None,
            expires_at=rights.expires_at,
        )
    except IntegrityError as error:
        if "fk_api_keys_created_by_users" in str(error.orig):
            raise Unauthorized("The user of this token is gone.") from error
        if "expires_after_creation" in str(error.orig):
            raise ExpiryInThePast("Give a time in the future as `expires_at`.") from error
        raise


async def _refuse_outliving(session: AsyncSession, principal: Principal, expires_at: datetime | None) -> None:
    """Otherwise a key that was meant to end could make one that does not."""
    if principal.key_id is None:
        return
    end = await session.scalar(select(APIKey.expires_at).where(APIKey.id == principal.key_id))
    if end is not None and (expires_at is None or expires_at > end):
        raise APIKeyOutlivesMaker(f"Give an `expires_at` of at most {end.isoformat(timespec='seconds')}.")


async def _refuse_too_many(session: AsyncSession) -> None:
    active = (
        select(func.count())
        .select_from(APIKey)
        .where(APIKey.revoked_at.is_(None), or_(APIKey.expires_at.is_(None), APIKey.expires_at > func.now()))
    )
    if (await session.scalar(active) or 0) >= MAX_ACTIVE_KEYS:
        raise TooManyAPIKeys(f"That is {MAX_ACTIVE_KEYS}. Revoke some that are not used.")


def _refuse_ended(key: APIKey) -> None:
    if key.revoked_at is not None:
        raise APIKeyNotRotatable("It is revoked.")
    if key.replaced_by is not None:
        raise APIKeyNotRotatable(f"It was rotated; rotate its successor {key.replaced_by}.")
    if key.expires_at is not None and key.expires_at <= utc_now():
        raise APIKeyNotRotatable("It has expired.")


async def _lock(session: AsyncSession, key_id: UUID) -> APIKey:
    """Rotating and revoking the same key take turns."""
    query = select(APIKey).where(APIKey.id == key_id).with_for_update(key_share=True)
    key: APIKey | None = await session.scalar(query)
    if key is None:
        raise APIKeyNotFound
    return key
