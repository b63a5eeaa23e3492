"""Moves a tenant to another placement: writes pause for as long as the copy takes, reads go on.

Before the switch any failure is undone; after it only the old copy is left to drop. Writers are kept out by
the source database itself, so a process that has not heard of the move loses nothing either.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from redis.asyncio import Redis
from sqlalchemy import Row, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.errors import AppError
from app.core.migrations import head_revision
from app.tenants import copying, fencing, operations
from app.tenants.copying import Progress, unseen
from app.tenants.creation import Record, find_tenant, write_record
from app.tenants.errors import CopyFailed, OperationInProgress, TenantStateConflict
from app.tenants.lifecycle import LIVING, announce, publish
from app.tenants.models import Isolation, OperationKind, Tenant, TenantOperation
from app.tenants.operations import OperationRef, Step, tenant_locked
from app.tenants.placements import OwnerDatabases
from app.tenants.schema import (
    create_schema,
    drop_schema,
    exists,
    give_login,
    in_schema,
    refuse_dedicated_on_citus,
)

# What is left to do once the tenant lives on the target.
AFTER_SWITCH: Final = ("retire", "drop")
LOCK_ATTEMPTS: Final = 20
LOCK_ATTEMPT_SECONDS: Final = 0.25

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class MoveReport:
    """`pause_seconds`, of writes, is None when the switch was made by an earlier attempt."""

    target: str
    rows: int = 0
    pause_seconds: float | None = None


class Move:
    """Moves with the logins that own the databases."""

    def __init__(self, owners: OwnerDatabases, redis: Redis, *, secret_key: str) -> None:
        self._owners = owners
        self._redis = redis
        self._secret_key = secret_key

    async def run(
        self, tenant_id: UUID, target: str, *, record: Record | None = None, progress: Progress = unseen
    ) -> MoveReport:
        """Move the tenant; a failure before the switch is undone. Raises TenantNotFound, InvalidTenant,
        ClusterNotReady, TenantStateConflict, OperationInProgress, CopyFailed.
        """
        await self._owners.refuse_unready(target)
        async with (
            self._undone_when_interrupted(tenant_id),
            tenant_locked(self._owners.registry, tenant_id) as connection,
        ):
            tenant = await find_tenant(connection, tenant_id)
            async with connection.begin():
                operation = await self._begin(connection, tenant, target, record)
            await announce(self._redis, connection, tenant_id)
            return await self._finish(connection, operation, progress)

    async def resume(
        self, tenant_id: UUID, *, record: Record | None = None, progress: Progress = unseen
    ) -> MoveReport:
        """Finish a move that was interrupted.

        Raises TenantNotFound, NothingToResume, OperationInProgress, TenantStateConflict once it was undone.
        """
        async with (
            self._undone_when_interrupted(tenant_id),
            tenant_locked(self._owners.registry, tenant_id) as connection,
        ):
            tenant = await find_tenant(connection, tenant_id)
            async with connection.begin():
                operation = await operations.take_up(connection, tenant_id, OperationKind.MOVE)
                if tenant.moving_to is None and operation.step not in AFTER_SWITCH:
                    raise TenantStateConflict(
                        f"It was undone but for what is left on {operation.parameters['target']}: cancel it."
                    )
                await write_record(connection, tenant_id, record)
            await announce(self._redis, connection, tenant_id)
            return await self._finish(connection, operation, progress)

    async def cancel(self, tenant_id: UUID, *, record: Record | None = None) -> None:
        """Undo a move that was interrupted before the switch; the tenant takes writes again where it was.

        Raises TenantNotFound, NothingToResume, OperationInProgress, TenantStateConflict after the switch.
        """
        async with tenant_locked(self._owners.registry, tenant_id) as connection:
            await find_tenant(connection, tenant_id)
            async with connection.begin():
                operation = await operations.take_up(connection, tenant_id, OperationKind.MOVE)
                if operation.step in AFTER_SWITCH:
                    raise TenantStateConflict(
                        f"It lives on {operation.parameters['target']} already; resume to drop the old copy."
                    )
                await write_record(connection, tenant_id, record)
            await self._undo(connection, operation)

    async def _begin(
        self, connection: AsyncConnection, tenant: Row[Any], target: str, record: Record | None
    ) -> OperationRef:
        """Pause the writes, unless something speaks against the move."""
        schema, head = tenant_schema(tenant.id), head_revision("tenant")
        await operations.refuse_beside_unfinished(connection, tenant.id)
        if target == tenant.placement:
            raise TenantStateConflict(f"It lives on {target} already.")
        if tenant.revision != head:
            raise TenantStateConflict(f"It is at revision {tenant.revision}; migrate it to {head} first.")
        async with in_schema(self._owners, connection, target, schema) as there:
            if await exists(there, schema):
                raise TenantStateConflict(f"A schema of it stands on {target} already.")
            if tenant.isolation == Isolation.DEDICATED:
                await refuse_dedicated_on_citus(there)
        async with in_schema(self._owners, connection, tenant.placement, schema) as here:
            grants = await fencing.grants_of(here, schema)
        operation = await operations.start(
            connection,
            tenant.id,
            OperationKind.MOVE,
            first_step="fence",
            parameters={"source": tenant.placement, "target": target, "grants": grants},
        )
        paused = await connection.execute(
            update(Tenant)
            .where(Tenant.id == tenant.id, Tenant.state.in_(LIVING), Tenant.placement == tenant.placement)
            .values(moving_to=target, epoch=Tenant.epoch + 1)
        )
        if paused.rowcount != 1:
            raise TenantStateConflict(f"It is {tenant.state}; that needs {' or '.join(LIVING)}.")
        await write_record(connection, tenant.id, record)
        return operation

    async def _finish(
        self, connection: AsyncConnection, operation: OperationRef, progress: Progress
    ) -> MoveReport:
        report = MoveReport(operation.parameters["target"])
        try:
            await operations.run(connection, operation, self._steps(operation, report, progress))
        except Exception:
            await self._undo_failure(connection, operation)
            raise
        return report

    async def _undo_failure(self, connection: AsyncConnection, operation: OperationRef) -> None:
        """Leave no tenant paused because of a failure, unless the undoing fails too: then cancel it later."""
        if connection.closed or connection.invalidated:
            return
        try:
            if (await find_tenant(connection, operation.tenant_id)).moving_to is not None:
                await self._undo(connection, operation)
        except (SQLAlchemyError, AppError, OSError) as error:
            log.error(
                "move_not_undone", tenant_id=str(operation.tenant_id), reason=operations.reason_of(error)
            )

    @asynccontextmanager
    async def _undone_when_interrupted(self, tenant_id: UUID) -> AsyncIterator[None]:
        """Ctrl-C leaves no tenant paused either. The connection that held it may have been ended by that."""
        try:
            yield
        except asyncio.CancelledError:
            for _ in range(LOCK_ATTEMPTS):
                try:
                    await self.cancel(tenant_id)
                except OperationInProgress:  # The server has not noticed yet that its lock is gone.
                    await asyncio.sleep(LOCK_ATTEMPT_SECONDS)
                except (SQLAlchemyError, AppError, OSError) as error:
                    log.warning("move_not_undone", reason=operations.reason_of(error))
                    break
                else:
                    break
            raise

    async def _undo(self, connection: AsyncConnection, operation: OperationRef) -> None:
        """Give the rights back and end the pause, then drop the target's half. Safe to repeat.

        In this order, because it may be the target that does not answer.
        """
        tenant_id, parameters = operation.tenant_id, operation.parameters
        schema = tenant_schema(tenant_id)
        async with connection.begin():
            async with in_schema(self._owners, connection, parameters["source"], schema) as here:
                await fencing.restore_grants(here, schema, parameters["grants"])
            await connection.execute(
                update(Tenant).where(Tenant.id == tenant_id).values(moving_to=None, epoch=Tenant.epoch + 1)
            )
        await announce(self._redis, connection, tenant_id)
        async with connection.begin():
            async with in_schema(self._owners, connection, parameters["target"], schema) as there:
                await drop_schema(there, schema)
            await operations.cancelled(connection, operation.id)

    def _steps(self, operation: OperationRef, report: MoveReport, progress: Progress) -> list[Step]:
        tenant_id, owners = operation.tenant_id, self._owners
        source, target = operation.parameters["source"], operation.parameters["target"]
        schema = tenant_schema(tenant_id)

        async def fence(registry: AsyncConnection) -> None:
            async with in_schema(owners, registry, source, schema) as here:
                await fencing.forbid_writes(here, schema)

        async def drain(registry: AsyncConnection) -> None:
            async with in_schema(owners, registry, source, schema) as here:
                await fencing.await_writers(
                    here, [rows.name for rows in await copying.tables_of(here, schema)]
                )

        async def copy(registry: AsyncConnection) -> None:
            tenant = await _row(registry, tenant_id)
            async with (
                in_schema(owners, registry, source, schema) as here,
                in_schema(owners, registry, target, schema) as there,
            ):
                # What an attempt left whose record was lost.
                await drop_schema(there, schema)
                await create_schema(there, schema)
                report.rows = await _copy(here, there, schema, progress)
                if tenant.isolation == Isolation.DEDICATED:
                    await give_login(there, schema, self._secret_key)

        async def switch(registry: AsyncConnection) -> None:
            if source == DEFAULT_PLACEMENT:
                await self._close(registry, source, schema)
            await _switch(registry, tenant_id, source=source, target=target)
            paused = func.clock_timestamp() - TenantOperation.started_at
            query = select(func.extract("epoch", paused)).where(TenantOperation.id == operation.id)
            report.pause_seconds = float((await registry.execute(query)).scalar_one())

        async def retire(registry: AsyncConnection) -> None:
            """Nobody may read the old copy while the new one is written."""
            if source != DEFAULT_PLACEMENT:
                await self._close(registry, source, schema)
            epoch = (await _row(registry, tenant_id)).epoch
            await publish(self._redis, tenant_id, epoch)

        async def drop(registry: AsyncConnection) -> None:
            async with in_schema(owners, registry, source, schema) as here:
                await drop_schema(here, schema)

        steps = {
            "fence": fence,
            "drain": drain,
            "copy": copy,
            "switch": switch,
            "retire": retire,
            "drop": drop,
        }
        return [Step(name, run) for name, run in steps.items()]

    async def _close(self, registry: AsyncConnection, source: str, schema: str) -> None:
        async with in_schema(self._owners, registry, source, schema) as here:
            if await exists(here, schema):
                await fencing.forbid_all(here, schema)


async def _copy(here: AsyncConnection, there: AsyncConnection, schema: str, progress: Progress) -> int:
    """Every row of every table; returns how many. Raises CopyFailed when one is missing."""
    tables = await copying.tables_of(here, schema)
    copying.refuse_differences(await copying.tables_of(there, schema), tables)
    for connection in (here, there):
        await copying.fix_text_form(connection)
    total = 0
    async with copying.loading(there, schema, [rows.table for rows in tables]):
        for rows in tables:
            arrived = await copying.pipe(here, there, rows, progress)
            if arrived != await copying.count(here, rows) or arrived != await copying.count(there, rows):
                raise CopyFailed(f"{rows.table}: the copies have not as many rows.")
            total += arrived
    await copying.restart_sequences(there, schema)
    return total


async def _switch(registry: AsyncConnection, tenant_id: UUID, *, source: str, target: str) -> None:
    """From this commit on the tenant lives on the target. Raises TenantStateConflict."""
    switched = await registry.execute(
        update(Tenant)
        .where(
            Tenant.id == tenant_id,
            Tenant.placement == source,
            Tenant.moving_to == target,
            Tenant.revision == head_revision("tenant"),
        )
        .values(placement=target, moving_to=None, epoch=Tenant.epoch + 1)
    )
    if switched.rowcount != 1:
        raise TenantStateConflict("Its registry row was changed during the move.")


async def _row(registry: AsyncConnection, tenant_id: UUID) -> Row[Any]:
    return (await registry.execute(select(Tenant.__table__).where(Tenant.id == tenant_id))).one()
