"""Deletes a tenant for good, in recorded steps, and proves that nothing of it is left."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

from redis.asyncio import Redis
from sqlalchemy import Row, and_, delete, func, or_, select, text, update
from sqlalchemy import exists as exists_row
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.database import utc_now
from app.core.routing import PLATFORM_SCHEMA
from app.tenants import operations
from app.tenants.creation import Record, find_tenant, write_record
from app.tenants.errors import TenantStateConflict
from app.tenants.fencing import await_writers
from app.tenants.models import OperationKind, Tenant, TenantOperation, TenantState
from app.tenants.operations import OperationRef, Step, tenant_locked
from app.tenants.placements import OwnerDatabases
from app.tenants.schema import drop_schema, end_sessions, exists, refuse_logins

# What is kept of a purged tenant: that it was, and what operators did to it.
KEPT_TABLES: Final = frozenset({"tenants", "operator_actions"})
CLOSE: Final = "close"


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a tenant, counted where it could be."""

    schemas: int
    roles: int
    sessions: int
    rows: Mapping[str, int]
    cache_keys: int

    @property
    def none(self) -> bool:
        return not self.findings()

    def findings(self) -> list[str]:
        """What is left in words, each with what to do about it."""
        counted = [
            (self.schemas, "schema", "look into the server's log for what held it, then purge again"),
            (
                self.roles,
                "role",
                "it has rights in another database of that server: DROP OWNED BY it there, then purge again",
            ),
            (
                self.sessions,
                "session in PostgreSQL that is logged in as the tenant",
                "end it with pg_terminate_backend, then purge again",
            ),
            *(
                (rows, f"row in {PLATFORM_SCHEMA}.{table}", "purge again, when what wrote it has ended")
                for table, rows in self.rows.items()
            ),
            (
                self.cache_keys,
                "key in Redis",
                "purge again; if it returns, a process still serves the tenant: restart that",
            ),
        ]
        return [f"{count} × {what} ({advice})" for count, what, advice in counted if count]


class Purge:
    """Purges with the logins that own the databases."""

    def __init__(self, owners: OwnerDatabases, redis: Redis) -> None:
        self._owners = owners
        self._redis = redis

    async def due(self) -> Sequence[UUID]:
        """The tenants whose grace is over; among them those whose purge was interrupted."""
        begun = exists_row().where(
            TenantOperation.tenant_id == Tenant.id,
            TenantOperation.kind == OperationKind.PURGE,
            TenantOperation.state.in_(operations.UNFINISHED),
        )
        grace_is_over = and_(Tenant.state == TenantState.DELETING, Tenant.purge_after <= func.now())
        query = select(Tenant.id).where(or_(grace_is_over, begun)).order_by(Tenant.id)
        async with self._owners.registry.connect() as connection:
            return (await connection.scalars(query)).all()

    async def run(
        self, tenant_id: UUID, *, before_grace_ends: bool = False, record: Record | None = None
    ) -> Remains:
        """Delete schema, role, rows and cached keys; resumes where it was interrupted.

        Returns what a search finds afterwards, which should be nothing. Only the registry row stays, without
        a name and with its slug given back. Of a tenant that was purged it deletes what has come back since.
        Raises TenantNotFound, TenantStateConflict, OperationInProgress, SchemaChangeFailed.
        """
        async with tenant_locked(self._owners.registry, tenant_id) as connection:
            tenant = await find_tenant(connection, tenant_id)
            if tenant.state != TenantState.DELETED or await _is_unfinished(connection, tenant_id):
                operation = await self._begin(
                    connection, tenant, before_grace_ends=before_grace_ends, record=record
                )
                await operations.run(connection, operation, self._steps(tenant))
            else:
                await self._repeat(connection, tenant)
            async with connection.begin():
                await connection.execute(
                    delete(TenantOperation).where(TenantOperation.tenant_id == tenant_id)
                )
        return await self.remains(tenant_id, tenant.placement)

    async def remains(self, tenant_id: UUID, placement: str) -> Remains:
        """Search the databases and Redis for anything that belongs to a tenant, but its registry row."""
        schema, schemas, roles, sessions = tenant_schema(tenant_id), 0, 0, 0
        for name in {DEFAULT_PLACEMENT, placement}:
            engine = self._owners.registry if name == DEFAULT_PLACEMENT else self._owners.of(name)
            async with engine.connect() as placed:
                schemas += int(await exists(placed, schema))
                query = text("SELECT count(*) FROM pg_roles WHERE rolname = :name")
                roles += int(await placed.scalar(query, {"name": schema}) or 0)
                query = text("SELECT count(*) FROM pg_stat_activity WHERE usename = :name")
                sessions += int(await placed.scalar(query, {"name": schema}) or 0)
        async with self._owners.registry.connect() as connection:
            rows = {
                table: await _count(connection, table, tenant_id)
                for table in await _tables_with_tenants(connection)
            }
        keys = [key async for key in self._keys(tenant_id)]
        return Remains(schemas, roles, sessions, rows, len(keys))

    async def _begin(
        self, connection: AsyncConnection, tenant: Row[Any], *, before_grace_ends: bool, record: Record | None
    ) -> OperationRef:
        async with connection.begin():
            operation = await operations.unfinished(connection, tenant.id)
            if operation is not None and operation.kind != OperationKind.PURGE:
                raise TenantStateConflict(f"Its {operation.kind} is unfinished; resume or cancel that first.")
            if operation is not None:
                operation = await operations.take_up(connection, tenant.id, OperationKind.PURGE)
                await write_record(connection, tenant.id, record)
                return operation
            if tenant.state != TenantState.DELETING:
                raise TenantStateConflict("Delete it first; its data is then kept for the grace.")
            if not before_grace_ends and (tenant.purge_after is None or tenant.purge_after > utc_now()):
                raise TenantStateConflict(f"Its grace ends at {tenant.purge_after}.")
            operation = await operations.start(
                connection, tenant.id, OperationKind.PURGE, first_step="logins", parameters={}
            )
            await write_record(connection, tenant.id, record)
            return operation

    async def _repeat(self, connection: AsyncConnection, tenant: Row[Any]) -> None:
        """Every step but the one that closes the tenant, which is closed."""
        for step in self._steps(tenant):
            if step.name != CLOSE:
                async with connection.begin():
                    await step.run(connection)

    def _steps(self, tenant: Row[Any]) -> list[Step]:
        return [
            Step("logins", partial(self._refuse_logins, tenant)),
            Step("schema", partial(self._drop, tenant)),
            Step("rows", partial(_delete_rows, tenant.id)),
            Step(CLOSE, partial(_leave_trace, tenant.id)),
            Step("cache", partial(self._forget, tenant.id)),
            Step("sweep", partial(_sweep, tenant.id)),
        ]

    async def _refuse_logins(self, tenant: Row[Any], registry: AsyncConnection) -> None:
        """Committed before the sessions are ended, so that none begins again meanwhile."""
        schema = tenant_schema(tenant.id)
        if tenant.placement != DEFAULT_PLACEMENT:
            async with self._owners.of(tenant.placement).begin() as placed:
                await refuse_logins(placed, schema)
        else:
            await refuse_logins(registry, schema)

    async def _drop(self, tenant: Row[Any], registry: AsyncConnection) -> None:
        schema = tenant_schema(tenant.id)
        if tenant.placement != DEFAULT_PLACEMENT:
            async with self._owners.of(tenant.placement).begin() as placed:
                await end_sessions(placed, schema)
                await drop_schema(placed, schema)
        await end_sessions(registry, schema)
        await drop_schema(registry, schema)

    async def _forget(self, tenant_id: UUID, _registry: AsyncConnection) -> None:
        async for key in self._keys(tenant_id):
            await self._redis.delete(key)

    def _keys(self, tenant_id: UUID) -> AsyncIterator[bytes]:
        keys: AsyncIterator[bytes] = self._redis.scan_iter(match=f"*{tenant_id.hex}*", count=1000)
        return keys


async def forget(connection: AsyncConnection, tenant_id: UUID, *, keep_trace: bool) -> None:
    """Delete a tenant's rows of the shared tables, and its registry row or what that says."""
    await _delete_rows(tenant_id, connection)
    await connection.execute(delete(TenantOperation).where(TenantOperation.tenant_id == tenant_id))
    if keep_trace:
        await _leave_trace(tenant_id, connection)
    else:
        await connection.execute(delete(Tenant).where(Tenant.id == tenant_id))


async def _delete_rows(tenant_id: UUID, registry: AsyncConnection) -> None:
    for table in await _tables_with_tenants(registry):
        if table != TenantOperation.__tablename__:
            await registry.execute(
                text(f"DELETE FROM {PLATFORM_SCHEMA}.{table} WHERE tenant_id = :id"),  # noqa: S608
                {"id": tenant_id},
            )


async def _leave_trace(tenant_id: UUID, registry: AsyncConnection) -> None:
    """That there was a tenant with this id, and no more."""
    slug = f"deleted-{tenant_id.hex}"
    # Nobody can claim such a slug, but somebody may have, before they were reserved.
    others = select(Tenant.id).where(Tenant.slug == slug, Tenant.id != tenant_id)
    if await registry.scalar(others) is not None:
        slug = f"deleted-{uuid4().hex}"
    await registry.execute(
        update(Tenant)
        .where(Tenant.id == tenant_id)
        .values(
            state=TenantState.DELETED,
            slug=slug,
            name="deleted",
            revision=None,
            purge_after=None,
            suspended_at=None,
            state_changed_at=func.now(),
            epoch=Tenant.epoch + 1,
        )
    )


async def _sweep(tenant_id: UUID, registry: AsyncConnection) -> None:
    """Waits for writers that began before the tenant was closed; later ones see that it is."""
    tables = await _tables_with_tenants(registry)
    await await_writers(registry, [f"{PLATFORM_SCHEMA}.{table}" for table in tables])
    await _delete_rows(tenant_id, registry)


async def _is_unfinished(connection: AsyncConnection, tenant_id: UUID) -> bool:
    async with connection.begin():
        return await operations.unfinished(connection, tenant_id) is not None


async def _count(connection: AsyncConnection, table: str, tenant_id: UUID) -> int:
    query = text(f"SELECT count(*) FROM {PLATFORM_SCHEMA}.{table} WHERE tenant_id = :id")  # noqa: S608
    return int(await connection.scalar(query, {"id": tenant_id}) or 0)


async def _tables_with_tenants(connection: AsyncConnection) -> list[str]:
    """Every platform table with rows of tenants, but those that are kept; found in the catalog."""
    query = text(
        "SELECT c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind IN ('r', 'p')"
        " AND NOT c.relispartition AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY 1"
    )
    names = (await connection.scalars(query, {"schema": PLATFORM_SCHEMA})).all()
    return [name for name in names if name not in KEPT_TABLES]
