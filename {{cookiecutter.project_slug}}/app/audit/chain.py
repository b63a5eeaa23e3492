"""Appends to a trail whose rows are chained by hash, and finds where a chain was tampered with.

A row's hash covers its facts and the hash of the row before, so a changed, removed or inserted row shows. A
cut-off end does not: for that, compare with a link that was noted elsewhere.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    LargeBinary,
    String,
    Table,
    bindparam,
    cast,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.sql.dml import ReturningInsert

from app.core.database import PlatformBase, TenantBase, mark_recorded, utc_now
from app.core.errors import ServiceUnavailable
from app.core.validation import MAX_JSON_INTEGER, MIN_JSON_INTEGER, storable_text

# What the database or the chain itself says of a row; all else are its facts.
LINK_COLUMNS: Final = frozenset({"sequence", "previous_hash", "hash"})
ROWS_AT_A_TIME: Final = 1_000
# Two, where the lock makes writers take turns. Where it does not, since each node of a cluster has locks of
# its own, the primary key still lets one through at a time.
ATTEMPTS: Final = 20
_DIGEST: Final = "facts_digest"

Executor = AsyncSession | AsyncConnection
Trail = type[PlatformBase] | type[TenantBase]


class BrokenChain(ValueError):
    """The chain does not hold at `sequence`."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(f"broken at {sequence}: {reason}")
        self.sequence = sequence
        self.reason = reason


class TrailBusy(ServiceUnavailable):
    slug = "trail-busy"
    title = "Too many changes were recorded at once"


@dataclass(frozen=True, slots=True)
class Link:
    """A place in a chain: what the next row must follow."""

    sequence: int
    hash: bytes


GENESIS: Final = Link(0, bytes(32))


def facts_digest(facts: Mapping[str, Any]) -> bytes:
    """SHA-256 over the facts as canonical JSON.

    Facts that are None are left out, so that a column added later does not break what was written before.
    Raises ValueError for what would not come back from JSONB as it went in.
    """
    known = {name: _canonical(value) for name, value in facts.items() if value is not None}
    document = json.dumps(known, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(document.encode()).digest()


def next_link(previous: Link, facts: Mapping[str, Any]) -> Link:
    """The link of a row that follows: SHA-256 over the hash before, the number in 8 bytes, the facts' digest.

    `_append_statement` says the same in SQL.
    """
    sequence = previous.sequence + 1
    content = previous.hash + sequence.to_bytes(8, signed=True) + facts_digest(facts)
    return Link(sequence, hashlib.sha256(content).digest())


def follow(previous: Link, row: Mapping[str, Any]) -> Link:
    """The link that a stored row makes. Raises BrokenChain unless the row follows `previous` unchanged."""
    sequence: int = row["sequence"]
    if sequence != previous.sequence + 1:
        raise BrokenChain(previous.sequence + 1, "a row is missing")
    if row["previous_hash"] != previous.hash:
        raise BrokenChain(sequence, "it does not follow the row before")
    facts = {name: value for name, value in row.items() if name not in LINK_COLUMNS}
    try:
        link = next_link(previous, facts)
    except ValueError:  # `append` would have refused such a value.
        link = None
    if link is None or row["hash"] != link.hash:
        raise BrokenChain(sequence, "the row was changed")
    return link


async def append(executor: Executor, model: Trail, facts: Mapping[str, Any]) -> Link:
    """Add a row inside the caller's transaction, which must be READ COMMITTED; in one statement, mostly.

    Writers of one trail take turns until they commit, so append as the last thing of a transaction. Who had
    to wait saw the trail as it was before the wait: the primary key refuses what follows an older row, so the
    statement adds nothing, and is sent again, now with the turn. Raises TrailBusy.
    """
    table = model.__table__
    row = {**facts, "occurred_at": utc_now()}
    # All of them, since a default of the database would not be in the digest.
    parameters = {_parameter(name): row.get(name) for name in _fact_names(table)}
    parameters[_DIGEST] = facts_digest(row)
    statement = _append_statement(table)
    for _ in range(ATTEMPTS):
        added = await executor.execute(statement, parameters)
        link = added.one_or_none()
        if link is not None:
            mark_recorded(executor)
            return Link(link.sequence, link.hash)
    raise TrailBusy("Try again in a moment.", headers={"Retry-After": "1"})


async def head(executor: Executor, model: Trail) -> Link:
    """The last link of a trail."""
    columns = model.__table__.c
    query = select(columns.sequence, columns.hash).order_by(columns.sequence.desc()).limit(1)
    row = (await executor.execute(query)).one_or_none()
    return GENESIS if row is None else Link(row.sequence, row.hash)


async def verify(executor: Executor, model: Trail, *, anchors: Iterable[Link] = ()) -> Link:
    """Read a whole trail and return its last link.

    `anchors` are links that were noted in another place. Raises BrokenChain where the trail was tampered
    with, and when it does not hold one of them.
    """
    columns = model.__table__.c
    query = select(*columns).order_by(columns.sequence).limit(ROWS_AT_A_TIME)
    noted = sorted((anchor.sequence, anchor.hash) for anchor in anchors)
    link = GENESIS
    _hold_to(noted, link)
    while rows := (await executor.execute(query.where(columns.sequence > link.sequence))).mappings().all():
        for row in rows:
            link = follow(link, {str(name): value for name, value in row.items()})
            _hold_to(noted, link)
    if noted:
        raise BrokenChain(link.sequence + 1, f"the end is cut off, for {noted[-1][0]} was there")
    return link


def _hold_to(noted: list[tuple[int, bytes]], link: Link) -> None:
    """Take off what was noted of this place. Raises BrokenChain when it was another link."""
    while noted and noted[0][0] == link.sequence:
        if noted.pop(0)[1] != link.hash:
            raise BrokenChain(link.sequence, "it is not the row that was noted")


@cache
def _append_statement(table: FromClause) -> ReturningInsert[tuple[int, bytes]]:
    """Take the turn, then insert what follows the last row in sight, or nothing when there is a later one."""
    assert isinstance(table, Table)  # noqa: S101  # every model has one
    last = select(table.c.sequence, table.c.hash).order_by(table.c.sequence.desc()).limit(1).subquery("last")
    # One row, so that there is something to follow in an empty trail too.
    turn = select(func.pg_advisory_xact_lock(_lock_key(table)).label("taken")).subquery("turn")
    sequence = func.coalesce(last.c.sequence, literal(GENESIS.sequence, BigInteger)) + 1
    previous = func.coalesce(last.c.hash, literal(GENESIS.hash, LargeBinary))
    content = previous.op("||")(func.int8send(sequence)).op("||")(bindparam(_DIGEST, type_=LargeBinary))
    names = _fact_names(table)
    row = select(
        sequence,
        previous,
        func.sha256(content),
        *(bindparam(_parameter(name), type_=table.c[name].type) for name in names),
    ).select_from(turn.join(last, true(), isouter=True))
    return (
        insert(table)
        .from_select(["sequence", "previous_hash", "hash", *names], row)
        .on_conflict_do_nothing(index_elements=["sequence"])
        .returning(table.c.sequence, table.c.hash)
    )


def _fact_names(table: FromClause) -> list[str]:
    return [column.name for column in table.columns if column.name not in LINK_COLUMNS]


def _parameter(name: str) -> str:
    return f"fact_{name}"


def _lock_key(table: FromClause) -> ColumnElement[int]:
    """One number per trail: each tenant's trail is locked by itself."""
    schema = table.schema if isinstance(table, Table) else None
    owner = cast(func.current_schema(), String) if schema is None else literal(schema)
    return func.hashtextextended(owner + literal(f".{table.description}"), 0)


def _canonical(value: Any) -> Any:
    """The value as JSON that reads back the same. Raises ValueError for what JSONB would change."""
    if isinstance(value, dict):
        return {storable_text(name): _canonical(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_canonical(member) for member in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _canonical_number(value)
    return _canonical_text(value)


def _canonical_text(value: Any) -> str:
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise ValueError(f"a trail does not hold a {type(value).__name__}")


def _canonical_number(value: int | float) -> int | float:  # mypy tells them apart
    """JSONB keeps decimals: a whole float comes back as an integer of the digits that it was written with."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a trail holds finite numbers only")
        return int(Decimal(repr(value))) if value.is_integer() else value
    # Beyond, only a float is written; and parsers read it as one or the other.
    if not MIN_JSON_INTEGER <= value <= MAX_JSON_INTEGER and not _is_written_by_a_float(value):
        raise ValueError("a trail holds integers of at most 64 bits")
    return value


def _is_written_by_a_float(value: int) -> bool:
    try:
        return int(Decimal(repr(float(value)))) == value
    except OverflowError:
        return False
