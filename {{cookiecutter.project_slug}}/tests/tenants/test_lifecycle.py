"""A change of a tenant acts on its next request, and a purged tenant leaves nothing."""

import asyncio
from datetime import timedelta
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.context import TenantRef
from app.core.database import owner_engine
from app.core.settings import Settings
from app.limits import service as limits
from app.limits.gcra import Limit
from app.main import create_app
from app.tenants.bootstrap import lifecycle_from
from app.tenants.creation import PURGED_SLUG, NewTenant
from app.tenants.errors import InvalidTenant, TenantNotFound, TenantStateConflict
from app.tenants.models import Isolation, Plan
from app.tenants.operations import Step
from app.tenants.schema import exists
from tests.conftest import DatabaseURLs, MakeTenant, TestTenant, client_of


def slug(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


async def stored(app: FastAPI, tenant: TestTenant) -> TenantRef:
    ref: TenantRef | None = await app.state.registry.read(tenant.id)
    assert ref is not None
    return ref


async def test_a_suspended_tenant_is_refused_on_its_next_request_and_served_again_after_resume(
    settings: Settings, tenant: TestTenant
) -> None:
    key = {"X-API-Key": tenant.credentials.api_key}
    async with lifecycle_from(settings) as (lifecycle, _):
        for _ in range(3):
            assert (await tenant.client.get("/v1/resources")).status_code == 200
            await lifecycle.suspend(tenant.id)
            assert slug(await tenant.client.get("/v1/resources")) == "tenant-suspended"
            await lifecycle.resume(tenant.id)
            assert (await tenant.client.get("/v1/resources")).status_code == 200
        await lifecycle.suspend(tenant.id)
        tenant.client.headers.pop("Authorization")
        assert slug(await tenant.client.get("/v1/resources", headers=key)) == "tenant-suspended"
        await lifecycle.resume(tenant.id)
        assert (await tenant.client.get("/v1/resources", headers=key)).status_code == 200


async def test_every_process_notices_a_change_at_once(settings: Settings, tenant: TestTenant) -> None:
    """Two services with caches of their own, as behind a load balancer."""
    other = create_app(settings)
    async with other.router.lifespan_context(other), client_of(other) as client:
        client.headers["Authorization"] = tenant.client.headers["Authorization"]
        async with lifecycle_from(settings) as (lifecycle, _):
            for state in (lifecycle.suspend, lifecycle.resume) * 2:
                await state(tenant.id)
                expected = 403 if state == lifecycle.suspend else 200
                for one in (client, tenant.client):
                    assert (await one.get("/v1/resources")).status_code == expected


async def test_a_change_that_redis_never_heard_of_acts_when_the_copy_expires(
    app: FastAPI, settings: Settings, tenant: TestTenant, database_urls: DatabaseURLs
) -> None:
    """The publication is lost; the registry's copy ends, and what Redis holds is put right."""
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        change = text("UPDATE platform.tenants SET state = 'suspended', epoch = epoch + 1 WHERE id = :id")
        await connection.execute(change, {"id": tenant.id})
    await engine.dispose()
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    app.state.registry._by_id.evict(tenant.id)  # What five seconds do.
    assert (await tenant.client.get("/v1/resources")).status_code == 403
    epoch = int(await app.state.redis.get(f"epoch:{{{tenant.id.hex}}}"))
    assert epoch == (await stored(app, tenant)).epoch


async def test_epochs_that_redis_lost_are_looked_up_not_trusted(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.suspend(tenant.id)
    await app.state.redis.delete(f"epoch:{{{tenant.id.hex}}}")
    assert slug(await tenant.client.get("/v1/resources")) == "tenant-suspended"


async def test_confirming_an_unchanged_tenant_costs_no_query(
    app: FastAPI, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tenant.client.get("/v1/resources")
    loads = 0
    original = app.state.registry._load

    async def counted(criterion: object) -> object:
        nonlocal loads
        loads += 1
        return await original(criterion)

    monkeypatch.setattr(app.state.registry, "_load", counted)
    for _ in range(5):
        assert (await tenant.client.get("/v1/resources")).status_code == 200
    assert loads == 0


async def test_another_plan_has_other_limits_on_the_next_request(
    settings: Settings, make_tenant: MakeTenant
) -> None:
    tenant = await make_tenant(plan=Plan.FREE)
    answer = await tenant.client.get("/v1/resources")
    assert '"tenant";q=100;w=60' in answer.headers["RateLimit-Policy"]
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.change_plan(tenant.id, Plan.PRO)
    await tenant.client.get("/v1/resources")
    answer = await tenant.client.get("/v1/resources")
    assert '"tenant";q=1000;w=60' in answer.headers["RateLimit-Policy"]


async def test_only_changes_that_make_sense_are_allowed(settings: Settings, tenant: TestTenant) -> None:
    async with lifecycle_from(settings) as (lifecycle, purge):
        with pytest.raises(TenantStateConflict, match="It is active"):
            await lifecycle.resume(tenant.id)
        with pytest.raises(TenantStateConflict):
            await lifecycle.restore(tenant.id)
        with pytest.raises(TenantStateConflict, match="Delete it first"):
            await purge.run(tenant.id, before_grace_ends=True)
        for change in (lifecycle.suspend, lifecycle.resume, lifecycle.schedule_deletion, purge.run):
            with pytest.raises(TenantNotFound):
                await change(UUID(int=1))
        await lifecycle.schedule_deletion(tenant.id)
        with pytest.raises(TenantStateConflict):
            await lifecycle.suspend(tenant.id)
        with pytest.raises(TenantStateConflict, match="Its grace ends at"):
            await purge.run(tenant.id)
        assert tenant.id not in await purge.due()


async def test_two_changes_at_once_cannot_both_pass(settings: Settings, tenant: TestTenant) -> None:
    async with lifecycle_from(settings) as (lifecycle, _):
        outcomes = await asyncio.gather(
            *(lifecycle.suspend(tenant.id) for _ in range(4)), return_exceptions=True
        )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, TenantStateConflict) for outcome in outcomes) == 3


async def test_a_deletion_can_be_taken_back_during_the_grace(settings: Settings, tenant: TestTenant) -> None:
    made = await tenant.client.post("/v1/resources", json={"name": "kept"})
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.schedule_deletion(tenant.id)
        assert (await tenant.client.get("/v1/resources")).status_code == 401
        await lifecycle.restore(tenant.id)
    answer = await tenant.client.get(made.headers["Location"])
    assert answer.json()["name"] == "kept"


async def test_a_suspension_outlives_a_deletion_that_is_taken_back(
    settings: Settings, tenant: TestTenant
) -> None:
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.suspend(tenant.id)
        await lifecycle.schedule_deletion(tenant.id)
        await lifecycle.restore(tenant.id)
        assert (await tenant.client.get("/v1/resources")).status_code == 403
        await lifecycle.resume(tenant.id)
        await lifecycle.schedule_deletion(tenant.id)
        await lifecycle.restore(tenant.id)
        assert (await tenant.client.get("/v1/resources")).status_code == 200


async def test_a_purged_tenant_leaves_nothing_and_its_slug_is_free_again(
    app: FastAPI, settings: Settings, tenant: TestTenant, stranger: TestTenant, database_urls: DatabaseURLs
) -> None:
    for one in (tenant, stranger):
        await one.client.post("/v1/resources", json={"name": "x"})
        assert (await one.client.get("/v1/resources")).status_code == 200
    await app.state.recorder.flush()
    without_grace = settings.model_copy(update={"tenant_deletion_grace_days": 0})
    async with lifecycle_from(without_grace) as (lifecycle, purge):
        before = await purge.remains(tenant.id, "default")
        assert (before.schemas, before.roles) == (1, 1)
        assert before.rows["usage_metrics"] >= 2
        assert before.cache_keys >= 1
        await lifecycle.schedule_deletion(tenant.id)
        assert tenant.id in await purge.due()
        after = await purge.run(tenant.id)
        assert after.none, after
        assert tenant.id not in await purge.due()
        assert (await purge.run(tenant.id)).none, "safe to repeat"
        assert not (await purge.remains(stranger.id, "default")).none
    assert (await tenant.client.get("/v1/resources")).status_code == 401
    assert (await stranger.client.get("/v1/resources")).status_code == 200
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        query = text("SELECT state, slug, name FROM platform.tenants WHERE id = :id")
        row = (await connection.execute(query, {"id": tenant.id})).one()
    await engine.dispose()
    assert tuple(row) == ("deleted", f"deleted-{tenant.id.hex}", "deleted")


async def test_no_slug_keeps_a_purge_from_its_end(
    settings: Settings, database_urls: DatabaseURLs, tenant: TestTenant, stranger: TestTenant
) -> None:
    """Somebody may have claimed what a purge leaves, before nobody could."""
    claimed = f"deleted-{tenant.id.hex}"
    with pytest.raises(InvalidTenant, match="a purged tenant's"):
        NewTenant(name="x", slug=claimed, admin_email="a@b.test")
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        claim = text("UPDATE platform.tenants SET slug = :slug WHERE id = :id")
        await connection.execute(claim, {"slug": claimed, "id": stranger.id})
    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        assert (await purge.run(tenant.id, before_grace_ends=True)).none
    async with engine.connect() as connection:
        query = text("SELECT slug FROM platform.tenants WHERE id = :id")
        left = await connection.scalar(query, {"id": tenant.id})
    await engine.dispose()
    assert PURGED_SLUG.fullmatch(left)
    assert left != claimed


async def test_a_request_after_the_purge_is_refused_at_once_and_brings_nothing_back(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    """The process remembers the tenant as it was, and the access token is valid for minutes yet."""
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        assert (await purge.run(tenant.id, before_grace_ends=True)).none
        for _ in range(3):
            assert (await tenant.client.get("/v1/resources")).status_code == 401
            left = [key async for key in app.state.redis.scan_iter(match=f"*{tenant.id.hex}*")]
            assert left == []
            assert (await purge.remains(tenant.id, "default")).none


async def test_requests_of_a_purged_tenant_are_charged_to_the_address_they_come_from(
    app: FastAPI, settings: Settings, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        await purge.run(tenant.id, before_grace_ends=True)
    monkeypatch.setattr(limits, "ADDRESS_LIMIT", Limit(3))
    codes = [(await tenant.client.get("/v1/resources")).status_code for _ in range(5)]
    assert codes == [401] * 4 + [429], "the first was one of a tenant that the process thought alive"


async def test_a_purged_tenant_that_is_imported_again_is_served_on_its_next_request(
    app: FastAPI, settings: Settings, tenant: TestTenant, database_urls: DatabaseURLs
) -> None:
    engine = owner_engine(database_urls.owner)
    change = text("UPDATE platform.tenants SET state = :state, epoch = epoch + 1 WHERE id = :id")
    for state, code in (("deleted", 401), ("deleted", 401), ("active", 200)):
        async with engine.begin() as connection:
            await connection.execute(change, {"state": state, "id": tenant.id})
        await app.state.redis.delete(f"epoch:{{{tenant.id.hex}}}")
        assert (await tenant.client.get("/v1/resources")).status_code == code
    await engine.dispose()


async def test_a_purge_that_is_repeated_deletes_what_came_back(
    app: FastAPI, settings: Settings, tenant: TestTenant
) -> None:
    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        await purge.run(tenant.id, before_grace_ends=True)
        await app.state.redis.set(f"epoch:{{{tenant.id.hex}}}", 9)
        assert not (await purge.remains(tenant.id, "default")).none
        assert (await purge.run(tenant.id, before_grace_ends=True)).none


async def test_a_purge_that_is_resumed_counts_the_attempt_and_forgets_the_failure(
    settings: Settings, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, str | None]] = []

    async def look_and_die(connection: AsyncConnection) -> None:
        query = text(
            "SELECT state, attempts, error FROM platform.tenant_operations"
            " WHERE tenant_id = :id AND kind = 'purge'"
        )
        seen.append(tuple((await connection.execute(query, {"id": tenant.id})).one()))  # type: ignore[arg-type]
        raise TenantStateConflict("broken off")

    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        original = purge._steps
        monkeypatch.setattr(
            purge,
            "_steps",
            lambda row: [
                Step(one.name, look_and_die) if one.name == "rows" else one for one in original(row)
            ],
        )
        for _ in range(3):
            with pytest.raises(TenantStateConflict, match="broken off"):
                await purge.run(tenant.id, before_grace_ends=True)
    assert seen == [("running", 1, None), ("running", 2, None), ("running", 3, None)]


@pytest.mark.parametrize("step", ["logins", "schema", "rows", "close", "cache", "sweep"])
async def test_a_purge_that_fails_at_any_step_is_finished_by_the_next(
    settings: Settings, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Died(Exception):
        pass

    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(tenant.id)
        original = purge._steps

        async def die(_connection: object) -> None:
            raise Died

        def broken(row: object) -> list[object]:
            return [type(one)(one.name, die) if one.name == step else one for one in original(row)]  # type: ignore[arg-type]

        monkeypatch.setattr(purge, "_steps", broken)
        with pytest.raises(Died):
            await purge.run(tenant.id, before_grace_ends=True)
        with pytest.raises(TenantStateConflict, match="purge has begun"):
            await lifecycle.restore(tenant.id)
        monkeypatch.setattr(purge, "_steps", original)
        assert (await purge.run(tenant.id)).none


async def test_a_purge_waits_for_a_writer_of_two_tables_without_a_deadlock(
    settings: Settings, tenant: TestTenant, database_urls: DatabaseURLs
) -> None:
    engine = owner_engine(database_urls.owner)
    async with lifecycle_from(settings) as (lifecycle, purge), engine.connect() as writer:
        await lifecycle.schedule_deletion(tenant.id)
        await writer.execute(text("UPDATE platform.usage_metrics SET tenant_id = tenant_id WHERE false"))
        running = asyncio.create_task(purge.run(tenant.id, before_grace_ends=True))
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock'")
        async with asyncio.timeout(20), engine.connect() as watcher:
            while not await watcher.scalar(waits):
                assert not running.done(), running
                await asyncio.sleep(0.02)
        # A table that comes earlier in the alphabet.
        await writer.execute(text("UPDATE platform.rate_limit_configs SET tenant_id = tenant_id WHERE false"))
        await writer.commit()
        assert (await running).none
    await engine.dispose()


async def test_a_dedicated_tenant_logs_in_itself_and_the_shared_login_cannot_take_its_role(
    app: FastAPI, settings: Settings, tenant: TestTenant, stranger: TestTenant
) -> None:
    made = await tenant.client.post("/v1/resources", json={"name": "mine"})
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
        assert (await tenant.client.get(made.headers["Location"])).json()["name"] == "mine"
        assert (await tenant.client.post("/v1/resources", json={"name": "x"})).status_code == 201
        ref = await stored(app, tenant)
        assert ref.dedicated
        async with app.state.databases.tenant(ref) as session:
            assert await session.scalar(text("SELECT session_user")) == tenant.schema
        # An injected second statement in another, pooled tenant.
        async with app.state.database.tenant(stranger.schema) as session:
            await session.execute(text("RESET ROLE"))
            with pytest.raises(DBAPIError, match="permission denied to set role"):
                await session.execute(text(f"SET LOCAL ROLE {tenant.schema}"))
        # And one in the dedicated tenant, which reaches nobody.
        for forbidden in (
            f"SET LOCAL ROLE {stranger.schema}",
            f"SELECT * FROM {stranger.schema}.resources",
            "SET LOCAL ROLE app_runtime",
            "SELECT * FROM platform.tenants",
        ):
            async with app.state.databases.tenant(ref) as session:
                await session.execute(text("RESET ROLE"))
                with pytest.raises(DBAPIError, match="permission denied"):
                    await session.execute(text(forbidden))
        await lifecycle.isolate(tenant.id, Isolation.POOLED)
        assert (await tenant.client.get(made.headers["Location"])).json()["name"] == "mine"
        assert not (await stored(app, tenant)).dedicated


POISON = (
    "RESET ROLE",
    "SET LOCAL ROLE {victim}",
    "ALTER ROLE CURRENT_USER SET default_transaction_read_only = on",
    "ALTER ROLE CURRENT_USER IN DATABASE {database} SET statement_timeout = 1",
    "ALTER ROLE CURRENT_USER IN DATABASE postgres SET default_transaction_read_only = on",
    "ALTER ROLE CURRENT_USER PASSWORD 'known to the attacker'",
)


async def test_a_login_begins_without_what_was_left_on_the_role(
    app: FastAPI, settings: Settings, tenant: TestTenant, stranger: TestTenant, database_urls: DatabaseURLs
) -> None:
    """A pooled attacker can take any pooled role and change what its sessions begin with, for good."""
    names = {"victim": tenant.schema, "database": make_url(database_urls.runtime).database}
    async with app.state.database.tenant(stranger.schema) as session:
        for statement in POISON:
            await session.execute(text(statement.format(**names)))
    superuser = await asyncpg.connect(database_urls.superuser)
    # No role can do this to itself.
    await superuser.execute(f"ALTER ROLE {tenant.schema} CONNECTION LIMIT 0 VALID UNTIL '2000-01-01'")
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
    answer = await tenant.client.post("/v1/resources", json={"name": "x"})
    assert answer.status_code == 201, answer.text
    left = "SELECT count(*) FROM pg_db_role_setting WHERE setrole = to_regrole($1)"
    assert await superuser.fetchval(left, tenant.schema) == 0
    await superuser.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(database_urls.runtime, user=tenant.schema, password="known to the attacker")


async def test_a_dedicated_tenant_is_purged_like_any_other(
    settings: Settings, tenant: TestTenant, database_urls: DatabaseURLs
) -> None:
    async with lifecycle_from(settings) as (lifecycle, purge):
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
        assert (await tenant.client.get("/v1/resources")).status_code == 200
        await lifecycle.schedule_deletion(tenant.id)
        assert (await purge.run(tenant.id, before_grace_ends=True)).none
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        assert not await exists(connection, tenant.schema)
    await engine.dispose()


async def test_an_old_copy_of_a_tenant_is_answered_with_try_again(
    app: FastAPI, settings: Settings, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry is behind (Redis did not answer) while the shared login may no longer take the role."""
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    old = await stored(app, tenant)
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)

    async def unchanged(*_: object) -> TenantRef:
        return old

    monkeypatch.setattr(app.state.registry, "get", unchanged)
    monkeypatch.setattr(app.state.registry, "confirm", unchanged)
    answer = await tenant.client.get("/v1/resources")
    assert (answer.status_code, slug(answer)) == (503, "tenant-changed")
    assert answer.headers["Retry-After"] == "1"
    monkeypatch.undo()
    assert (await tenant.client.get("/v1/resources")).status_code == 200


async def test_while_a_tenant_moves_it_is_read_and_not_written(
    app: FastAPI, tenant: TestTenant, database_urls: DatabaseURLs
) -> None:
    engine = owner_engine(database_urls.owner)
    change = text("UPDATE platform.tenants SET moving_to = :to, epoch = epoch + 1 WHERE id = :id")
    for target in ("elsewhere", None):
        async with engine.begin() as connection:
            await connection.execute(change, {"to": target, "id": tenant.id})
        app.state.registry._by_id.evict(tenant.id)
        assert (await tenant.client.get("/v1/resources")).status_code == 200
        answer = await tenant.client.post("/v1/resources", json={"name": "x"})
        login = await tenant.client.post("/v1/auth/login", json=tenant.login)
        if target:
            assert (answer.status_code, slug(answer)) == (503, "tenant-moving")
            assert answer.headers["Retry-After"] == "1"
            assert login.status_code == 503
        else:
            assert answer.status_code == 201
    await engine.dispose()


async def test_the_grace_is_what_the_settings_say(settings: Settings, tenant: TestTenant) -> None:
    from app.core.database import utc_now

    async with lifecycle_from(settings) as (lifecycle, _):
        purge_after = await lifecycle.schedule_deletion(tenant.id)
    days = timedelta(days=settings.tenant_deletion_grace_days)
    assert abs(purge_after - utc_now() - days) < timedelta(minutes=1)
