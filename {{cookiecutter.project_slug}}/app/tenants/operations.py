"""Runs a change of a tenant step by step: each step is recorded, and a crash anywhere can be resumed.

A step must be safe to run again: where the tenant lives on another database than the registry, a crash may
come between its commit and its record.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.errors import AppError
from app.tenants.errors import NothingToResume, OperationInProgress
from app.tenants.models import OperationKind, OperationState, TenantOperation

UNFINISHED: Final = (OperationState.RUNNING, OperationState.FAILED)
MAX_ERROR_LENGTH: Final = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """`run` gets the registry's connection, in a transaction that also records that the step is done."""

    name: str
    run: Callable[[AsyncConnection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class OperationRef:
    """An unfinished operation, as it was when its tenant was locked."""

    id: UUID
    tenant_id: UUID
    kind: str
    step: str | None
    attempts: int
    parameters: dict[str, Any]


@asynccontextmanager
async def tenant_locked(registry: AsyncEngine, tenant_id: UUID) -> AsyncIterator[AsyncConnection]:
    """Hold a tenant against every other operation, on a connection to the registry.

    The lock ends with the connection, so a killed process holds nothing. Raises OperationInProgress.
    """
    key = func.hashtextextended(f"tenant operation {tenant_id}", 0)
    async with registry.connect() as connection:
        held = await connection.scalar(select(func.pg_try_advisory_lock(key)))
        await connection.commit()
        if not held:
            raise OperationInProgress("Look at it with GET /v1/tenants/{id}, or wait until it has ended.")
        try:
            yield connection
        finally:
            if not connection.closed and not connection.invalidated:
                await connection.rollback()
                await connection.execute(select(func.pg_advisory_unlock(key)))
                await connection.commit()


async def start(
    connection: AsyncConnection,
    tenant_id: UUID,
    kind: OperationKind,
    *,
    first_step: str,
    parameters: dict[str, Any],
) -> OperationRef:
    """Record a new operation in the caller's transaction. Raises OperationInProgress beside another."""
    await refuse_beside_unfinished(connection, tenant_id)
    table = TenantOperation.__table__
    statement = (
        table.insert()  # type: ignore[attr-defined]  # a Table, typed as FromClause
        .values(tenant_id=tenant_id, kind=kind, step=first_step, parameters=parameters)
        .returning(TenantOperation.id)
    )
    operation_id = (await connection.execute(statement)).scalar_one()
    return OperationRef(operation_id, tenant_id, kind, first_step, 1, parameters)


async def refuse_beside_unfinished(connection: AsyncConnection, tenant_id: UUID) -> None:
    """Raises OperationInProgress when the tenant has an unfinished operation."""
    operation = await unfinished(connection, tenant_id)
    if operation is not None:
        raise OperationInProgress(f"Its {operation.kind} was interrupted: resume or cancel that first.")


async def unfinished(connection: AsyncConnection, tenant_id: UUID) -> OperationRef | None:
    """The operation of a tenant that was begun and neither succeeded nor was cancelled."""
    query = select(
        TenantOperation.id,
        TenantOperation.tenant_id,
        TenantOperation.kind,
        TenantOperation.step,
        TenantOperation.attempts,
        TenantOperation.parameters,
    ).where(TenantOperation.tenant_id == tenant_id, TenantOperation.state.in_(UNFINISHED))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else OperationRef(*row)


async def take_up(connection: AsyncConnection, tenant_id: UUID, *kinds: OperationKind) -> OperationRef:
    """The unfinished operation, its attempt counted in the caller's transaction.

    Raises NothingToResume when there is none of `kinds`.
    """
    operation = await unfinished(connection, tenant_id)
    if operation is None or operation.kind not in kinds:
        raise NothingToResume
    await _set(
        connection,
        operation.id,
        state=OperationState.RUNNING,
        attempts=TenantOperation.attempts + 1,
        error=None,
    )
    return operation


async def run(connection: AsyncConnection, operation: OperationRef, steps: Sequence[Step]) -> None:
    """Run the steps from the recorded one on. What a step raises is recorded, then raised."""
    names = [step.name for step in steps]
    begin = names.index(operation.step) if operation.step in names else 0
    for number in range(begin, len(steps)):
        try:
            async with connection.begin():
                await steps[number].run(connection)
                await _advance(connection, operation.id, names[number + 1 :])
        except Exception as error:
            await _fail(connection, operation, names[number], error)
            raise


async def cancelled(connection: AsyncConnection, operation_id: UUID) -> None:
    """Record that an operation was undone, in the caller's transaction."""
    await _set(connection, operation_id, state=OperationState.CANCELLED, step=None, finished_at=func.now())


async def _advance(connection: AsyncConnection, operation_id: UUID, following: Sequence[str]) -> None:
    if following:
        await _set(connection, operation_id, step=following[0])
    else:
        await _set(
            connection, operation_id, step=None, state=OperationState.SUCCEEDED, finished_at=func.now()
        )


async def _fail(connection: AsyncConnection, operation: OperationRef, step: str, error: Exception) -> None:
    reason = reason_of(error)
    log.error("tenant_operation_failed", tenant_id=str(operation.tenant_id), step=step, reason=reason)
    if connection.closed or connection.invalidated:
        return  # Without the database nothing can be recorded; the lock is gone, so it can be resumed.
    async with connection.begin():
        await _set(connection, operation.id, state=OperationState.FAILED, error=f"{step}: {reason}")


async def _set(connection: AsyncConnection, operation_id: UUID, **values: Any) -> None:
    await connection.execute(
        update(TenantOperation)
        .where(TenantOperation.id == operation_id)
        .values(updated_at=func.clock_timestamp(), **values)
    )


def reason_of(error: Exception) -> str:
    """What an operator may read: our own words, or the server's first line without the statement."""
    if isinstance(error, AppError):
        return (error.detail or error.title)[:MAX_ERROR_LENGTH]
    if isinstance(error, DBAPIError):
        lines = str(error.orig).splitlines()
        return (lines[0] if lines else type(error).__name__)[:MAX_ERROR_LENGTH]
    return type(error).__name__
