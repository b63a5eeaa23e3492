"""Sessions: log in, refresh, list, end. Access tokens live minutes, refresh tokens are used once.

A refresh token is `rt_` and the base64url of the tenant's id and 32 random bytes; only its SHA-256 is
stored. Using one twice means that it was copied, so it ends the session (RFC 9700, 4.14.2); but for a few
seconds, in which a client that lost the answer, or two of its windows at once, may repeat the call.
"""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Self
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.errors import InvalidCredentials, InvalidRefreshToken
from app.auth.models import RefreshToken, UserSession
from app.auth.passwords import PasswordHasher
from app.auth.service import forget_expired_sessions, record_session
from app.auth.tokens import TokenCodec
from app.core.context import TenantRef
from app.core.database import TenantDatabases, on_commit, utc_now
from app.core.epochs import ChangeEpochs
from app.core.ids import new_id
from app.limits.failures import FailureThrottle
from app.tenants import TenantMoving, TenantRegistry
from app.users import service as users

TOKEN_PREFIX: Final = "rt_"  # noqa: S105  # marks the kind, is no secret
SECRET_BYTES: Final = 32
# A token that was used may be used again for so long, unless the token that came of it was used by then.
REPEAT_WINDOW: Final = timedelta(seconds=10)
MAX_USER_AGENT: Final = 300
MAX_ADDRESS: Final = 64

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Device:
    """What a session is shown by to its person: both are the client's own claim, so they prove nothing."""

    user_agent: str = ""
    address: str = ""

    @classmethod
    def of(cls, user_agent: str, address: str) -> Self:
        """Cut to what is stored, without what cannot be printed."""
        printable = "".join(character if character.isprintable() else " " for character in user_agent)
        return cls(printable[:MAX_USER_AGENT], address[:MAX_ADDRESS])


class Sessions:
    """The login service. No database connection is held while a password is being hashed."""

    def __init__(
        self,
        *,
        databases: TenantDatabases,
        registry: TenantRegistry,
        epochs: ChangeEpochs,
        throttle: FailureThrottle,
        hasher: PasswordHasher,
        codec: TokenCodec,
        refresh_ttl_seconds: int,
        idle_seconds: int,
        access_ttl_seconds: int,
    ) -> None:
        self._databases = databases
        self._registry = registry
        self._epochs = epochs
        self._throttle = throttle
        self._hasher = hasher
        self._codec = codec
        self._refresh_ttl = timedelta(seconds=refresh_ttl_seconds)
        self._idle = timedelta(seconds=idle_seconds)
        self._access_ttl_seconds = access_ttl_seconds

    async def log_in(self, slug: str, email: str, password: str, device: Device) -> TokenPair:
        """Raises InvalidCredentials, after the same work, whatever it was that did not match.

        Raises TooManyFailures when the account, which need not exist, is to wait.
        """
        account = (slug, users.normalize_email(email))
        await self._throttle.attempt(*account)
        tenant = await self._registry.read_by_slug(slug)
        credentials = None
        if tenant is not None and tenant.state == "active":
            _refuse_moving(tenant)
            async with self._databases.tenant(tenant) as session:
                credentials = await users.find_credentials(session, email)
        else:
            # As many trips as looking a person up, so that the clock does not tell which tenants there are.
            await self._registry.read_by_slug(slug)
        result = await self._hasher.verify(password, credentials.password_hash if credentials else None)
        if tenant is None or credentials is None or not result.valid:
            log.info("login_refused", tenant=slug if tenant else None)
            raise InvalidCredentials
        async with self._databases.tenant(tenant) as session:
            if not await users.record_login(session, credentials, new_hash=result.new_hash):
                raise InvalidCredentials
            await forget_expired_sessions(session, credentials.id)
            started = UserSession(
                id=new_id(),
                user_id=credentials.id,
                user_agent=device.user_agent,
                address=device.address,
                expires_at=utc_now() + self._refresh_ttl,
            )
            session.add(started)
            await session.flush()
            refresh_token = self._add_refresh_token(session, tenant.id, started)
            await record_session(session, "auth.login", user_id=credentials.id, session_id=started.id)
        await self._throttle.succeed(*account)
        return self._pair(tenant, credentials.id, credentials.role, started.id, refresh_token)

    async def refresh(self, token: str, device: Device) -> TokenPair:
        """Exchange a refresh token for a new pair; the session keeps the expiry its login gave it.

        Raises InvalidRefreshToken; a token that was used before also ends the session.
        """
        tenant = await self._tenant_of(token)
        async with self._databases.tenant(tenant) as session:
            rotated = await self._rotate(session, tenant, token, device)
        # Refused after the block, so that the end of a copied session is committed.
        if rotated is None:
            raise InvalidRefreshToken
        user, session_id, refresh_token = rotated
        return self._pair(tenant, user.id, user.role, session_id, refresh_token)

    async def log_out(self, token: str) -> None:
        """End the session that a refresh token belongs to; an unknown token is already logged out."""
        try:
            tenant = await self._tenant_of(token)
        except InvalidRefreshToken:
            return
        async with self._databases.tenant(tenant) as session:
            found = await self._lock(session, token)
            if found is not None:
                _, started = found
                await self._end(session, tenant, started, "auth.logout")

    async def _rotate(
        self, session: AsyncSession, tenant: TenantRef, token: str, device: Device
    ) -> tuple[users.ActiveUser, UUID, str] | None:
        found = await self._lock(session, token)
        if found is None:
            return None
        stored, started = found
        now = utc_now()
        if started.ended_at is not None or started.expires_at <= now or stored.revoked_at is not None:
            return None
        if now - started.last_used_at > self._idle:
            await self._end(session, tenant, started, "auth.session_idle")
            return None
        if stored.used_at is None:
            stored.used_at = now
        elif now - stored.used_at > REPEAT_WINDOW or await _has_moved_on(session, stored):
            await self._end(session, tenant, started, "auth.refresh_token_reused")
            log.warning("refresh_token_reused", tenant_id=str(tenant.id), user_id=str(stored.user_id))
            return None
        user = await users.find_active(session, stored.user_id)
        if user is None:
            return None
        started.last_used_at, started.user_agent, started.address = now, device.user_agent, device.address
        refresh_token = self._add_refresh_token(session, tenant.id, started, parent_id=stored.id)
        return user, started.id, refresh_token

    async def _tenant_of(self, token: str) -> TenantRef:
        tenant = await self._registry.read(_tenant_id_of(token))
        if tenant is None or tenant.state != "active":
            raise InvalidRefreshToken
        _refuse_moving(tenant)
        return tenant

    async def _lock(self, session: AsyncSession, token: str) -> tuple[RefreshToken, UserSession] | None:
        """The token and its session. Whoever else uses or ends the session waits."""
        query = (
            select(RefreshToken, UserSession)
            .join(UserSession, UserSession.id == RefreshToken.family_id)
            .where(RefreshToken.token_hash == _digest(token))
            .with_for_update()
        )
        row = (await session.execute(query)).one_or_none()
        return None if row is None else (row[0], row[1])

    async def _end(self, session: AsyncSession, tenant: TenantRef, started: UserSession, action: str) -> None:
        if started.ended_at is not None:
            return
        started.ended_at = utc_now()
        on_commit(session, partial(self._epochs.principal_changed, tenant.id, started.user_id))
        await record_session(session, action, user_id=started.user_id, session_id=started.id)

    def _add_refresh_token(
        self, session: AsyncSession, tenant_id: UUID, started: UserSession, *, parent_id: UUID | None = None
    ) -> str:
        material = tenant_id.bytes + secrets.token_bytes(SECRET_BYTES)
        token = TOKEN_PREFIX + urlsafe_b64encode(material).decode()
        session.add(
            RefreshToken(
                family_id=started.id,
                user_id=started.user_id,
                token_hash=_digest(token),
                expires_at=started.expires_at,
                parent_id=parent_id,
            )
        )
        return token

    def _pair(
        self, tenant: TenantRef, user_id: UUID, role: str, session_id: UUID, refresh_token: str
    ) -> TokenPair:
        access_token = self._codec.issue(user_id, tenant.id, role, session_id=session_id)
        return TokenPair(access_token, refresh_token, self._access_ttl_seconds)


async def _has_moved_on(session: AsyncSession, stored: RefreshToken) -> bool:
    """True when a token that was made from this one was used: then its client had received the answer."""
    child = select(RefreshToken.id).where(
        RefreshToken.parent_id == stored.id, RefreshToken.used_at.isnot(None)
    )
    return await session.scalar(child.limit(1)) is not None


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
