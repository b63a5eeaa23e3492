"""Log in, refresh, log out: access tokens that live minutes, refresh tokens that are used once.

A refresh token is `rt_` and the base64url of the tenant's id and 32 random bytes; only its SHA-256 is
stored. Using one twice means that it was copied, so it ends every token of that login (RFC 9700, 4.14.2).
A login is over when any of its refresh tokens is revoked: who revokes them does not see one that is issued in
the same moment.
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.errors import InvalidCredentials, InvalidRefreshToken
from app.auth.models import RefreshToken
from app.auth.passwords import PasswordHasher
from app.auth.tokens import TokenCodec
from app.core.context import LoginRef, TenantRef
from app.core.database import TenantDatabases, utc_now
from app.core.ids import new_id
from app.tenants import TenantMoving, TenantRegistry
from app.users import service as users

TOKEN_PREFIX: Final = "rt_"  # noqa: S105  # marks the kind, is no secret
SECRET_BYTES: Final = 32

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in: int


class Sessions:
    """The login service. No database connection is held while a password is being hashed."""

    def __init__(
        self,
        *,
        databases: TenantDatabases,
        registry: TenantRegistry,
        hasher: PasswordHasher,
        codec: TokenCodec,
        refresh_ttl_seconds: int,
        access_ttl_seconds: int,
    ) -> None:
        self._databases = databases
        self._registry = registry
        self._hasher = hasher
        self._codec = codec
        self._refresh_ttl = timedelta(seconds=refresh_ttl_seconds)
        self._access_ttl_seconds = access_ttl_seconds

    async def log_in(self, slug: str, email: str, password: str) -> TokenPair:
        """Raises InvalidCredentials, after the same work, whatever it was that did not match."""
        tenant = await self._registry.read_by_slug(slug)
        credentials = None
        if tenant is not None and tenant.state == "active":
            _refuse_moving(tenant)
            async with self._databases.tenant(tenant) as session:
                credentials = await users.find_credentials(session, email)
        result = await self._hasher.verify(password, credentials.password_hash if credentials else None)
        if tenant is None or credentials is None or not result.valid:
            log.info("login_refused", tenant=slug if tenant else None)
            raise InvalidCredentials
        async with self._databases.tenant(tenant) as session:
            if not await users.record_login(session, credentials, new_hash=result.new_hash):
                raise InvalidCredentials
            login = LoginRef(new_id(), tenant.epoch)
            refresh_token = self._add_refresh_token(
                session,
                tenant.id,
                credentials.id,
                family_id=login.id,
                expires_at=utc_now() + self._refresh_ttl,
            )
        return self._pair(tenant, credentials.id, credentials.role, login, refresh_token)

    async def refresh(self, token: str) -> TokenPair:
        """Exchange a refresh token for a new pair; the family keeps the expiry its login gave it.

        Raises InvalidRefreshToken; a token used before also revokes its whole family.
        """
        tenant = await self._tenant_of(token)
        async with self._databases.tenant(tenant) as session:
            rotated = await self._rotate(session, tenant, token)
        # Refused after the block, so that the revocation of a copied family is committed.
        if rotated is None:
            raise InvalidRefreshToken
        user, login, refresh_token = rotated
        return self._pair(tenant, user.id, user.role, login, refresh_token)

    async def log_out(self, token: str) -> None:
        """End the login that a refresh token belongs to; an unknown token is already logged out."""
        try:
            tenant = await self._tenant_of(token)
        except InvalidRefreshToken:
            return
        async with self._databases.tenant(tenant) as session:
            stored = await self._lock(session, token)
            if stored is not None:
                await self._revoke_family(session, stored.family_id)

    async def _rotate(
        self, session: AsyncSession, tenant: TenantRef, token: str
    ) -> tuple[users.ActiveUser, LoginRef, str] | None:
        stored = await self._lock(session, token)
        if stored is None or stored.expires_at <= utc_now():
            return None
        if not await login_stands(session, stored.family_id):
            return None
        if stored.used_at is not None:
            await self._revoke_family(session, stored.family_id)
            log.warning("refresh_token_reused", tenant_id=str(tenant.id), user_id=str(stored.user_id))
            return None
        stored.used_at = utc_now()
        user = await users.find_active(session, stored.user_id)
        if user is None:
            return None
        refresh_token = self._add_refresh_token(
            session, tenant.id, user.id, family_id=stored.family_id, expires_at=stored.expires_at
        )
        return user, LoginRef(stored.family_id, tenant.epoch), refresh_token

    async def _tenant_of(self, token: str) -> TenantRef:
        tenant = await self._registry.read(_tenant_id_of(token))
        if tenant is None or tenant.state != "active":
            raise InvalidRefreshToken
        _refuse_moving(tenant)
        return tenant

    async def _lock(self, session: AsyncSession, token: str) -> RefreshToken | None:
        query = select(RefreshToken).where(RefreshToken.token_hash == _digest(token)).with_for_update()
        stored: RefreshToken | None = await session.scalar(query)
        return stored

    async def _revoke_family(self, session: AsyncSession, family_id: UUID) -> None:
        await session.execute(
            update(RefreshToken)
            .where(RefreshToken.family_id == family_id, RefreshToken.revoked_at.is_(None))
            .values(revoked_at=utc_now())
        )

    def _add_refresh_token(
        self, session: AsyncSession, tenant_id: UUID, user_id: UUID, *, family_id: UUID, expires_at: datetime
    ) -> str:
        material = tenant_id.bytes + secrets.token_bytes(SECRET_BYTES)
        token = TOKEN_PREFIX + urlsafe_b64encode(material).decode()
        session.add(
            RefreshToken(
                family_id=family_id, user_id=user_id, token_hash=_digest(token), expires_at=expires_at
            )
        )
        return token

    def _pair(
        self, tenant: TenantRef, user_id: UUID, role: str, login: LoginRef, refresh_token: str
    ) -> TokenPair:
        access_token = self._codec.issue(user_id, tenant.id, role, login=login)
        return TokenPair(access_token, refresh_token, self._access_ttl_seconds)


async def login_stands(session: AsyncSession, login_id: UUID) -> bool:
    """False when any of its refresh tokens is revoked, or there is none."""
    query = select(func.bool_and(RefreshToken.revoked_at.is_(None))).where(RefreshToken.family_id == login_id)
    return bool(await session.scalar(query))


def _refuse_moving(tenant: TenantRef) -> None:
    if tenant.moving:
        raise TenantMoving


def _tenant_id_of(token: str) -> UUID:
    try:
        material = urlsafe_b64decode(token.removeprefix(TOKEN_PREFIX).encode("ascii"))
    except (Base64Error, ValueError):
        raise InvalidRefreshToken from None
    if not token.startswith(TOKEN_PREFIX) or len(material) != 16 + SECRET_BYTES:
        raise InvalidRefreshToken
    return UUID(bytes=material[:16])


def _digest(token: str) -> bytes:
    # 32 random bytes need no slow hash.
    return hashlib.sha256(token.encode()).digest()
