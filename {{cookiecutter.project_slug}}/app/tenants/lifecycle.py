"""What happens to a tenant after onboarding: suspended, resumed, given another plan or tier, deleted.

Each change raises the tenant's epoch in its own transaction and publishes it after the commit, so running
processes act on it with the tenant's next request.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import CursorResult, Row, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.core.context import tenant_schema
from app.core.database import utc_now
from app.core.epochs import epoch_key, publish_epoch
from app.tenants import operations
from app.tenants.creation import Record, find_tenant
from app.tenants.errors import TenantNotFound, TenantStateConflict
from app.tenants.models import Isolation, OperationKind, Plan, Tenant, TenantState
from app.tenants.operations import tenant_locked
from app.tenants.placements import OwnerDatabases
from app.tenants.schema import give_login, in_schema, take_login

LIVING: Final = (TenantState.ACTIVE, TenantState.SUSPENDED)

log = structlog.get_logger(__name__)


class Lifecycle:
    """Changes with the logins that own the databases. Raises TenantNotFound for an unknown id."""

    def __init__(self, owners: OwnerDatabases, redis: Redis, *, secret_key: str, grace_days: int) -> None:
        self._owners = owners
        self._redis = redis
        self._secret_key = secret_key
        self._grace = timedelta(days=grace_days)

    async def suspend(self, tenant_id: UUID, *, record: Record | None = None) -> None:
        """Refuse the tenant's requests from the next one on. Raises TenantStateConflict."""
        await self._change(
            tenant_id,
            {"state": TenantState.SUSPENDED, "state_changed_at": func.now(), "suspended_at": func.now()},
            allowed=(TenantState.ACTIVE,),
            record=record,
        )

    async def resume(self, tenant_id: UUID, *, record: Record | None = None) -> None:
        """Serve a suspended tenant again. Raises TenantStateConflict."""
        await self._change(
            tenant_id,
            {"state": TenantState.ACTIVE, "state_changed_at": func.now(), "suspended_at": None},
            allowed=(TenantState.SUSPENDED,),
            record=record,
        )

    async def change_plan(self, tenant_id: UUID, plan: Plan, *, record: Record | None = None) -> None:
        """Other limits from the next request on. Raises TenantStateConflict."""
        await self._change(tenant_id, {"plan": plan}, allowed=LIVING, record=record)

    async def rename(self, tenant_id: UUID, name: str, *, record: Record | None = None) -> None:
        """Another display name; the slug, by which people log in, stays. Raises TenantStateConflict."""
        await self._change(tenant_id, {"name": name}, allowed=LIVING, record=record)

    async def isolate(self, tenant_id: UUID, isolation: Isolation, *, record: Record | None = None) -> None:
        """Move the tenant to the tier with a login and pool of its own, or back. Safe to repeat.

        Open transactions of the other tier end as they began; new ones of it are refused by the database.
        Another database than the registry's is changed last, when nothing can be refused any more. Between
        the two commits the tenant is answered with 503, and a kill there leaves it so until this is repeated.
        Raises TenantStateConflict, OperationInProgress.
        """
        async with tenant_locked(self._owners.registry, tenant_id) as connection:
            placement = (await find_tenant(connection, tenant_id)).placement
            async with connection.begin():
                await operations.refuse_beside_unfinished(connection, tenant_id)
                epoch = await self._update(
                    connection, tenant_id, {"isolation": isolation}, allowed=LIVING, record=record
                )
                async with in_schema(self._owners, connection, placement, tenant_schema(tenant_id)) as placed:
                    await self._set_tier(placed, tenant_schema(tenant_id), isolation)
        await self._publish(tenant_id, epoch)

    async def dedicated(self) -> Sequence[Row[UUID, str]]:
        """Id and slug of every living tenant with a login of its own, by slug."""
        query = (
            select(Tenant.id, Tenant.slug)
            .where(Tenant.isolation == Isolation.DEDICATED, Tenant.state.in_(LIVING))
            .order_by(Tenant.slug)
        )
        async with self._owners.registry.connect() as connection:
            return (await connection.execute(query)).all()

    async def schedule_deletion(self, tenant_id: UUID, *, record: Record | None = None) -> datetime:
        """Refuse the tenant's requests and keep its data for the grace; returns when that ends.

        Raises TenantStateConflict.
        """
        purge_after = utc_now() + self._grace
        await self._change(
            tenant_id,
            {"state": TenantState.DELETING, "state_changed_at": func.now(), "purge_after": purge_after},
            allowed=LIVING,
            record=record,
        )
        return purge_after

    async def restore(self, tenant_id: UUID, *, record: Record | None = None) -> None:
        """Take a deletion back during the grace; a tenant that was suspended is suspended again.

        Raises TenantStateConflict, OperationInProgress.
        """
        state = case((Tenant.suspended_at.is_(None), TenantState.ACTIVE), else_=TenantState.SUSPENDED)
        async with tenant_locked(self._owners.registry, tenant_id) as connection, connection.begin():
            operation = await operations.unfinished(connection, tenant_id)
            if operation is not None and operation.kind == OperationKind.PURGE:
                raise TenantStateConflict("Its purge has begun, and cannot be taken back.")
            await operations.refuse_beside_unfinished(connection, tenant_id)
            epoch = await self._update(
                connection,
                tenant_id,
                {"state": state, "state_changed_at": func.now(), "purge_after": None},
                allowed=(TenantState.DELETING,),
                record=record,
            )
        await self._publish(tenant_id, epoch)

    async def _set_tier(self, connection: AsyncConnection, schema: str, isolation: Isolation) -> None:
        if isolation is Isolation.DEDICATED:
            await give_login(connection, schema, self._secret_key)
        else:
            await take_login(connection, schema)

    async def _change(
        self,
        tenant_id: UUID,
        values: Mapping[str, Any],
        *,
        allowed: Sequence[TenantState],
        record: Record | None,
    ) -> None:
        async with self._owners.registry.begin() as connection:
            epoch = await self._update(connection, tenant_id, values, allowed=allowed, record=record)
        await self._publish(tenant_id, epoch)

    async def _update(
        self,
        connection: AsyncConnection,
        tenant_id: UUID,
        values: Mapping[str, Any],
        *,
        allowed: Sequence[TenantState],
        record: Record | None,
    ) -> int:
        """One conditional statement, so that two changes at once cannot both pass the check."""
        result: CursorResult[Any] = await connection.execute(
            update(Tenant)
            .where(Tenant.id == tenant_id, Tenant.state.in_(allowed))
            .values(**values, epoch=Tenant.epoch + 1, updated_at=func.now())
            .returning(Tenant.epoch)
        )
        epoch: int | None = result.scalar_one_or_none()
        if epoch is None:
            state = await connection.scalar(select(Tenant.state).where(Tenant.id == tenant_id))
            if state is None:
                raise TenantNotFound
            raise TenantStateConflict(f"It is {state}; that needs {' or '.join(allowed)}.")
        if record is not None:
            async with AsyncSession(connection, expire_on_commit=False) as session:
                await record(session, tenant_id)
                await session.flush()
        return epoch

    async def _publish(self, tenant_id: UUID, epoch: int) -> None:
        await publish(self._redis, tenant_id, epoch)


async def publish(redis: Redis, tenant_id: UUID, epoch: int) -> None:
    """Tell running processes; without Redis the change acts when copies in memory expire, seconds later."""
    try:
        await publish_epoch(redis, tenant_id, epoch)
    except (RedisError, OSError) as error:
        log.warning("epoch_not_published", key=epoch_key(tenant_id), error=type(error).__name__)


async def announce(redis: Redis, connection: AsyncConnection, tenant_id: UUID) -> None:
    """Publish the epoch that the registry holds, outside of a transaction."""
    async with connection.begin():
        epoch = await connection.scalar(select(Tenant.epoch).where(Tenant.id == tenant_id))
    if epoch is not None:
        await publish(redis, tenant_id, epoch)
