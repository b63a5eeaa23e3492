"""A chained trail: what is written reads back unbroken, and whatever is changed shows."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.audit import service as audit
from app.audit.models import AuditLog
from app.audit.service import GENESIS, BrokenChain, Link, follow, link_hash
from app.core.database import Database, owner_engine
from tests.conftest import DatabaseURLs, TestTenant


async def without_trail(tenant: TestTenant, database_urls: DatabaseURLs) -> TestTenant:
    """Not even with the login of its client."""
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        await connection.execute(text(f"DELETE FROM {tenant.schema}.audit_logs"))
    await engine.dispose()
    return tenant


@pytest.fixture
async def tenant(tenant: TestTenant, database_urls: DatabaseURLs) -> TestTenant:
    return await without_trail(tenant, database_urls)


@pytest.fixture
async def stranger(stranger: TestTenant, database_urls: DatabaseURLs) -> TestTenant:
    return await without_trail(stranger, database_urls)


def chain(length: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    previous = GENESIS
    for sequence in range(1, length + 1):
        facts = {"sequence": sequence, "action": f"things:do_{sequence}", "details": {"n": sequence}}
        digest = link_hash(previous.hash, facts)
        rows.append({**facts, "target": None, "previous_hash": previous.hash, "hash": digest})
        previous = Link(sequence, digest)
    return rows


def walk(rows: list[dict[str, Any]]) -> Link:
    link = GENESIS
    for row in rows:
        link = follow(link, row)
    return link


def test_a_chain_reads_back_unbroken() -> None:
    assert walk(chain(5)).sequence == 5


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
    facts = {"sequence": 3, "action": "things:do_nothing", "details": {"n": 3}}
    rows[2].update(facts, hash=link_hash(rows[2]["previous_hash"], facts))


def drop_the_first(rows: list[dict[str, Any]]) -> None:
    del rows[0]


@pytest.mark.parametrize(
    ("tamper", "at"),
    [
        (remove, 3), (swap, 2), (change, 3), (change_within, 3), (fill_in, 3), (change_and_hash_again, 4),
        (drop_the_first, 1),
    ],
)  # fmt: skip
def test_tampering_shows_where_it_was_done(tamper: Callable[[list[dict[str, Any]]], None], at: int) -> None:
    rows = chain(5)
    tamper(rows)
    with pytest.raises(BrokenChain) as caught:
        walk(rows)
    assert caught.value.sequence == at


def test_the_same_moment_in_another_zone_is_the_same_fact() -> None:
    moment = datetime(2026, 5, 4, 12, 0, 0, 17, tzinfo=UTC)
    other = moment.astimezone(timezone(timedelta(hours=5)))
    assert link_hash(bytes(32), {"at": moment}) == link_hash(bytes(32), {"at": other})


@pytest.mark.parametrize(
    "value", [1.5, float("nan"), 2**63, "nul\x00", "\ud800", {"a\x00": 1}, b"x", object()]
)
def test_what_would_not_read_back_the_same_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"must|trail"):
        link_hash(bytes(32), {"details": {"value": value}})


def test_a_tuple_is_not_taken_for_a_list() -> None:
    with pytest.raises(ValueError, match="tuple"):
        link_hash(bytes(32), {"details": (1,)})


async def record(database: Database, tenant: TestTenant, **details: Any) -> Link:
    async with database.tenant(tenant.schema) as session:
        return await audit.record(
            session,
            actor_kind="user",
            actor_id=uuid.uuid4(),
            action="things:do",
            target_kind="thing",
            details=details,
        )


details = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8),
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12),
    max_size=4,
)


@given(written=st.lists(details, min_size=1, max_size=5))
def test_no_details_break_the_chain_of_their_own(written: list[dict[str, Any]]) -> None:
    """The pure half; the test below sends the awkward ones through PostgreSQL."""
    previous = GENESIS
    for sequence, each in enumerate(written, start=1):
        facts = {"sequence": sequence, "details": each}
        digest = link_hash(previous.hash, facts)
        previous = follow(previous, {**facts, "previous_hash": previous.hash, "hash": digest})


async def test_what_jsonb_stores_reads_back_as_it_was_hashed(database: Database, tenant: TestTenant) -> None:
    await record(database, tenant)
    await record(
        database,
        tenant,
        text='é ☃ \U0001f600 \\u0000 "quoted" \u2028',
        order={"b": 1, "a": [None, True, False, 0, -(2**63), 2**63 - 1]},
        empty={"list": [], "object": {}, "text": ""},
    )
    async with database.tenant(tenant.schema) as session:
        assert (await audit.verify(session, AuditLog)).sequence == 2


async def test_concurrent_writers_make_one_chain_per_tenant(
    database_urls: DatabaseURLs, tenant: TestTenant, stranger: TestTenant
) -> None:
    database = Database(database_urls.runtime, pool_size=8)
    owners = [tenant, stranger] * 20
    await asyncio.gather(*(record(database, owner, n=n) for n, owner in enumerate(owners)))
    for owner in (tenant, stranger):
        async with database.tenant(owner.schema) as session:
            assert (await audit.verify(session, AuditLog)).sequence == 20
    await database.close()


async def test_writers_of_one_tenant_do_not_wait_for_another(
    database_urls: DatabaseURLs, tenant: TestTenant, stranger: TestTenant
) -> None:
    database = Database(database_urls.runtime, pool_size=2)
    async with database.tenant(tenant.schema) as session:
        await audit.record(
            session, actor_kind="system", actor_id=None, action="things:do", target_kind="thing"
        )
        async with asyncio.timeout(10):
            await record(database, stranger)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await record(database, tenant)
    await database.close()


async def test_a_row_that_was_rolled_back_leaves_no_gap(database: Database, tenant: TestTenant) -> None:
    await record(database, tenant)
    async with database.tenant(tenant.schema) as session:
        await audit.record(
            session, actor_kind="system", actor_id=None, action="things:do", target_kind="thing"
        )
        await session.rollback()
    assert (await record(database, tenant)).sequence == 2
    async with database.tenant(tenant.schema) as session:
        assert (await audit.verify(session, AuditLog)).sequence == 2


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
    await record(database, tenant)
    noted = await record(database, tenant)
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        await connection.execute(text(f"DELETE FROM {tenant.schema}.audit_logs WHERE sequence = 2"))
    await engine.dispose()
    async with database.tenant(tenant.schema) as session:
        assert (await audit.verify(session, AuditLog)).sequence == 1
        with pytest.raises(BrokenChain, match="the end is cut off"):
            await audit.verify(session, AuditLog, anchor=noted)
    remade = await record(database, tenant, another="row")
    assert remade.sequence == noted.sequence
    async with database.tenant(tenant.schema) as session:
        with pytest.raises(BrokenChain, match="not the row that was noted"):
            await audit.verify(session, AuditLog, anchor=noted)


async def test_a_long_trail_is_read_in_pieces(
    database: Database, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "ROWS_AT_A_TIME", 2)
    for n in range(5):
        await record(database, tenant, n=n)
    async with database.tenant(tenant.schema) as session:
        assert (await audit.verify(session, AuditLog)).sequence == 5
