"""Dedicated tenants share one bound on connections, and leave none open when they are no longer dedicated."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.core.context import DEFAULT_PLACEMENT, TenantRef
from app.core.settings import Settings
from app.main import create_app
from app.tenants.bootstrap import lifecycle_from, move_from
from app.tenants.isolation import tenant_login_url
from app.tenants.models import Isolation
from tests.conftest import DatabaseURLs, TestTenant, tenant_maker
from tests.tenants.conftest import SECOND, Clusters

PATIENCE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Server:
    """What PostgreSQL itself knows of its sessions."""

    connection: asyncpg.Connection

    async def pids(self, tenants: Iterable[TestTenant]) -> list[int]:
        """The sessions that are logged in as these tenants."""
        query = "SELECT pid FROM pg_stat_activity WHERE usename = ANY ($1)"
        return [row["pid"] for row in await self.connection.fetch(query, [one.schema for one in tenants])]

    async def gone(self, pids: Sequence[int]) -> bool:
        """True when these sessions have ended, perhaps after a moment."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY ($1)"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while await self.connection.fetchval(query, pids):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True


@pytest.fixture
async def server(database_urls: DatabaseURLs) -> AsyncIterator[Server]:
    connection = await asyncpg.connect(database_urls.superuser)
    yield Server(connection)
    await connection.close()


@dataclass(frozen=True, slots=True)
class Service:
    """A running service, its settings, and dedicated tenants of it."""

    app: FastAPI
    settings: Settings
    tenants: list[TestTenant]

    async def ref(self, tenant: TestTenant) -> TenantRef:
        ref: TenantRef | None = await self.app.state.registry.read(tenant.id)
        assert ref is not None
        return ref


Serve = Callable[..., Awaitable[Service]]


@asynccontextmanager
async def serving(settings: Settings, tenants: int, **changes: Any) -> AsyncIterator[Service]:
    changed = Settings(_env_file=None, **{**settings.model_dump(), **changes})
    application = create_app(changed)
    async with (
        application.router.lifespan_context(application),
        tenant_maker(application) as make,
        lifecycle_from(changed) as (lifecycle, _),
    ):
        made = [await make() for _ in range(tenants)]
        for one in made:
            await lifecycle.isolate(one.id, Isolation.DEDICATED)
        yield Service(application, changed, made)


@pytest.fixture
async def serve(settings: Settings) -> AsyncIterator[Serve]:
    """Start services with settings of their own and so many dedicated tenants."""
    async with AsyncExitStack() as stack:

        async def start(tenants: int, **changes: Any) -> Service:
            return await stack.enter_async_context(serving(settings, tenants, **changes))

        yield start


async def test_more_dedicated_tenants_than_connections_are_all_served_within_the_bound(
    serve: Serve, server: Server
) -> None:
    service = await serve(6, dedicated_pool_size=2, dedicated_max_connections=3)
    requests = [
        asyncio.create_task(one.client.get("/v1/resources")) for _ in range(5) for one in service.tenants
    ]
    peak = 0
    while not all(request.done() for request in requests):
        peak = max(peak, len(await server.pids(service.tenants)))
        await asyncio.sleep(0.002)
    assert [request.result().status_code for request in requests] == [200] * len(requests)
    # A session that was closed is seen until its process has ended, a moment later.
    assert 1 <= peak <= 3 + 1
    await asyncio.sleep(0.2)
    assert len(await server.pids(service.tenants)) <= 3


async def test_a_tenant_that_nobody_asks_for_gives_its_connections_back(serve: Serve, server: Server) -> None:
    service = await serve(1, dedicated_idle_seconds=0.3)
    [tenant] = service.tenants
    for _ in range(2):
        assert (await tenant.client.get("/v1/resources")).status_code == 200
        pids = await server.pids([tenant])
        assert pids
        assert await server.gone(pids)


async def test_while_all_connections_are_in_use_others_wait_and_hear_503(
    serve: Serve, server: Server
) -> None:
    """Never at the cost of one that is in use, and only until there is one again."""
    service = await serve(2, dedicated_max_connections=1, database_pool_timeout_seconds=0.5)
    holder, waiter = service.tenants
    async with service.app.state.databases.tenant(await service.ref(holder)) as session:
        await session.execute(text("SELECT 1"))
        [pid] = await server.pids([holder])
        answer = await waiter.client.get("/v1/resources")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert await session.scalar(text("SELECT pg_backend_pid()")) == pid
        waiting = asyncio.create_task(waiter.client.get("/v1/resources"))
        await asyncio.sleep(0.1)
    assert (await waiting).status_code == 200
    assert await server.gone([pid]), "the least recently used one made room"
    assert (await holder.client.get("/v1/resources")).status_code == 200


async def test_a_tenant_that_is_pooled_again_leaves_no_session_of_its_own(
    serve: Serve, server: Server
) -> None:
    service = await serve(1)
    [tenant] = service.tenants
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    pids = await server.pids([tenant])
    assert pids
    async with lifecycle_from(service.settings) as (lifecycle, _):
        await lifecycle.isolate(tenant.id, Isolation.POOLED)
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    assert await server.gone(pids)


async def test_a_tenant_that_was_moved_leaves_no_session_where_it_was(
    clusters: Clusters, server: Server
) -> None:
    tenant = await clusters.make()
    async with lifecycle_from(clusters.settings) as (lifecycle, _):
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    pids = await server.pids([tenant])
    assert pids
    async with move_from(clusters.settings) as move:
        await move.run(tenant.id, SECOND)
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    assert await server.gone(pids)


async def test_a_purge_ends_the_sessions_of_the_tenant_wherever_they_come_from(
    serve: Serve, server: Server
) -> None:
    """One of a process that hears of nothing, and one in a transaction that holds a lock."""
    service = await serve(1)
    [tenant] = service.tenants
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    url = tenant_login_url(
        service.settings.runtime_urls[DEFAULT_PLACEMENT],
        tenant.schema,
        service.settings.secret_key.get_secret_value(),
    )
    deaf = await asyncpg.connect(url)
    await deaf.execute(f"BEGIN; LOCK TABLE {tenant.schema}.resources IN ROW EXCLUSIVE MODE")
    pids = await server.pids([tenant])
    assert len(pids) == 2
    async with lifecycle_from(service.settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        assert (await purge.remains(tenant.id, DEFAULT_PLACEMENT)).sessions == 2
        remains = await purge.run(tenant.id, before_grace_ends=True)
    assert remains.none, remains
    assert await server.gone(pids)
    assert deaf.is_closed()
    assert (await tenant.client.get("/v1/resources")).status_code == 401


async def test_a_purge_that_may_not_end_a_session_says_so_and_deletes_no_role(
    serve: Serve, server: Server
) -> None:
    service = await serve(1)
    [tenant] = service.tenants
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    await server.connection.execute(f"REVOKE ADMIN OPTION FOR {tenant.schema} FROM app_owner")
    async with lifecycle_from(service.settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        with pytest.raises(Exception, match="permission denied"):
            await purge.run(tenant.id, before_grace_ends=True)
        assert (await purge.remains(tenant.id, DEFAULT_PLACEMENT)).sessions == 1
        await server.connection.execute(f"GRANT {tenant.schema} TO app_owner WITH ADMIN OPTION")
        assert (await purge.run(tenant.id, before_grace_ends=True)).none
