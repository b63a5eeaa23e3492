"""API keys and logins of one tenant, for the other features that make or end them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth import api_key_format
from app.auth.api_key_format import GeneratedKey
from app.auth.models import APIKey, RefreshToken
from app.core.database import utc_now


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


async def delete_api_keys(session: AsyncSession, *, name: str) -> None:
    """Remove the keys of this name."""
    await session.execute(delete(APIKey).where(APIKey.name == name))


async def end_logins(session: AsyncSession, user_id: UUID) -> None:
    """Revoke the refresh tokens of a user. Access tokens end with the next epoch of the tenant."""
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.user_id == user_id, RefreshToken.revoked_at.is_(None))
        .values(revoked_at=utc_now())
    )
