"""Pools of one budget hold no more than it allows, take turns, and lose no place whoever gives up."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.core.database import Database
from app.core.pools import ConnectionBudget
from bench.proxy import RoundTripProxy
from tests.conftest import DatabaseURLs

PID = text("SELECT pg_backend_pid()")
MakePool = Callable[..., Database]


@pytest.fixture
async def pool_of(database_urls: DatabaseURLs) -> AsyncIterator[MakePool]:
    """Make pools; they are closed at the end, and then the budget must hold nothing."""
    made: list[tuple[Database, ConnectionBudget]] = []

    def make(
        budget: ConnectionBudget, size: int = 2, timeout: float = 5.0, url: str = database_urls.runtime
    ) -> Database:
        database = Database(url, pool_size=size, pool_timeout_seconds=timeout, budget=budget)
        made.append((database, budget))
        return database

    yield make
    for database, _ in made:
        await database.close()
    for _, budget in made:
        assert await shrinks_to(budget, 0)


def budget_of(limit: int, idle_seconds: float = 60.0) -> ConnectionBudget:
    return ConnectionBudget(limit, idle_seconds=idle_seconds)


async def shrinks_to(budget: ConnectionBudget, count: int) -> bool:
    """True when no more connections are open than that, perhaps after a moment."""
    for _ in range(500):
        if budget.open <= count:
            return True
        await asyncio.sleep(0.01)
    return False


async def pid(database: Database) -> int:
    async with database.platform() as session:
        return int(await session.scalar(PID) or 0)


async def test_a_connection_is_used_again_and_costs_three_round_trips(
    database_urls: DatabaseURLs, pool_of: MakePool
) -> None:
    async with RoundTripProxy(database_urls.runtime) as proxy:
        database = pool_of(budget_of(2), url=proxy.url)
        pids = {await pid(database)}
        proxy.reset()
        pids |= {await pid(database) for _ in range(5)}
        assert (len(pids), proxy.round_trips) == (1, 15)
        await database.close()


async def test_one_pool_keeps_to_its_own_size_and_all_to_the_budget(pool_of: MakePool) -> None:
    budget = budget_of(3)
    pools = [pool_of(budget) for _ in range(4)]
    in_use = [0] * 4
    most = 0

    async def work(number: int) -> None:
        nonlocal most
        async with pools[number].platform() as session:
            await session.scalar(PID)
            in_use[number] += 1
            assert in_use[number] <= 2
            most = max(most, sum(in_use))
            assert budget.open <= 3
            await session.scalar(text("SELECT pg_sleep(0.002)"))
            in_use[number] -= 1

    await asyncio.gather(*(work(number % 4) for number in range(80)))
    assert most == 3


async def test_the_least_recently_used_connection_makes_room(pool_of: MakePool) -> None:
    budget = budget_of(2)
    first, second, third = (pool_of(budget) for _ in range(3))
    kept, lost = await pid(first), await pid(second)
    assert await pid(first) == kept
    await pid(third)
    assert await pid(first) == kept
    assert await pid(second) != lost


async def test_who_came_first_is_served_first_whichever_the_pool(pool_of: MakePool) -> None:
    budget = budget_of(1)
    busy, other = pool_of(budget), pool_of(budget)
    order: list[str] = []

    async def work(name: str, database: Database) -> None:
        await pid(database)
        order.append(name)

    async with busy.platform() as session:
        await session.scalar(PID)
        tasks = []
        for name, database in (("other", other), ("busy", busy), ("other again", other)):
            tasks.append(asyncio.create_task(work(name, database)))
            await asyncio.sleep(0.05)
        assert order == []
    await asyncio.gather(*tasks)
    assert order == ["other", "busy", "other again"]


async def test_who_waits_too_long_is_refused_and_forgotten(pool_of: MakePool) -> None:
    budget = budget_of(1)
    holder, waiter = pool_of(budget), pool_of(budget, timeout=0.1)
    async with holder.platform() as session:
        held = await session.scalar(PID)
        for _ in range(2):
            with pytest.raises(PoolTimeout):
                await pid(waiter)
    assert await pid(holder) == held, "nobody was given a turn who had gone"
    assert await pid(waiter) != held


async def test_callers_that_are_cancelled_at_any_moment_lose_no_place(pool_of: MakePool) -> None:
    budget = budget_of(3)
    pools = [pool_of(budget, size=3) for _ in range(4)]
    dice = random.Random(7)
    for _ in range(12):
        tasks = [asyncio.create_task(pid(dice.choice(pools))) for _ in range(25)]
        for task in tasks:
            if dice.random() < 0.5:
                await asyncio.sleep(dice.random() * 0.004)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert budget.open <= 3
    async with AsyncExitStack() as stack:
        for _ in range(3):
            session = await stack.enter_async_context(pools[0].platform())
            await session.scalar(PID)
        assert budget.open == 3


async def test_a_server_that_refuses_takes_no_place(pool_of: MakePool, database_urls: DatabaseURLs) -> None:
    budget = budget_of(1)
    wrong = make_url(database_urls.runtime).set(password="wrong").render_as_string(hide_password=False)
    closed, good = pool_of(budget, url=wrong), pool_of(budget)
    for _ in range(3):
        with pytest.raises(DBAPIError, match="password authentication failed"):
            await pid(closed)
        assert budget.open == 0
    await pid(good)


async def test_a_connection_that_the_server_ended_is_replaced(
    pool_of: MakePool, database_urls: DatabaseURLs
) -> None:
    budget = budget_of(1)
    database = pool_of(budget)
    ended = await pid(database)
    superuser = await asyncpg.connect(database_urls.superuser)
    await superuser.execute("SELECT pg_terminate_backend($1, 5000)", ended)
    await superuser.close()
    await asyncio.sleep(0.05)
    assert await pid(database) != ended
    assert budget.open == 1


async def test_what_is_idle_is_closed_and_what_is_in_use_is_not(pool_of: MakePool) -> None:
    budget = budget_of(4, idle_seconds=0.2)
    idle, used = pool_of(budget), pool_of(budget)
    await pid(idle)
    async with used.platform() as session:
        held = await session.scalar(PID)
        assert await shrinks_to(budget, 1)
        await asyncio.sleep(0.3)
        assert await session.scalar(PID) == held


async def test_a_pool_that_is_closed_closes_what_is_in_use_when_it_comes_back(pool_of: MakePool) -> None:
    budget = budget_of(2)
    database = pool_of(budget)
    async with database.platform() as session:
        held = await session.scalar(PID)
        await database.close()
        assert await session.scalar(PID) == held
    assert await shrinks_to(budget, 0)
    assert await pid(database) != held, "who had it in hand can go on"
