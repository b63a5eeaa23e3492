"""Appends to a trail whose rows are chained by hash, and finds where a chain was tampered with.

A row's hash covers its facts and the hash of the row before, so a changed, removed or inserted row shows. A
cut-off end does not: for that, compare with a link that was noted elsewhere.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, String, Table, cast, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.audit.models import AuditLog
from app.core.database import PlatformBase, TenantBase, utc_now
from app.core.validation import MAX_JSON_INTEGER, MIN_JSON_INTEGER, storable_text

HASH_COLUMNS: Final = frozenset({"previous_hash", "hash"})
ROWS_AT_A_TIME: Final = 1_000

ActorKind = Literal["user", "api_key", "operator", "system"]
Executor = AsyncSession | AsyncConnection
Trail = type[PlatformBase] | type[TenantBase]


class BrokenChain(ValueError):
    """The chain does not hold at `sequence`."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(f"broken at {sequence}: {reason}")
        self.sequence = sequence


@dataclass(frozen=True, slots=True)
class Link:
    """A place in a chain: what the next row must follow."""

    sequence: int
    hash: bytes


GENESIS: Final = Link(0, bytes(32))


def link_hash(previous_hash: bytes, facts: Mapping[str, Any]) -> bytes:
    """SHA-256 over the previous hash and the facts as canonical JSON.

    Facts that are None are left out, so that a column added later does not break what was written before.
    Raises ValueError for what would not come back from JSONB as it went in.
    """
    known = {name: _canonical(value) for name, value in facts.items() if value is not None}
    document = json.dumps(known, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(previous_hash + document.encode()).digest()


def follow(previous: Link, row: Mapping[str, Any]) -> Link:
    """The link that a stored row makes. Raises BrokenChain unless the row follows `previous` unchanged."""
    sequence: int = row["sequence"]
    if sequence != previous.sequence + 1:
        raise BrokenChain(previous.sequence + 1, "a row is missing")
    if row["previous_hash"] != previous.hash:
        raise BrokenChain(sequence, "it does not follow the row before")
    facts = {name: value for name, value in row.items() if name not in HASH_COLUMNS}
    if row["hash"] != link_hash(previous.hash, facts):
        raise BrokenChain(sequence, "the row was changed")
    return Link(sequence, row["hash"])


async def append(executor: Executor, model: Trail, facts: Mapping[str, Any]) -> Link:
    """Add a row inside the caller's transaction, which must be READ COMMITTED.

    Writers of one trail take turns until they commit, so append as the last thing of a transaction.
    """
    table = model.__table__
    await executor.execute(select(func.pg_advisory_xact_lock(_lock_key(table))))
    previous = await head(executor, model)
    row = {**facts, "sequence": previous.sequence + 1, "occurred_at": utc_now()}
    link = Link(previous.sequence + 1, link_hash(previous.hash, row))
    await executor.execute(insert(model).values(**row, previous_hash=previous.hash, hash=link.hash))
    return link


async def head(executor: Executor, model: Trail) -> Link:
    """The last link of a trail."""
    columns = model.__table__.c
    query = select(columns.sequence, columns.hash).order_by(columns.sequence.desc()).limit(1)
    row = (await executor.execute(query)).one_or_none()
    return GENESIS if row is None else Link(row.sequence, row.hash)


async def verify(executor: Executor, model: Trail, *, anchor: Link | None = None) -> Link:
    """Read a whole trail and return its last link.

    `anchor` is a link that was noted in another place. Raises BrokenChain where the trail was tampered with,
    and when it does not hold the anchor.
    """
    columns = model.__table__.c
    query = select(*columns).order_by(columns.sequence).limit(ROWS_AT_A_TIME)
    link = GENESIS
    while rows := (await executor.execute(query.where(columns.sequence > link.sequence))).mappings().all():
        for row in rows:
            link = follow(link, {str(name): value for name, value in row.items()})
            if anchor is not None and link.sequence == anchor.sequence and link.hash != anchor.hash:
                raise BrokenChain(link.sequence, "it is not the row that was noted")
    if anchor is not None and anchor.sequence > link.sequence:
        raise BrokenChain(link.sequence + 1, f"the end is cut off, for {anchor.sequence} was there")
    return link


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
    """Append to the audit trail of the tenant that the session is in. `details` hold no secrets."""
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


def _lock_key(table: FromClause) -> ColumnElement[int]:
    """One number per trail: each tenant's trail is locked by itself."""
    schema = table.schema if isinstance(table, Table) else None
    owner = cast(func.current_schema(), String) if schema is None else literal(schema)
    return func.hashtextextended(owner + literal(f".{table.description}"), 0)


def _canonical(value: Any) -> Any:
    """The value as JSON that reads back the same. Raises ValueError for what JSONB would change."""
    if isinstance(value, int) and not MIN_JSON_INTEGER <= value <= MAX_JSON_INTEGER:
        raise ValueError("a trail holds integers of at most 64 bits")
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, dict):
        return {storable_text(name): _canonical(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_canonical(member) for member in value]
    raise ValueError(f"a trail does not hold a {type(value).__name__}")
