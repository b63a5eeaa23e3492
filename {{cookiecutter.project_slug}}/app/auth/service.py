"""API keys and sessions of one tenant: make, list, end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import service as audit
from app.auth import api_key_format
from app.auth.api_key_format import GeneratedKey
from app.auth.errors import SessionNotFound
from app.auth.models import APIKey, OneTimeToken, UserSession
from app.core.database import utc_now
from app.core.pagination import CursorCodec, PageRequest, fetch_page


def new_api_key(brand: str, *, live: bool, tenant_id: UUID, key_id: UUID) -> GeneratedKey:
    """A key in plain text, to be shown once, and the parts of it that are stored."""
    return api_key_format.generate(brand, live=live, tenant_id=tenant_id, key_id=key_id)


async def add_api_key(
    session: AsyncSession,
    *,
    key_id: UUID,
    name: str,
    display_prefix: str,
    secret_hash: str,
    role: str,
    created_by: UUID | None,
    scopes: list[str] | None = None,
    expires_at: datetime | None = None,
) -> APIKey:
    """Store a key whose secret the caller has hashed, off the event loop."""
    key = APIKey(
        id=key_id,
        name=name,
        display_prefix=display_prefix,
        secret_hash=secret_hash,
        role=role,
        scopes=scopes,
        created_by=created_by,
        expires_at=expires_at,
    )
    session.add(key)
    await session.flush()
    return key


@dataclass(frozen=True, slots=True)
class StoredKeyRights:
    """`refusal` says why the key opens nothing any more."""

    role: str
    scopes: tuple[str, ...] | None
    refusal: str | None


async def find_key_rights(session: AsyncSession, key_id: UUID) -> StoredKeyRights | None:
    """What gives a key its rights; None when there is no such key."""
    query = select(APIKey.role, APIKey.scopes, APIKey.revoked_at, APIKey.expires_at).where(
        APIKey.id == key_id
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    refusal = None
    if row.revoked_at is not None:
        refusal = "The API key is revoked."
    elif row.expires_at is not None and row.expires_at <= utc_now():
        refusal = "The API key has expired."
    return StoredKeyRights(row.role, None if row.scopes is None else tuple(row.scopes), refusal)


async def delete_api_keys(session: AsyncSession, *, name: str) -> None:
    """Remove the keys of this name."""
    await session.execute(delete(APIKey).where(APIKey.name == name))


async def session_stands(session: AsyncSession, session_id: UUID, *, user_id: UUID) -> bool:
    """False when it is not this person's, was ended, or expired."""
    query = select(UserSession.id).where(
        UserSession.id == session_id,
        UserSession.user_id == user_id,
        UserSession.ended_at.is_(None),
        UserSession.expires_at > utc_now(),
    )
    return await session.scalar(query) is not None


async def list_sessions(
    session: AsyncSession, user_id: UUID, request: PageRequest, *, cursors: CursorCodec, tenant_id: UUID
) -> tuple[Sequence[UserSession], str | None]:
    """Those of a person that stand, newest first."""
    standing = select(UserSession).where(
        UserSession.user_id == user_id, UserSession.ended_at.is_(None), UserSession.expires_at > utc_now()
    )
    return await fetch_page(
        session, standing, UserSession, request, cursors=cursors, tenant_id=tenant_id, collection="sessions"
    )


async def end_session(session: AsyncSession, session_id: UUID, *, user_id: UUID) -> None:
    """Raises SessionNotFound, also for somebody else's. The caller raises the person's epoch."""
    ended = update(UserSession).where(
        UserSession.id == session_id, UserSession.user_id == user_id, UserSession.ended_at.is_(None)
    )
    if await session.scalar(ended.values(ended_at=utc_now()).returning(UserSession.id)) is None:
        raise SessionNotFound


async def end_sessions(session: AsyncSession, user_id: UUID, *, but: UUID | None = None) -> int:
    """End all sessions of a person, or all but one; how many. The caller raises the person's epoch."""
    ended = update(UserSession).where(UserSession.user_id == user_id, UserSession.ended_at.is_(None))
    if but is not None:
        ended = ended.where(UserSession.id != but)
    rows = await session.scalars(ended.values(ended_at=utc_now()).returning(UserSession.id))
    return len(rows.all())


async def forget_expired_sessions(session: AsyncSession, user_id: UUID) -> None:
    """With their refresh tokens: until then each of those is known, so that its return is noticed."""
    await session.execute(
        delete(UserSession).where(UserSession.user_id == user_id, UserSession.expires_at < utc_now())
    )


async def void_one_time_tokens(session: AsyncSession, user_id: UUID) -> None:
    """No link that was mailed to a person before sets a password any more."""
    voided = update(OneTimeToken).where(OneTimeToken.user_id == user_id, OneTimeToken.used_at.is_(None))
    await session.execute(voided.values(used_at=utc_now()))


async def record_password_change(session: AsyncSession, user_id: UUID) -> None:
    """The row in the trail of the tenant."""
    await audit.record(
        session,
        actor_kind="user",
        actor_id=user_id,
        action="auth.password_changed",
        target_kind="user",
        target_id=str(user_id),
        correlation_id=structlog.contextvars.get_contextvars().get("correlation_id"),
    )


async def record_session(session: AsyncSession, action: str, *, user_id: UUID, session_id: UUID) -> None:
    """What somebody who is no principal yet did with a session of theirs, in the trail of the tenant."""
    await audit.record(
        session,
        actor_kind="user",
        actor_id=user_id,
        action=action,
        target_kind="session",
        target_id=str(session_id),
        correlation_id=structlog.contextvars.get_contextvars().get("correlation_id"),
    )
