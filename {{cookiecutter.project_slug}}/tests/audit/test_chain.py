"""A chained trail: what is written reads back unbroken, and whatever is changed shows."""

import asyncio
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import service as audit
from app.audit.chain import GENESIS, BrokenChain, Link, TrailBusy, facts_digest, follow, next_link, verify
from app.audit.models import AuditLog
from app.core.database import Database, owner_engine
from tests.conftest import DatabaseURLs, TestTenant
from tests.work import counted_work


def stored(previous: Link, facts: dict[str, Any]) -> dict[str, Any]:
    """The row that follows, as it reads back."""
    link = next_link(previous, facts)
    return {"sequence": link.sequence, **facts, "previous_hash": previous.hash, "hash": link.hash}


def made_chain(length: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    link = GENESIS
    for number in range(1, length + 1):
        facts = {"action": f"things.do_{number}", "details": {"n": number}}
        rows.append({"target": None, **stored(link, facts)})
        link = Link(number, rows[-1]["hash"])
    return rows


def walk(rows: list[dict[str, Any]]) -> Link:
    link = GENESIS
    for row in rows:
        link = follow(link, row)
    return link


def test_a_chain_reads_back_unbroken() -> None:
    assert walk(made_chain(5)).sequence == 5


def remove(rows: list[dict[str, Any]]) -> None:
    del rows[2]


def swap(rows: list[dict[str, Any]]) -> None:
    rows[1], rows[2] = rows[2], rows[1]


def change(rows: list[dict[str, Any]]) -> None:
    rows[2]["action"] = "things:do_nothing"


def change_within(rows: list[dict[str, Any]]) -> None:
    rows[2]["details"] = {"n": 7}


def fill_in(rows: list[dict[str, Any]]) -> None:
    rows[2]["target"] = "somebody else"


def change_and_hash_again(rows: list[dict[str, Any]]) -> None:
    facts = {"action": "things.do_nothing", "details": {"n": 3}}
    rows[2].update(stored(Link(2, rows[2]["previous_hash"]), facts))


def renumber(rows: list[dict[str, Any]]) -> None:
    del rows[2]
    for number, row in enumerate(rows, start=1):
        row["sequence"] = number


def drop_the_first(rows: list[dict[str, Any]]) -> None:
    del rows[0]


@pytest.mark.parametrize(
    ("tamper", "at"),
    [
        (remove, 3), (swap, 2), (change, 3), (change_within, 3), (fill_in, 3), (change_and_hash_again, 4),
        (drop_the_first, 1), (renumber, 3),
    ],
)  # fmt: skip
def test_tampering_shows_where_it_was_done(tamper: Callable[[list[dict[str, Any]]], None], at: int) -> None:
    rows = made_chain(5)
    tamper(rows)
    with pytest.raises(BrokenChain) as caught:
        walk(rows)
    assert caught.value.sequence == at


def test_the_same_moment_in_another_zone_is_the_same_fact() -> None:
    moment = datetime(2026, 5, 4, 12, 0, 0, 17, tzinfo=UTC)
    other = moment.astimezone(timezone(timedelta(hours=5)))
    assert facts_digest({"at": moment}) == facts_digest({"at": other})


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        2**63,
        -(2**63) - 1,
        2**64 + 1,
        10**400,
        "nul\x00",
        "\ud800",
        {"a\x00": 1},
        b"x",
        object(),
    ],
)
def test_what_would_not_read_back_the_same_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"must|trail"):
        facts_digest({"details": {"value": value}})


def test_a_tuple_is_not_taken_for_a_list() -> None:
    with pytest.raises(ValueError, match="tuple"):
        facts_digest({"details": (1,)})


async def record_in(session: AsyncSession, **details: Any) -> Link:
    return await audit.record(
        session,
        actor_kind="user",
        actor_id=uuid.uuid4(),
        action="things.do",
        target_kind="thing",
        details=details,
    )


async def record(database: Database, tenant: TestTenant, **details: Any) -> Link:
    async with database.tenant(tenant.schema) as session:
        return await record_in(session, **details)


async def verified(database: Database, tenant: TestTenant, *anchors: Link) -> Link:
    async with database.tenant(tenant.schema) as session:
        return await verify(session, AuditLog, anchors=anchors)


details = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12),
    max_size=4,
)


@given(written=st.lists(details, min_size=1, max_size=5))
def test_no_details_break_the_chain_of_their_own(written: list[dict[str, Any]]) -> None:
    """The pure half; the test below sends the awkward ones through PostgreSQL."""
    previous = GENESIS
    for sequence, each in enumerate(written, start=1):
        previous = follow(previous, stored(previous, {"details": each}))
        assert previous.sequence == sequence


@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1))
def test_a_number_is_the_same_fact_as_what_two_parsers_read_of_its_decimal(number: float) -> None:
    """JSONB writes every digit of what it was sent."""
    decimal = format(Decimal(orjson.dumps(number).decode()), "f")
    for read in (orjson.loads(decimal), json.loads(decimal)):
        assert facts_digest({"n": read}) == facts_digest({"n": number})


async def test_what_jsonb_stores_reads_back_as_it_was_hashed(
    database: Database, database_urls: DatabaseURLs, tenant: TestTenant
) -> None:
    written = await record(
        database,
        tenant,
        text='é ☃ \U0001f600 \\u0000 "quoted" \u2028',
        order={"b": 1, "a": [None, True, False, 0, -(2**63), 2**63 - 1]},
        empty={"list": [], "object": {}, "text": ""},
        numbers=[
            1.0, -0.0, 0.1, 1e16, 1e19, -1e19, 1e22, 1.5e300, 5e-324, 1.7976931348623157e308, 2.0**63,
            123456789.12345679, 1234567890123456789.0, -1234567890123456789.0,
        ],
    )  # fmt: skip
    assert await verified(database, tenant) == written
    # The owner's connections read JSON with another parser.
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        await connection.execute(text(f"SET search_path TO {tenant.schema}"))
        assert await verify(connection, AuditLog) == written
    await engine.dispose()


async def test_a_row_is_added_in_one_statement(database: Database, tenant: TestTenant) -> None:
    await record(database, tenant)
    with counted_work() as work:
        await record(database, tenant)
    assert work.trips == ["BEGIN", "INSERT", "COMMIT"]


async def test_many_writers_at_once_make_one_chain_per_tenant(
    database_urls: DatabaseURLs, tenant: TestTenant, stranger: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some add two rows, some give up after theirs, and none needs a third attempt."""
    monkeypatch.setattr("app.audit.chain.ATTEMPTS", 2)
    database = Database(database_urls.runtime, pool_size=16, pool_timeout_seconds=60)
    before = {owner.id: await verified(database, owner) for owner in (tenant, stranger)}

    async def write(owner: TestTenant, n: int) -> None:
        async with database.tenant(owner.schema) as session:
            await record_in(session, n=n)
            if n % 3 == 0:
                await record_in(session, n=n, again=True)
            await asyncio.sleep(n % 4 / 1000)
            if n % 5 == 0:
                await session.rollback()

    await asyncio.gather(*(write(owner, n) for n in range(60) for owner in (tenant, stranger)))
    kept = sum((2 if n % 3 == 0 else 1) for n in range(60) if n % 5)
    for owner in (tenant, stranger):
        assert (await verified(database, owner)).sequence == before[owner.id].sequence + kept
    await database.close()


async def test_writers_queue_for_a_lock_and_not_for_a_row(database: Database, tenant: TestTenant) -> None:
    """So that they are served in order, and two attempts are enough."""
    async with database.tenant(tenant.schema) as session:
        held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert await session.scalar(held) == 0
        await record_in(session)
        assert await session.scalar(held) == 1


async def test_who_comes_too_late_follows_what_was_committed_meanwhile(
    database_urls: DatabaseURLs, tenant: TestTenant
) -> None:
    database = Database(database_urls.runtime, pool_size=4)
    async with database.tenant(tenant.schema) as session:
        first = await record_in(session)
        late = [asyncio.create_task(record(database, tenant)) for _ in range(3)]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in late)
    sequences = sorted(link.sequence for link in await asyncio.gather(*late))
    assert sequences == [first.sequence + n for n in (1, 2, 3)]
    assert (await verified(database, tenant)).sequence == sequences[-1]
    await database.close()


async def test_who_is_too_late_again_and_again_is_told_to_come_back(
    database_urls: DatabaseURLs, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.audit.chain.ATTEMPTS", 1)
    database = Database(database_urls.runtime, pool_size=2)
    async with database.tenant(tenant.schema) as session:
        first = await record_in(session)
        late = asyncio.create_task(record(database, tenant))
        await asyncio.sleep(0.3)
    with pytest.raises(TrailBusy) as caught:
        await late
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})
    assert await verified(database, tenant) == first
    await database.close()


async def test_writers_of_one_tenant_do_not_wait_for_another(
    database_urls: DatabaseURLs, tenant: TestTenant, stranger: TestTenant
) -> None:
    database = Database(database_urls.runtime, pool_size=2)
    async with database.tenant(tenant.schema) as session:
        await record_in(session)
        async with asyncio.timeout(10):
            await record(database, stranger)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await record(database, tenant)
    await database.close()


async def test_a_row_that_was_rolled_back_leaves_no_gap(database: Database, tenant: TestTenant) -> None:
    before = await record(database, tenant)
    async with database.tenant(tenant.schema) as session:
        await record_in(session)
        await session.rollback()
    after = await record(database, tenant)
    assert after.sequence == before.sequence + 1
    assert await verified(database, tenant) == after


@pytest.mark.parametrize("statement", ["UPDATE audit_logs SET action = 'x:y'", "DELETE FROM audit_logs"])
async def test_the_tenant_itself_cannot_rewrite_its_trail(
    database: Database, tenant: TestTenant, statement: str
) -> None:
    await record(database, tenant)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.tenant(tenant.schema) as session:
            await session.execute(text(statement))


async def test_a_cut_off_end_shows_against_a_link_noted_before(
    database: Database, tenant: TestTenant, database_urls: DatabaseURLs
) -> None:
    before = await record(database, tenant)
    noted = await record(database, tenant)
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        cut = text(f"DELETE FROM {tenant.schema}.audit_logs WHERE sequence = :at")
        await connection.execute(cut, {"at": noted.sequence})
    await engine.dispose()
    assert await verified(database, tenant, before) == before
    with pytest.raises(BrokenChain, match="the end is cut off"):
        await verified(database, tenant, before, noted)
    remade = await record(database, tenant, another="row")
    assert remade.sequence == noted.sequence
    with pytest.raises(BrokenChain, match="not the row that was noted"):
        await verified(database, tenant, before, noted)


async def test_a_long_trail_is_read_in_pieces(
    database: Database, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.audit.chain.ROWS_AT_A_TIME", 2)
    links = [await record(database, tenant, n=n) for n in range(5)]
    assert await verified(database, tenant, *links) == links[-1]
