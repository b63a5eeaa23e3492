"""What routing costs: round trips counted by a proxy, and the median time as a ratio to a fixed tenant's.

`python -m bench.routing` makes a PostgreSQL of its own. All variants run in turns in the same run, doing the
same SELECT in a transaction, so that a busy machine slows all of them alike.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from time import perf_counter

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from app.core.database import Database, async_url
from app.core.routing import tenant_route
from app.embedded.throwaway import ThrowawayDatabase, throwaway_database
from app.tenants.isolation_twins import RESOURCE_IDS, temporary_twins
from bench.proxy import RoundTripProxy

SELECT = text("SELECT name FROM resources WHERE id = :id")
WARM_UP = 20
BUDGET_ROUND_TRIPS = 3.0

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one transaction with one SELECT. `ratio` compares the median with that of the fixed search path."""

    variant: str
    round_trips: float
    p50_ms: float
    ratio: float


async def measure_routing(
    runtime_url: str, schema: str, *, transactions: int, link_seconds: float = 0.0
) -> list[Cost]:
    """Compare the ways to reach a tenant; `link_seconds` is the one-way delay to put before the server.

    `runtime_url` is a login that may read `schema` without its role, for the variants that take none.
    """
    async with AsyncExitStack() as stack:
        variants: dict[str, tuple[RoundTripProxy, Transaction]] = {}
        for name, make in VARIANTS.items():
            proxy = await stack.enter_async_context(RoundTripProxy(runtime_url, delay_seconds=link_seconds))
            variants[name] = (proxy, await stack.enter_async_context(make(proxy.url, schema)))
        for proxy, transaction in variants.values():
            for _ in range(WARM_UP):
                await _select(transaction)
            proxy.reset()
        times: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(transactions):
            for name, (_proxy, transaction) in variants.items():
                started = perf_counter()
                await _select(transaction)
                times[name].append(perf_counter() - started)
        medians = {name: statistics.median(taken) for name, taken in times.items()}
        return [
            Cost(
                name,
                proxy.round_trips / transactions,
                medians[name] * 1000,
                medians[name] / medians[FIXED],
            )
            for name, (proxy, _transaction) in variants.items()
        ]


async def _select(transaction: Transaction) -> None:
    async with transaction() as session:
        if await session.scalar(SELECT, {"id": RESOURCE_IDS[0]}) is None:
            raise RuntimeError("the row is missing")


@asynccontextmanager
async def _fixed(url: str, schema: str) -> AsyncIterator[Transaction]:
    """A pool for one tenant only: what a service without tenants does."""
    async with _engine(url, search_path=schema) as engine:
        yield lambda: _transaction(engine)


@asynccontextmanager
async def _routed(url: str, schema: str) -> AsyncIterator[Transaction]:
    """As the service does."""
    database = Database(url, pool_size=1)
    yield lambda: database.tenant(schema)
    await database.close()


@asynccontextmanager
async def _separate_statements(url: str, schema: str) -> AsyncIterator[Transaction]:
    async with _engine(url) as engine:
        route = tenant_route(schema).statements
        yield lambda: _transaction(engine, *(part for part in route.split(";") if part.strip()))


@asynccontextmanager
async def _set_config(url: str, schema: str) -> AsyncIterator[Transaction]:
    statement = (
        f"SELECT set_config('role', '{schema}', true), set_config('search_path', '{schema}, pg_temp', true)"
    )
    async with _engine(url) as engine:
        yield lambda: _transaction(engine, statement)


FIXED = "fixed search_path"
VARIANTS: dict[str, Callable[[str, str], AbstractAsyncContextManager[Transaction]]] = {
    FIXED: _fixed,
    "routed": _routed,
    "set_config": _set_config,
    "separate SET statements": _separate_statements,
}


@asynccontextmanager
async def _engine(url: str, **server_settings: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(
        async_url(url), pool_size=1, max_overflow=0, connect_args={"server_settings": server_settings}
    )
    yield engine
    await engine.dispose()


@asynccontextmanager
async def _transaction(engine: AsyncEngine, *statements: str) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        for statement in statements:
            await session.execute(text(statement))
        yield session


async def run(database: ThrowawayDatabase, *, transactions: int, link_seconds: float) -> list[Cost]:
    """Measure on a throwaway database, where `set_config` may be opened for the comparison."""
    superuser = await asyncpg.connect(database.superuser_url)
    await superuser.execute("GRANT EXECUTE ON FUNCTION set_config(text, text, boolean) TO PUBLIC")
    await superuser.close()
    async with temporary_twins(database.owner_url) as (_closed, (schema, _other)):
        return await measure_routing(
            database.runtime_url, schema, transactions=transactions, link_seconds=link_seconds
        )


def main() -> None:
    """Print the costs; exit code 1 when a routed transaction takes more round trips than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench.routing", description=__doc__)
    parser.add_argument("--transactions", type=int, default=500)
    parser.add_argument("--link-ms", type=float, default=0.5, help="round trip of the link, in milliseconds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with throwaway_database() as database:
        costs = asyncio.run(run(database, transactions=given.transactions, link_seconds=given.link_ms / 2000))
    if given.json:
        sys.stdout.write(json.dumps([asdict(cost) for cost in costs]) + "\n")
    else:
        sys.stdout.write(f"{'variant':26}{'round trips':>12}{'p50 ms':>10}{'ratio':>8}\n")
        for cost in costs:
            sys.stdout.write(
                f"{cost.variant:26}{cost.round_trips:12.2f}{cost.p50_ms:10.2f}{cost.ratio:7.2f}x\n"
            )
    routed = next(cost for cost in costs if cost.variant == "routed")
    raise SystemExit(routed.round_trips > BUDGET_ROUND_TRIPS)


if __name__ == "__main__":
    main()
