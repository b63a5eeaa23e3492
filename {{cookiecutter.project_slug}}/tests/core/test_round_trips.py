"""Routing costs no round trip: counted by a proxy between the pool and PostgreSQL."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.core.database import Database, async_url
from app.core.routing import tenant_route
from app.core.settings import Pooler
from bench.proxy import RoundTripProxy
from bench.routing import measure_routing
from tests.conftest import DatabaseURLs, TestTenant
from tests.pgbouncer import find_pgbouncer, pgbouncer

TRANSACTIONS = 20
QUERY = text("SELECT count(*) FROM resources WHERE version = :version")


@pytest.fixture
async def proxy(database_urls: DatabaseURLs) -> AsyncIterator[RoundTripProxy]:
    async with RoundTripProxy(database_urls.runtime) as proxy:
        yield proxy


async def round_trips(proxy: RoundTripProxy, database: Database, schema: str) -> float:
    """For each transaction with one SELECT, once the statement is prepared."""
    try:
        for number in range(TRANSACTIONS + 1):
            async with database.tenant(schema) as session:
                assert await session.scalar(QUERY, {"version": number}) == 0
            if number == 0:
                proxy.reset()
    finally:
        await database.close()
    return proxy.round_trips / TRANSACTIONS


async def test_a_routed_transaction_takes_three_round_trips(
    proxy: RoundTripProxy, tenant: TestTenant
) -> None:
    assert await round_trips(proxy, Database(proxy.url, pool_size=1), tenant.schema) == 3.0


async def test_changing_tenants_costs_no_more(
    proxy: RoundTripProxy, tenant: TestTenant, stranger: TestTenant
) -> None:
    database = Database(proxy.url, pool_size=1)
    for number in range(TRANSACTIONS + 1):
        async with database.tenant((tenant, stranger)[number % 2].schema) as session:
            await session.scalar(QUERY, {"version": 0})
        if number == 0:
            proxy.reset()
    await database.close()
    assert proxy.round_trips == 3 * TRANSACTIONS


async def test_an_unrouted_transaction_takes_as_many(proxy: RoundTripProxy) -> None:
    engine = create_async_engine(async_url(proxy.url), pool_size=1)
    for number in range(TRANSACTIONS + 1):
        async with engine.begin() as connection:
            await connection.scalar(text("SELECT CAST(:number AS int)"), {"number": number})
        if number == 0:
            proxy.reset()
    await engine.dispose()
    assert proxy.round_trips == 3 * TRANSACTIONS


async def test_the_proxy_sees_a_statement_that_routes_apart(
    proxy: RoundTripProxy, tenant: TestTenant
) -> None:
    """A control, so that three is known to be counted and not assumed."""
    engine = create_async_engine(async_url(proxy.url), pool_size=1)
    role, path = tenant_route(tenant.schema).statements.rstrip(";").split(";")
    for number in range(TRANSACTIONS + 1):
        async with engine.begin() as connection:
            await connection.execute(text(role))
            await connection.execute(text(path))
            await connection.scalar(QUERY, {"version": number})
        if number == 0:
            proxy.reset()
    await engine.dispose()
    assert proxy.round_trips == 5 * TRANSACTIONS


async def test_behind_pgbouncer_a_statement_is_parsed_each_time(
    database_urls: DatabaseURLs, tenant: TestTenant
) -> None:
    with pgbouncer(find_pgbouncer(), database_urls.runtime) as url:
        async with RoundTripProxy(url) as proxy:
            database = Database(proxy.url, pool_size=1, pooler=Pooler.PGBOUNCER)
            assert await round_trips(proxy, database, tenant.schema) == 4.0


async def test_the_benchmark_compares_four_ways_in_one_run(
    database_urls: DatabaseURLs, tenant: TestTenant
) -> None:
    """As the superuser, who may do in every variant what is compared."""
    database = Database(database_urls.superuser, pool_size=1)
    async with database.tenant(tenant.schema) as session:
        await session.execute(
            text("INSERT INTO resources (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'x')")
        )
    await database.close()
    costs = await measure_routing(database_urls.superuser, tenant.schema, transactions=TRANSACTIONS)
    assert {cost.variant: cost.round_trips for cost in costs} == {
        "fixed search_path": 3.0,
        "routed": 3.0,
        "set_config": 4.0,
        "separate SET statements": 5.0,
    }
    assert all(cost.p50_ms > 0 for cost in costs)
