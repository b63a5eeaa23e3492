"""An operator acts as a user of a tenant: for minutes, for a stated reason, and written into both trails.

What is handed out is an access token of the tenant with an `act` claim (RFC 8693, section 4.1). There is no
refresh token: who needs longer asks again, and that is recorded again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import service as audit
from app.auth.tokens import Actor, TokenCodec
from app.core.context import TenantRef
from app.core.database import Database, TenantDatabases, utc_now
from app.operators.trail import PendingAction
from app.tenants import TenantMoving, TenantRegistry
from app.tenants.errors import TenantNotFound, TenantStateConflict
from app.users import service as users
from app.users.errors import UserNotFound


@dataclass(frozen=True, slots=True)
class Impersonation:
    """What was asked for: exactly one of `user_id` and `email` names the user."""

    reason: str
    minutes: int
    user_id: UUID | None
    email: str | None


@dataclass(frozen=True, slots=True)
class ImpersonationToken:
    access_token: str
    expires_at: datetime
    user_id: UUID


class Impersonations:
    """Issues the tokens, once both trails have the row."""

    def __init__(
        self, *, platform: Database, databases: TenantDatabases, registry: TenantRegistry, codec: TokenCodec
    ) -> None:
        self._platform = platform
        self._databases = databases
        self._registry = registry
        self._codec = codec

    async def begin(self, action: PendingAction, tenant_id: UUID, asked: Impersonation) -> ImpersonationToken:
        """Raises TenantNotFound, TenantStateConflict, TenantMoving, and UserNotFound for a disabled user too.

        The platform's row is committed first: when the tenant's cannot be written, there is a row too many
        and no token, never the other way round.
        """
        tenant = await self._active_tenant(tenant_id)
        async with self._databases.tenant(tenant) as session:
            user = await self._find(session, asked)
        now = utc_now()
        ttl = timedelta(minutes=asked.minutes)
        details = {
            "reason": asked.reason,
            "minutes": asked.minutes,
            "expires_at": (now + ttl).isoformat(timespec="seconds"),
        }
        async with self._platform.platform() as session:
            await action.record(session, tenant_id=tenant.id, target=str(user.id), details=details)
        async with self._databases.tenant(tenant) as session:
            await audit.record(
                session,
                actor_kind="operator",
                actor_id=action.operator.id,
                action=action.action,
                target_kind="user",
                target_id=str(user.id),
                correlation_id=action.correlation_id,
                details=details,
            )
        actor = Actor(action.operator.id, action.operator.epoch)
        token = self._codec.issue(user.id, tenant.id, user.role, now, ttl=ttl, actor=actor)
        return ImpersonationToken(token, (now + ttl).replace(microsecond=0), user.id)

    async def _active_tenant(self, tenant_id: UUID) -> TenantRef:
        tenant = await self._registry.read(tenant_id)
        if tenant is None:
            raise TenantNotFound
        if tenant.state != "active":
            raise TenantStateConflict(f"Nobody can act in it while it is {tenant.state}.")
        if tenant.moving:
            raise TenantMoving
        return tenant

    async def _find(self, session: AsyncSession, asked: Impersonation) -> users.ActiveUser:
        if asked.user_id is not None:
            user = await users.find_active(session, asked.user_id)
        else:
            user = await users.find_active_by_email(session, asked.email or "")
        if user is None:
            raise UserNotFound
        return user
