"""The trail of the platform: one chain under concurrency, read in pages, and proof against rewriting."""

import asyncio
import uuid

import httpx
import pytest
from sqlalchemy import text

from app.audit.chain import BrokenChain, verify
from app.core.database import Database, owner_engine
from app.operators import record_action
from app.operators.models import OperatorAction
from tests.conftest import DatabaseURLs, TestOperator, TestTenant

ACTIONS = "/v1/operators/actions"


async def test_concurrent_actions_of_both_logins_make_one_chain(database_urls: DatabaseURLs) -> None:
    """The service appends on its pool, lifecycle changes on the owner's connection."""
    database, engine = Database(database_urls.runtime, pool_size=8), owner_engine(database_urls.owner)
    mark = uuid.uuid4()

    async def as_runtime() -> None:
        async with database.platform() as session:
            await record_action(session, "things:do", target=str(mark), operator_id=mark)

    async def as_owner() -> None:
        async with engine.begin() as connection:
            await record_action(connection, "things:do", target=str(mark), details={"by": "owner"})

    await asyncio.gather(*(each() for each in [as_runtime, as_owner] * 10))
    async with database.platform() as session:
        link = await verify(session, OperatorAction)
        query = text(
            "SELECT count(*), max(sequence) - min(sequence) FROM operator_actions WHERE target = :mark"
        )
        assert tuple((await session.execute(query, {"mark": str(mark)})).one()) == (20, 19)
        assert link.sequence >= 20
    await database.close()
    await engine.dispose()


async def test_an_action_that_is_rolled_back_leaves_no_row_and_no_gap(
    database_urls: DatabaseURLs, database: Database
) -> None:
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        await record_action(connection, "things:do")
        await connection.rollback()
    async with database.platform() as session:
        before = await verify(session, OperatorAction)
        assert (await record_action(session, "things:do")).sequence == before.sequence + 1
    await engine.dispose()


async def test_the_trail_is_paged_newest_first(
    operator: TestOperator, tenant: TestTenant, database: Database
) -> None:
    async with database.platform() as session:
        for number in range(5):
            await record_action(session, "things:do", tenant_id=tenant.id, details={"number": number})
    seen: list[int] = []
    url: str | None = f"{ACTIONS}?tenant_id={tenant.id}&limit=2"
    pages = 0
    while url:
        page = (await operator.client.get(url)).json()
        seen += [item["details"]["number"] for item in page["items"]]
        pages += 1
        cursor = page["next_cursor"]
        url = f"{ACTIONS}?tenant_id={tenant.id}&limit=2&cursor={cursor}" if cursor else None
        # What is added meanwhile moves no page.
        async with database.platform() as session:
            await record_action(session, "things:do", tenant_id=tenant.id, details={"number": 99})
    assert (seen, pages) == ([4, 3, 2, 1, 0], 3)
    everything = (await operator.client.get(f"{ACTIONS}?limit=1")).json()
    assert len(everything["items"][0]["hash"]) == 64
    assert everything["next_cursor"]


async def test_a_cursor_serves_the_list_that_gave_it_only(
    operator: TestOperator, tenant: TestTenant, client: httpx.AsyncClient
) -> None:
    cursor = (await operator.client.get(f"{ACTIONS}?limit=1")).json()["next_cursor"]
    for _ in range(2):
        await tenant.client.post("/v1/resources", json={"name": "x"})
    theirs = (await tenant.client.get("/v1/resources?limit=1")).json()["next_cursor"]
    assert (await operator.client.get(f"{ACTIONS}?cursor={cursor}")).status_code == 200
    for path in (f"{ACTIONS}?tenant_id={tenant.id}&cursor={cursor}", f"{ACTIONS}?cursor={theirs}"):
        answer = await operator.client.get(path)
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:problem-type:invalid-cursor")
    assert (await tenant.client.get(f"/v1/resources?cursor={cursor}")).status_code == 400


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE platform.operator_actions SET details = \'{"reason": "none"}\' WHERE sequence = :at',
        "UPDATE platform.operator_actions SET occurred_at = now() WHERE sequence = :at",
        "UPDATE platform.operator_actions SET tenant_id = gen_random_uuid() WHERE sequence = :at",
        "DELETE FROM platform.operator_actions WHERE sequence = :at",
    ],
)
async def test_whoever_owns_the_database_cannot_rewrite_it_unseen(
    database: Database, database_urls: DatabaseURLs, statement: str
) -> None:
    async with database.platform() as session:
        at = (await record_action(session, "things:do")).sequence
        await record_action(session, "things:do")
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        await connection.execute(text(statement), {"at": at})
        with pytest.raises(BrokenChain, match=f"broken at {at}"):
            await verify(connection, OperatorAction)
        await connection.rollback()
    await engine.dispose()
