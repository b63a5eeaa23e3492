"""The audit trail of one tenant: services write to it in the transaction of their change, admins read it."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.chain import Link, append
from app.audit.errors import AuditEntryNotFound
from app.audit.models import AuditLog
from app.core.context import Principal
from app.core.database import mark_recorded
from app.core.pagination import CursorCodec, PageRequest

ActorKind = Literal["user", "api_key", "operator", "system"]

ACTION_PATTERN: Final = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
# A longer value is kept as its digest, so that no request makes a row of any size.
MAX_VALUE_BYTES: Final = 4_096


async def record(
    session: AsyncSession,
    *,
    actor_kind: ActorKind,
    actor_id: UUID | None,
    action: str,
    target_kind: str,
    target_id: str | None = None,
    correlation_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Link:
    """Append to the audit trail of the tenant that the session is in. `details` hold no secrets.

    For what no principal does: everything else has an `AuditTrail`.
    """
    facts = {
        "actor_kind": actor_kind,
        "actor_id": actor_id,
        "action": action,
        "target_kind": target_kind,
        "target_id": target_id,
        "correlation_id": correlation_id,
        "details": dict(details or {}),
    }
    return await append(session, AuditLog, facts)


@dataclass(frozen=True, slots=True)
class AuditTrail:
    """Records what one caller does. `acting_as` is the user whom an operator acts as."""

    actor_kind: ActorKind
    actor_id: UUID
    acting_as: UUID | None
    correlation_id: str | None

    @classmethod
    def of(cls, principal: Principal, correlation_id: str | None) -> Self:
        """The trail of a principal; behind an impersonation the operator is the actor, not the user."""
        if principal.actor_id is not None:
            return cls("operator", principal.actor_id, principal.subject, correlation_id)
        return cls(principal.kind, principal.subject, None, correlation_id)

    async def record(
        self,
        session: AsyncSession,
        action: str,
        *,
        target_kind: str,
        target_id: UUID | str | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Append in the transaction that makes the change, as its last statement.

        `action` is spelled `resources.update`. `before` and `after` are `snapshot`s; what is equal in both
        is left out. Nothing given here may be a secret, a hash of one, or a token. Raises ValueError for an
        action of another form, which no filter would find.
        """
        if not ACTION_PATTERN.fullmatch(action):
            raise ValueError(f"not an action: {action!r}")
        told = dict(details or {})
        if self.acting_as is not None:
            told["acting_as"] = str(self.acting_as)
        await record(
            session,
            actor_kind=self.actor_kind,
            actor_id=self.actor_id,
            action=action,
            target_kind=target_kind,
            target_id=None if target_id is None else str(target_id),
            correlation_id=self.correlation_id,
            details=told | _changes(before, after),
        )

    def nothing_changed(self, session: AsyncSession) -> None:
        """Say that this request of an unsafe method has changed nothing, so that it may stay unrecorded."""
        mark_recorded(session)


def snapshot(row: object, fields: Iterable[str]) -> dict[str, Any]:
    """The named attributes as a trail keeps them. The fields are listed by the feature, one by one, so that a
    new column is in no trail before somebody has decided that it is no secret.
    """
    return {name: _kept(getattr(row, name)) for name in fields}


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows to list: all that is not None must hold. `action` may end in `.*`; `until` is exclusive."""

    actor_kind: ActorKind | None = None
    actor_id: UUID | None = None
    action: str | None = None
    target_kind: str | None = None
    target_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_entries(
    session: AsyncSession,
    request: PageRequest,
    wanted: AuditFilter,
    *,
    cursors: CursorCodec,
    tenant_id: UUID,
) -> tuple[Sequence[AuditLog], str | None]:
    """Newest first."""
    collection = f"audit:{tenant_id.hex}"
    query = _filtered(wanted).order_by(AuditLog.sequence.desc()).limit(request.limit + 1)
    if request.cursor is not None:
        query = query.where(AuditLog.sequence < cursors.decode_sequence(collection, request.cursor))
    rows = (await session.scalars(query)).all()
    if len(rows) <= request.limit:
        return rows, None
    page = rows[: request.limit]
    return page, cursors.encode_sequence(collection, page[-1].sequence)


async def get_entry(session: AsyncSession, sequence: int) -> AuditLog:
    """Raises AuditEntryNotFound."""
    entry = await session.get(AuditLog, sequence)
    if entry is None:
        raise AuditEntryNotFound
    return entry


def _filtered(wanted: AuditFilter) -> Select[AuditLog]:
    query = select(AuditLog)
    for column, value in (
        (AuditLog.actor_kind, wanted.actor_kind),
        (AuditLog.actor_id, wanted.actor_id),
        (AuditLog.target_kind, wanted.target_kind),
        (AuditLog.target_id, wanted.target_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.action is not None and wanted.action.endswith("*"):
        query = query.where(AuditLog.action.startswith(wanted.action[:-1], autoescape=True))
    elif wanted.action is not None:
        query = query.where(AuditLog.action == wanted.action)
    if wanted.since is not None:
        query = query.where(AuditLog.occurred_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditLog.occurred_at < wanted.until)
    return query


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, Any]:
    if before is not None and after is not None:
        changed = [name for name in after if _document(before.get(name)) != _document(after[name])]
        before = {name: before.get(name) for name in changed}
        after = {name: after[name] for name in changed}
    states = {"before": before, "after": after}
    return {name: dict(state) for name, state in states.items() if state is not None}


def _kept(value: Any) -> Any:
    """As JSON, and no longer than a trail should hold."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if not isinstance(value, str | dict | list):
        return value
    document = _document(value)
    if len(document) <= MAX_VALUE_BYTES:
        return value
    return {"bytes": len(document), "sha256": hashlib.sha256(document).hexdigest()}


def _document(value: Any) -> bytes:
    """Tells 1 from true, which Python does not."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
