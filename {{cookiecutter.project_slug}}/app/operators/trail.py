"""The trail of the platform: what operators and the command line did, chained by hash."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.requirements import ACTION_RECORDED
from app.audit.chain import Executor, Link, append
from app.core.context import OperatorRef
from app.core.pagination import CursorCodec, PageRequest
from app.operators.models import OperatorAction


async def record_action(
    executor: Executor,
    action: str,
    *,
    operator_id: UUID | None = None,
    tenant_id: UUID | None = None,
    target: str | None = None,
    correlation_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Link:
    """Append to the trail inside the caller's transaction, on the runtime login or the owner's.

    Without an operator the actor is the system: the command line, or the service by itself. Call it last,
    because writers of the trail take turns until they commit. `details` hold no secrets.
    """
    facts = {
        "actor_kind": "system" if operator_id is None else "operator",
        "operator_id": operator_id,
        "action": action,
        "tenant_id": tenant_id,
        "target": target,
        "correlation_id": correlation_id,
        "details": dict(details or {}),
    }
    return await append(executor, OperatorAction, facts)


@dataclass(frozen=True, slots=True)
class PendingAction:
    """What the current request does, as its route declared it. A route that answers well without having
    recorded it answers 500 instead."""

    operator: OperatorRef
    action: str
    correlation_id: str | None
    scope: MutableMapping[str, Any]

    async def record(
        self,
        executor: Executor,
        *,
        tenant_id: UUID | None = None,
        target: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Append the action in the transaction that makes the change, as its last statement."""
        await record_action(
            executor,
            self.action,
            operator_id=self.operator.id,
            tenant_id=tenant_id,
            target=target,
            correlation_id=self.correlation_id,
            details=details,
        )
        self.scope[ACTION_RECORDED] = True


async def list_actions(
    session: AsyncSession, request: PageRequest, *, cursors: CursorCodec, tenant_id: UUID | None
) -> tuple[Sequence[OperatorAction], str | None]:
    """Newest first, of one tenant or of all."""
    collection = f"operator-actions:{tenant_id.hex if tenant_id else 'all'}"
    query = select(OperatorAction).order_by(OperatorAction.sequence.desc()).limit(request.limit + 1)
    if tenant_id is not None:
        query = query.where(OperatorAction.tenant_id == tenant_id)
    if request.cursor is not None:
        query = query.where(OperatorAction.sequence < cursors.decode_sequence(collection, request.cursor))
    rows = (await session.scalars(query)).all()
    page = rows[: request.limit]
    more = len(rows) > request.limit
    return page, cursors.encode_sequence(collection, page[-1].sequence) if more else None
