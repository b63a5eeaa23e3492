"""A tenant moves between two clusters while it is used, and no acknowledged row is lost."""

import asyncio
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from app.core.context import DEFAULT_PLACEMENT
from app.core.database import owner_engine
from app.core.migrations import head_revision
from app.core.provisioning import provision_database
from app.core.settings import PlacementSettings, Settings
from app.tenants.bootstrap import admin_passwords_from, lifecycle_from, move_from
from app.tenants.errors import (
    InvalidTenant,
    NothingToResume,
    OperationInProgress,
    SchemaChangeFailed,
    TenantMoving,
    TenantStateConflict,
)
from app.tenants.models import Isolation
from app.tenants.move import MoveReport
from tests.commands import run_command, run_killed, start_command
from tests.conftest import TestTenant
from tests.tenants.conftest import SECOND, Clusters, contents, fill, grants, traces_on, trail_of
from tests.tenants.test_onboarding import registry_row

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("fence", "drain", "copy", "switch", "retire", "drop")
BEFORE_SWITCH = STEPS[:4]
MANY = (
    "INSERT INTO resources (id, name, data)"
    " SELECT gen_random_uuid(), 'old ' || n, jsonb_build_object('text', repeat('x', 200))"
    " FROM generate_series(1, 8000) n"
)
KILLED = """
import asyncio, os, signal, sys
from uuid import UUID
from app.core.settings import load_settings
from app.tenants import move
from app.tenants.bootstrap import move_from

deadly_step, moment, tenant_id, target = sys.argv[1:]
Step = move.Step

def deadly(name, run):
    async def killed(connection):
        if moment == "after":
            await run(connection)
        os.kill(os.getpid(), signal.SIGKILL)
    return Step(name, killed if name == deadly_step else run)

async def main():
    move.Step = deadly
    async with move_from(load_settings()) as moving:
        await moving.run(UUID(tenant_id), target)

asyncio.run(main())
"""


def problem(answer: Any) -> str:
    return str(answer.json().get("type", "")).rpartition(":")[2]


def other(placement: str) -> str:
    return SECOND if placement == DEFAULT_PLACEMENT else DEFAULT_PLACEMENT


async def move(settings: Settings, tenant: TestTenant, target: str) -> MoveReport:
    async with move_from(settings) as moving:
        return await moving.run(tenant.id, target)


async def run_sql(url: str, schema: str, *statements: str) -> None:
    engine = owner_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def names_on(url: str, schema: str) -> set[str]:
    engine = owner_engine(url)
    async with engine.connect() as connection:
        found = set((await connection.scalars(text(f"SELECT name FROM {schema}.resources"))).all())
    await engine.dispose()
    return found


class Traffic:
    """Clients that write and read without pause, and keep what they were told."""

    def __init__(self, tenant: TestTenant) -> None:
        self._tenant = tenant
        self.acknowledged: list[str] = []
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self.without_retry_after = 0
        self.ended = False

    @asynccontextmanager
    async def flowing(self, *, writers: int = 4, readers: int = 2) -> AsyncIterator["Traffic"]:
        tasks = [asyncio.create_task(self._write(number)) for number in range(writers)]
        tasks += [asyncio.create_task(self._read()) for _ in range(readers)]
        try:
            await asyncio.sleep(0.3)
            yield self
        finally:
            self.ended = True
            await asyncio.gather(*tasks)

    async def writes_again(self) -> bool:
        """Whether another write is acknowledged, at the latest when the copy of the tenant expires."""
        before = len(self.acknowledged)
        for _ in range(200):
            await asyncio.sleep(0.05)
            if len(self.acknowledged) > before:
                return True
        return False

    async def _write(self, writer: int) -> None:
        number = 0
        while not self.ended:
            name = f"w{writer} {(number := number + 1)}"
            answer = await self._tenant.client.post("/v1/resources", json={"name": name})
            if answer.status_code == 201:
                self.acknowledged.append(name)
            self._note("write", answer)
            await asyncio.sleep(0.01)

    async def _read(self) -> None:
        while not self.ended:
            self._note("read", await self._tenant.client.get("/v1/resources?limit=1"))
            await asyncio.sleep(0.01)

    def _note(self, kind: str, answer: Any) -> None:
        self.answers[kind, answer.status_code, problem(answer)] += 1
        if answer.status_code == 503 and "Retry-After" not in answer.headers:
            self.without_retry_after += 1

    def statuses(self, kind: str) -> set[int]:
        return {status for of, status, _ in self.answers if of == kind}


def without_redis(settings: Settings) -> Settings:
    """For a mover that cannot tell anybody: the service's own Redis keeps the old epoch."""
    return settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:9/0")})


@pytest.mark.parametrize(
    ("source", "published", "tier"),
    [
        (DEFAULT_PLACEMENT, True, Isolation.POOLED),
        (SECOND, True, Isolation.DEDICATED),
        (DEFAULT_PLACEMENT, False, Isolation.DEDICATED),
        (SECOND, False, Isolation.POOLED),
        pytest.param(DEFAULT_PLACEMENT, True, Isolation.DEDICATED, marks=pytest.mark.nightly),
        pytest.param(SECOND, True, Isolation.POOLED, marks=pytest.mark.nightly),
        pytest.param(DEFAULT_PLACEMENT, False, Isolation.POOLED, marks=pytest.mark.nightly),
        pytest.param(SECOND, False, Isolation.DEDICATED, marks=pytest.mark.nightly),
    ],
)
async def test_a_tenant_moves_under_traffic_and_every_acknowledged_row_is_there_afterwards(
    clusters: Clusters, source: str, published: bool, tier: Isolation
) -> None:
    tenant, target = await clusters.make(placement=source), other(source)
    async with lifecycle_from(clusters.settings) as (lifecycle, _):
        await lifecycle.isolate(tenant.id, tier)
    await run_sql(clusters.owner(source), tenant.schema, MANY)
    settings = clusters.settings if published else without_redis(clusters.settings)
    async with Traffic(tenant).flowing() as traffic:
        report = await move(settings, tenant, target)
        assert await traffic.writes_again(), traffic.answers
    stored = await names_on(clusters.owner(target), tenant.schema)
    assert set(traffic.acknowledged) <= stored
    assert len(stored) == 8_000 + len(set(traffic.acknowledged))
    assert traffic.statuses("write") == {201, 503}, traffic.answers
    assert traffic.statuses("read") <= {200, 503}, traffic.answers
    assert traffic.answers["read", 200, ""] > 10
    assert traffic.without_retry_after == 0
    assert await traces_on(clusters.owner(source), tenant.schema) == (0, 0)
    assert report.rows >= 8_000
    assert report.pause_seconds is not None
    assert 0 < report.pause_seconds < 30
    ref = await clusters.app.state.registry.read(tenant.id)
    assert (ref.placement, ref.moving, ref.dedicated) == (target, False, tier is Isolation.DEDICATED)
    async with clusters.app.state.databases.tenant(ref) as session:
        user = await session.scalar(text("SELECT session_user"))
    assert user == (tenant.schema if ref.dedicated else "app_runtime")


async def test_rows_and_rights_are_the_same_afterwards_and_there_and_back_again(clusters: Clusters) -> None:
    tenant = await clusters.make()
    first, second = clusters.owner(DEFAULT_PLACEMENT), clusters.owner(SECOND)
    await fill(first, tenant.schema)
    rows, rights = await contents(first, tenant.schema), await grants(first, tenant.schema)
    assert ("audit_logs", "UPDATE") not in rights
    for target, url in ((SECOND, second), (DEFAULT_PLACEMENT, first)):
        await move(clusters.settings, tenant, target)
        assert await contents(url, tenant.schema) == rows
        assert await grants(url, tenant.schema) == rights
        assert (await tenant.client.get("/v1/resources")).status_code == 200


async def test_a_dedicated_tenant_moves_between_two_databases_of_one_cluster(
    clusters: Clusters, superuser_url: str
) -> None:
    """There it keeps its role, which belongs to the cluster."""
    urls = [
        make_url(url[DEFAULT_PLACEMENT])
        for url in (clusters.settings.owner_urls, clusters.settings.runtime_urls)
    ]
    name = f"test_{uuid.uuid4().hex[:12]}"
    await provision_database(
        superuser_url,
        database=name,
        owner_password=str(urls[0].password),
        runtime_password=str(urls[1].password),
    )
    owner, runtime = (url.set(database=name).render_as_string(hide_password=False) for url in urls)
    place = PlacementSettings(database_url=runtime, migration_database_url=owner)
    settings = clusters.settings.model_copy(update={"placements": {"beside": place}})
    tenant = await clusters.make()
    await fill(clusters.owner(DEFAULT_PLACEMENT), tenant.schema)
    rows = await contents(clusters.owner(DEFAULT_PLACEMENT), tenant.schema)
    async with lifecycle_from(settings) as (lifecycle, purging):
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
        for target, url, left in (
            ("beside", owner, clusters.owner(DEFAULT_PLACEMENT)),
            (DEFAULT_PLACEMENT, clusters.owner(DEFAULT_PLACEMENT), owner),
        ):
            await move(settings, tenant, target)
            assert await contents(url, tenant.schema) == rows
            assert await traces_on(left, tenant.schema) == (0, 1)
            engine = owner_engine(left)
            async with engine.connect() as connection:
                query = text("SELECT has_database_privilege(:role, current_database(), 'CONNECT')")
                assert not await connection.scalar(query, {"role": tenant.schema}), "nor may it come back"
            await engine.dispose()
        assert (await tenant.client.post("/v1/resources", json={"name": "x"})).status_code == 201
        await lifecycle.schedule_deletion(tenant.id)
        assert (await purging.run(tenant.id, before_grace_ends=True)).none


async def killed_at(clusters: Clusters, tenant: TestTenant, target: str, step: str, moment: str) -> None:
    await run_killed(KILLED, step, moment, str(tenant.id), target, environment=clusters.environment)


async def filled(clusters: Clusters, placement: str) -> tuple[TestTenant, dict[str, tuple[int, str]]]:
    tenant = await clusters.make(placement=placement)
    await fill(clusters.owner(placement), tenant.schema)
    return tenant, await contents(clusters.owner(placement), tenant.schema)


@pytest.mark.parametrize(
    ("step", "source"),
    [*((step, SECOND) for step in STEPS), ("copy", DEFAULT_PLACEMENT), ("switch", DEFAULT_PLACEMENT)],
)
async def test_killed_after_any_step_it_is_moved_after_resume(
    clusters: Clusters, step: str, source: str
) -> None:
    tenant, rows = await filled(clusters, source)
    target = other(source)
    await killed_at(clusters, tenant, target, step, "after")
    assert (await tenant.client.get("/v1/resources")).status_code in {200, 503}
    async with move_from(clusters.settings) as moving:
        with pytest.raises(OperationInProgress):
            await moving.run(tenant.id, target)
        await moving.resume(tenant.id)
        with pytest.raises(NothingToResume):
            await moving.resume(tenant.id)
    assert await contents(clusters.owner(target), tenant.schema) == rows
    assert await traces_on(clusters.owner(source), tenant.schema) == (0, 0)
    assert (await tenant.client.post("/v1/resources", json={"name": "new"})).status_code == 201


@pytest.mark.parametrize(
    ("step", "source"), [*((step, DEFAULT_PLACEMENT) for step in BEFORE_SWITCH), ("copy", SECOND)]
)
async def test_killed_before_the_switch_it_is_where_it_was_after_cancel(
    clusters: Clusters, step: str, source: str
) -> None:
    tenant, rows = await filled(clusters, source)
    rights = await grants(clusters.owner(source), tenant.schema)
    moment = "before" if step == "switch" else "after"
    await killed_at(clusters, tenant, other(source), step, moment)
    refused = await tenant.client.post("/v1/resources", json={"name": "paused"})
    assert (refused.status_code, problem(refused)) == (503, "tenant-moving")
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    async with move_from(clusters.settings) as moving:
        await moving.cancel(tenant.id)
        with pytest.raises(NothingToResume):
            await moving.cancel(tenant.id)
    assert await contents(clusters.owner(source), tenant.schema) == rows
    assert await grants(clusters.owner(source), tenant.schema) == rights
    assert await traces_on(clusters.owner(other(source)), tenant.schema) == (0, 0)
    assert (await tenant.client.post("/v1/resources", json={"name": "new"})).status_code == 201
    await move(clusters.settings, tenant, other(source))


async def test_after_the_switch_a_move_can_only_be_finished(clusters: Clusters) -> None:
    tenant, rows = await filled(clusters, SECOND)
    await killed_at(clusters, tenant, DEFAULT_PLACEMENT, "retire", "before")
    async with move_from(clusters.settings) as moving:
        with pytest.raises(TenantStateConflict, match="lives on default already"):
            await moving.cancel(tenant.id)
        report = await moving.resume(tenant.id)
    assert report.pause_seconds is None
    assert await contents(clusters.owner(DEFAULT_PLACEMENT), tenant.schema) == rows


async def test_a_failure_before_the_switch_is_undone_at_once(
    clusters: Clusters, second_superuser_url: str
) -> None:
    """The target refuses to make a role, as it might after a mistaken change of rights."""
    tenant, rows = await filled(clusters, DEFAULT_PLACEMENT)
    rights = await grants(clusters.owner(DEFAULT_PLACEMENT), tenant.schema)
    superuser = await asyncpg.connect(second_superuser_url)
    await superuser.execute("ALTER ROLE app_owner NOCREATEROLE")
    try:
        with pytest.raises(SchemaChangeFailed, match="permission denied"):
            await move(clusters.settings, tenant, SECOND)
    finally:
        await superuser.execute("ALTER ROLE app_owner CREATEROLE")
        await superuser.close()
    assert (await tenant.client.post("/v1/resources", json={"name": "new"})).status_code == 201
    assert await grants(clusters.owner(DEFAULT_PLACEMENT), tenant.schema) == rights
    engine = owner_engine(clusters.owner(DEFAULT_PLACEMENT))
    async with engine.connect() as connection:
        query = text("SELECT * FROM platform.tenant_operations WHERE tenant_id = :id AND kind = 'move'")
        operation = (await connection.execute(query, {"id": tenant.id})).one()
    await engine.dispose()
    assert operation.state == "cancelled"
    assert operation.error.startswith("copy: permission denied")
    await move(clusters.settings, tenant, SECOND)
    after = await contents(clusters.owner(SECOND), tenant.schema)
    assert after["resources"][0] == rows["resources"][0] + 1


async def test_a_target_that_went_away_keeps_nobody_paused(
    clusters: Clusters, second_superuser_url: str
) -> None:
    """What may be left on it is dropped by `cancel` when it is back."""
    tenant, _ = await filled(clusters, DEFAULT_PLACEMENT)
    await killed_at(clusters, tenant, SECOND, "copy", "after")
    superuser = await asyncpg.connect(second_superuser_url)
    await superuser.execute("ALTER ROLE app_owner NOLOGIN")
    try:
        async with move_from(clusters.settings) as moving:
            with pytest.raises(Exception, match="not permitted to log in"):
                await moving.resume(tenant.id)
            assert (await tenant.client.post("/v1/resources", json={"name": "new"})).status_code == 201
            with pytest.raises(TenantStateConflict, match="cancel it"):
                await moving.resume(tenant.id)
    finally:
        await superuser.execute("ALTER ROLE app_owner LOGIN")
        await superuser.close()
    assert await traces_on(clusters.owner(SECOND), tenant.schema) == (1, 1)
    async with move_from(clusters.settings) as moving:
        await moving.cancel(tenant.id)
    assert await traces_on(clusters.owner(SECOND), tenant.schema) == (0, 0)
    await move(clusters.settings, tenant, SECOND)


async def test_ctrl_c_before_the_switch_ends_the_pause(clusters: Clusters) -> None:
    """The command waits for an open transaction when it is interrupted."""
    tenant = await clusters.make()
    ref = await clusters.app.state.registry.read(tenant.id)
    async with clusters.app.state.databases.tenant(ref) as session:
        await session.execute(text("INSERT INTO resources (id, name) VALUES (gen_random_uuid(), 'open')"))
        arguments = ("tenants", "move", tenant.credentials.tenant, "--to", SECOND)
        with start_command(*arguments, **clusters.environment) as command:
            assert await is_moving(clusters, tenant)
            await asyncio.sleep(0.5)
            command.send_signal(signal.SIGINT)
            ended = await asyncio.to_thread(command.wait)
        assert ended.returncode not in {0, -signal.SIGINT}, ended.stderr
    assert (await tenant.client.post("/v1/resources", json={"name": "new"})).status_code == 201
    assert ("resources", "UPDATE") in await grants(clusters.owner(DEFAULT_PLACEMENT), tenant.schema)
    await move(clusters.settings, tenant, SECOND)
    assert await names_on(clusters.owner(SECOND), tenant.schema) == {"open", "new"}


async def is_moving(clusters: Clusters, tenant: TestTenant) -> bool:
    """Whether its move has begun, in some seconds at the latest."""
    for _ in range(200):
        if (await registry_row(clusters.settings, tenant.credentials.tenant)).moving_to is not None:
            return True
        await asyncio.sleep(0.05)
    return False


async def under_way(clusters: Clusters, tenant: TestTenant, finish: Callable[[Any], Awaitable[None]]) -> None:
    """Move while a transaction has written one row of two; `finish` ends that transaction."""
    ref = await clusters.app.state.registry.read(tenant.id)
    async with clusters.app.state.databases.tenant(ref) as session:
        await session.execute(text("INSERT INTO resources (id, name) VALUES (gen_random_uuid(), 'open')"))
        moving = asyncio.create_task(move(clusters.settings, tenant, SECOND))
        assert await is_moving(clusters, tenant)
        await asyncio.sleep(0.3)
        assert not moving.done(), "it waits for the writer"
        await finish(session)
    await moving


async def test_a_transaction_that_has_written_is_waited_for(clusters: Clusters) -> None:
    tenant = await clusters.make()

    async def commit(session: Any) -> None:
        await session.commit()

    await under_way(clusters, tenant, commit)
    assert await names_on(clusters.owner(SECOND), tenant.schema) == {"open"}


async def test_a_transaction_that_would_write_more_is_refused_and_blocks_nothing(clusters: Clusters) -> None:
    """Locking all tables at once would be a deadlock with it."""
    tenant = await clusters.make()

    async def write_more(session: Any) -> None:
        for table in ("audit_logs", "users", "jobs"):
            with pytest.raises(Exception, match="permission denied"):
                async with session.begin_nested():
                    await session.execute(text(f"DELETE FROM {table}"))
        await session.rollback()

    await under_way(clusters, tenant, write_more)
    assert await names_on(clusters.owner(SECOND), tenant.schema) == set()


async def test_an_operator_cannot_change_what_is_being_moved(clusters: Clusters) -> None:
    tenant = await clusters.make()
    await killed_at(clusters, tenant, SECOND, "drain", "before")
    async with admin_passwords_from(clusters.settings) as passwords:
        with pytest.raises(TenantMoving):
            await passwords.reset(tenant.id, tenant.credentials.email)
    async with lifecycle_from(clusters.settings) as (lifecycle, purging):
        with pytest.raises(OperationInProgress) as refused:
            await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
        assert refused.value.detail == "Its move was interrupted: resume or cancel that first."
        await lifecycle.schedule_deletion(tenant.id)
        with pytest.raises(OperationInProgress):
            await lifecycle.restore(tenant.id)
        with pytest.raises(TenantStateConflict, match="move is unfinished"):
            await purging.run(tenant.id, before_grace_ends=True)
        async with move_from(clusters.settings) as moving:
            await moving.resume(tenant.id)
        assert (await purging.run(tenant.id, before_grace_ends=True)).none


async def test_a_move_that_cannot_end_well_is_not_begun(clusters: Clusters) -> None:
    tenant = await clusters.make()
    registry, slug = clusters.owner(DEFAULT_PLACEMENT), tenant.credentials.tenant

    async def refused(target: str, error: type[Exception], reason: str) -> None:
        with pytest.raises(error, match=reason):
            await move(clusters.settings, tenant, target)
        row = await registry_row(clusters.settings, slug)
        assert (row.placement, row.moving_to) == (DEFAULT_PLACEMENT, None)

    await refused(DEFAULT_PLACEMENT, TenantStateConflict, "lives on default already")
    await refused("nowhere", InvalidTenant, "has no owner's URL here")
    change = f"UPDATE platform.tenants SET revision = '%s' WHERE id = '{tenant.id}'"
    await run_sql(registry, tenant.schema, change % "0000")
    await refused(SECOND, TenantStateConflict, "at revision 0000; migrate it to")
    await run_sql(registry, tenant.schema, change % head_revision("tenant"))
    await run_sql(clusters.owner(SECOND), "pg_catalog", f"CREATE SCHEMA {tenant.schema}")
    await refused(SECOND, TenantStateConflict, "stands on second already")
    await run_sql(clusters.owner(SECOND), "pg_catalog", f"DROP SCHEMA {tenant.schema}")
    await run_sql(registry, tenant.schema, "ALTER TABLE resources ADD COLUMN extra integer")
    with pytest.raises(Exception, match="not what their revision says: resources"):
        await move(clusters.settings, tenant, SECOND)
    await run_sql(registry, tenant.schema, "ALTER TABLE resources DROP COLUMN extra")
    async with lifecycle_from(clusters.settings) as (lifecycle, _):
        await lifecycle.schedule_deletion(tenant.id)
        await refused(SECOND, TenantStateConflict, "It is deleting")
        await lifecycle.restore(tenant.id)
    assert (await tenant.client.post("/v1/resources", json={"name": "x"})).status_code == 201


async def test_the_command_moves_and_says_how_long_writes_were_paused(
    clusters: Clusters, tmp_path: Path
) -> None:
    tenant = await clusters.make()
    slug = tenant.credentials.tenant

    async def command(*arguments: str, code: int = 0) -> str:
        finished = await asyncio.to_thread(
            run_command, "tenants", "move", *arguments, cwd=tmp_path, **clusters.environment
        )
        assert finished.returncode == code, finished.stderr
        assert "Traceback" not in finished.stderr
        return finished.stderr

    said = await command(slug, "--to", SECOND)
    assert f"{slug} lives on second: " in said
    assert "writes paused for" in said
    assert "no unfinished operation" in await command(slug, "--resume", code=1)
    assert "give one of" in await command(slug, "--resume", "--cancel", code=2)
    await killed_at(clusters, tenant, DEFAULT_PLACEMENT, "copy", "after")
    assert "writes are no longer paused" in await command(slug, "--cancel")
    assert await trail_of(clusters.settings, tenant.id) == ["tenants:move", "tenants:cancel_move"]
    assert (await tenant.client.post("/v1/resources", json={"name": "x"})).status_code == 201
