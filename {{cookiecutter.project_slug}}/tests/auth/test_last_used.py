"""When a key was last used: noted in memory, written for all keys of a tenant at once, never backwards."""

import asyncio
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from fastapi import FastAPI
from sqlalchemy import text

from app.auth.last_used import LastUsedRecorder, write_last_used
from app.core.database import Database, owner_engine
from app.core.settings import Settings
from app.main import create_app
from app.tenants.bootstrap import lifecycle_from
from tests.auth.keys import KEYS, another_secret, holder_of, make_key, status_of
from tests.conftest import DatabaseURLs, TestTenant
from tests.work import counted_work


class Store:
    def __init__(self) -> None:
        self.calls: list[tuple[uuid.UUID, dict[uuid.UUID, datetime]]] = []
        self.away: set[uuid.UUID] = set()
        self.has_written = asyncio.Event()

    async def write(self, tenant_id: uuid.UUID, uses: Mapping[uuid.UUID, datetime]) -> None:
        await asyncio.sleep(0)
        if tenant_id in self.away:
            raise ConnectionError
        self.calls.append((tenant_id, dict(uses)))
        self.has_written.set()


ONE, TWO, KEY, OTHER = (uuid.UUID(int=number) for number in range(1, 5))


async def last_used(tenant: TestTenant, key: dict[str, Any]) -> datetime | None:
    told = (await tenant.client.get(f"{KEYS}/{key['id']}")).json()["last_used_at"]
    return None if told is None else datetime.fromisoformat(told)


async def test_many_uses_are_one_write_for_each_tenant() -> None:
    store = Store()
    recorder = LastUsedRecorder(store.write)
    for _ in range(100):
        for tenant_id, key_id in ((ONE, KEY), (ONE, OTHER), (TWO, KEY)):
            recorder.record(tenant_id, key_id)
    await recorder.flush()
    await recorder.flush()
    assert [(tenant_id, set(uses)) for tenant_id, uses in store.calls] == [(ONE, {KEY, OTHER}), (TWO, {KEY})]


async def test_it_is_written_by_itself_and_at_the_end() -> None:
    store = Store()
    recorder = LastUsedRecorder(store.write, flush_seconds=0.01)
    recorder.start()
    recorder.record(ONE, KEY)
    await asyncio.wait_for(store.has_written.wait(), 5)
    recorder = LastUsedRecorder(store.write, flush_seconds=1_000)
    recorder.start()
    recorder.record(TWO, KEY)
    await recorder.stop()
    assert [tenant_id for tenant_id, _ in store.calls] == [ONE, TWO]


async def test_what_cannot_be_written_waits_and_others_do_not() -> None:
    store = Store()
    recorder = LastUsedRecorder(store.write)
    store.away = {ONE}
    recorder.record(ONE, KEY)
    recorder.record(TWO, KEY)
    with structlog.testing.capture_logs() as logs:
        await recorder.flush()
    assert [line["event"] for line in logs] == ["last_used_write_failed"]
    store.away = set()
    await recorder.flush()
    assert [tenant_id for tenant_id, _ in store.calls] == [TWO, ONE]


async def test_a_use_during_a_write_is_not_lost() -> None:
    store = Store()
    recorder = LastUsedRecorder(store.write)
    recorder.record(ONE, KEY)
    flush = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0)
    recorder.record(ONE, KEY)
    await flush
    await recorder.flush()
    first, second = (uses[KEY] for _, uses in store.calls)
    assert first < second


async def test_memory_is_bounded() -> None:
    store = Store()
    recorder = LastUsedRecorder(store.write, capacity=2)
    for key_id in (KEY, OTHER, ONE, KEY):
        recorder.record(ONE, key_id)
    await recorder.flush()
    assert [set(uses) for _, uses in store.calls] == [{KEY, OTHER}]


async def test_a_use_shows_after_the_flush_and_costs_the_request_nothing(
    app: FastAPI, tenant: TestTenant
) -> None:
    used, unused = await make_key(tenant.client), await make_key(tenant.client)
    before = datetime.now(UTC)
    async with holder_of(app, used) as client:
        await client.get("/v1/resources")
        with counted_work() as work:
            await client.get("/v1/resources")
    assert [word for word in work.trips if word == "UPDATE"] == []
    assert await last_used(tenant, used) is None
    await app.state.last_used.flush()
    at = await last_used(tenant, used)
    assert at is not None
    assert before <= at <= datetime.now(UTC)
    assert await last_used(tenant, unused) is None


async def test_refused_requests_are_no_use(app: FastAPI, tenant: TestTenant) -> None:
    key = await make_key(tenant.client)
    assert await status_of(app, another_secret(key["api_key"])) == 401
    await app.state.last_used.flush()
    assert await last_used(tenant, key) is None


async def test_a_process_that_stops_writes_what_it_noted(
    settings: Settings, app: FastAPI, tenant: TestTenant
) -> None:
    key = await make_key(tenant.client)
    other = create_app(settings)
    async with other.router.lifespan_context(other):
        assert await status_of(other, key) == 200
        assert await last_used(tenant, key) is None
    assert await last_used(tenant, key) is not None


async def test_a_slow_process_does_not_set_the_time_back(app: FastAPI, tenant: TestTenant) -> None:
    key, other = await make_key(tenant.client), await make_key(tenant.client)
    now = datetime.now(UTC)
    databases, registry = app.state.databases, app.state.registry
    for late, key_ids in ((0, (key,)), (60, (key, other))):
        uses = {uuid.UUID(each["id"]): now - timedelta(seconds=late) for each in key_ids}
        with counted_work() as work:
            await write_last_used(databases, registry, tenant.id, uses)
        assert [query.split()[0] for query in work.queries] == ["SELECT", "UPDATE"]
    assert await last_used(tenant, key) == now
    assert await last_used(tenant, other) == now - timedelta(seconds=60)


async def test_processes_that_write_the_same_keys_do_not_lock_each_other_out(
    app: FastAPI, tenant: TestTenant
) -> None:
    ids = [uuid.UUID((await make_key(tenant.client))["id"]) for _ in range(5)]
    now = datetime.now(UTC)
    for second in range(5):
        orders = (ids, ids[::-1], ids[2:] + ids[:2])
        await asyncio.gather(
            *(
                write_last_used(
                    app.state.databases,
                    app.state.registry,
                    tenant.id,
                    dict.fromkeys(order, now + timedelta(seconds=second, milliseconds=place)),
                )
                for place, order in enumerate(orders)
            )
        )


async def test_nothing_is_written_of_a_tenant_that_goes_and_a_moving_one_waits(
    app: FastAPI, database: Database, settings: Settings, tenant: TestTenant, database_urls: DatabaseURLs
) -> None:
    key = await make_key(tenant.client)
    assert await status_of(app, key) == 200
    engine = owner_engine(database_urls.owner)
    for moving_to, logs_of in (("default", ["last_used_write_failed"]), (None, [])):
        async with engine.begin() as connection:
            change = text("UPDATE platform.tenants SET moving_to = :to, epoch = epoch + 1 WHERE id = :id")
            await connection.execute(change, {"to": moving_to, "id": tenant.id})
        await app.state.registry.read(tenant.id)
        with structlog.testing.capture_logs() as logs:
            await app.state.last_used.flush()
        told = [line["event"] for line in logs if line.get("tenant_id") == str(tenant.id)]
        assert told == logs_of
    await engine.dispose()
    assert await last_used(tenant, key) is not None
    assert await status_of(app, key) == 200
    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        assert (await purge.run(tenant.id, before_grace_ends=True)).none
    await app.state.registry.read(tenant.id)
    with structlog.testing.capture_logs() as logs:
        await app.state.last_used.flush()
    assert [line for line in logs if line.get("tenant_id") == str(tenant.id)] == []
