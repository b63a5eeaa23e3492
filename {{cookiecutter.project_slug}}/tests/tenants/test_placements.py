"""Tenants on two PostgreSQL clusters: made, reached, kept apart, changed and purged on either."""

import uuid
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.database import owner_engine
from app.core.settings import Settings
from app.tenants.bootstrap import lifecycle_from, onboarding_from
from app.tenants.creation import NewTenant
from app.tenants.errors import InvalidTenant, TenantStateConflict
from app.tenants.models import Isolation
from tests.commands import run_killed
from tests.conftest import TestTenant, client_of
from tests.tenants.conftest import SECOND, Clusters, grants, traces_on
from tests.tenants.test_onboarding import KILLED, registry_row

ROOT = Path(__file__).resolve().parents[2]
# As in the test of onboarding, but on another database, where a step commits before it is recorded.
KILLED_ELSEWHERE = KILLED.replace("requests_per_minute=7", 'requests_per_minute=7, placement="second"')


@pytest.fixture
async def near(clusters: Clusters) -> TestTenant:
    return await clusters.make()


@pytest.fixture
async def far(clusters: Clusters) -> TestTenant:
    """A tenant on the second cluster."""
    return await clusters.make(placement=SECOND)


async def killed_at(clusters: Clusters, step: str) -> tuple[NewTenant, uuid.UUID]:
    """A tenant of the second cluster whose maker was ended by SIGKILL after a step, before its record."""
    slug = f"t-{uuid.uuid4().hex[:12]}"
    await run_killed(KILLED_ELSEWHERE, step, "after", slug, "made up", environment=clusters.environment)
    row = await registry_row(clusters.settings, slug)
    assert (row.state, row.placement) == ("provisioning", SECOND)
    return NewTenant("Killed", slug, f"ada@{slug}.test", placement=SECOND), row.id


async def test_a_tenant_lives_on_the_cluster_it_was_given(
    clusters: Clusters, near: TestTenant, far: TestTenant
) -> None:
    first, second = clusters.owner(DEFAULT_PLACEMENT), clusters.owner(SECOND)
    assert await traces_on(first, far.schema) == (0, 0)
    assert await traces_on(second, far.schema) == (1, 1)
    assert await traces_on(second, near.schema) == (0, 0)
    assert await grants(second, far.schema) == await grants(first, near.schema)
    for tenant in (near, far):
        made = await tenant.client.post("/v1/resources", json={"name": tenant.credentials.tenant})
        assert made.status_code == 201
        assert (await tenant.client.get(made.headers["Location"])).json()["name"] == tenant.credentials.tenant
        del tenant.client.headers["Authorization"]
        key = {"X-API-Key": tenant.credentials.api_key}
        assert (await tenant.client.get("/v1/resources", headers=key)).status_code == 200


async def test_tenants_of_two_clusters_see_nothing_of_each_other(
    clusters: Clusters, near: TestTenant, far: TestTenant
) -> None:
    """A stranger's id is 404, and a stolen second statement finds neither schema nor role there."""
    for one, other in ((near, far), (far, near)):
        made = await one.client.post("/v1/resources", json={"name": "mine"})
        assert (await other.client.get(made.headers["Location"])).status_code == 404
        ref = await clusters.app.state.registry.read(other.id)
        for attack in (f"SELECT * FROM {one.schema}.resources", f"SET LOCAL ROLE {one.schema}"):
            async with clusters.app.state.databases.tenant(ref) as session:
                await session.execute(text("RESET ROLE"))
                with pytest.raises(DBAPIError, match="does not exist"):
                    await session.execute(text(attack))
                await session.rollback()


@pytest.mark.parametrize("step", ["schema", "roles", "admin"])
async def test_killed_between_the_commit_and_its_record_it_is_active_after_resume(
    clusters: Clusters, step: str
) -> None:
    new, tenant_id = await killed_at(clusters, step)
    async with onboarding_from(clusters.settings) as onboarding:
        credentials = await onboarding.resume(tenant_id)
    assert credentials is not None
    async with client_of(clusters.app) as client:
        body = {"tenant": new.slug, "email": new.admin_email, "password": credentials.password}
        answer = await client.post("/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert len((await client.get("/v1/users", headers=bearer)).json()["items"]) == 1
        key = {"X-API-Key": credentials.api_key}
        assert (await client.get("/v1/resources", headers=key)).status_code == 200


async def test_what_an_earlier_release_made_there_is_recorded_as_that(clusters: Clusters) -> None:
    new, tenant_id = await killed_at(clusters, "schema")
    engine = owner_engine(clusters.owner(SECOND))
    async with engine.begin() as connection:
        stamp = f"UPDATE {tenant_schema(tenant_id)}.alembic_version SET version_num = 'earlier'"
        await connection.execute(text(stamp))
    await engine.dispose()
    async with onboarding_from(clusters.settings) as onboarding:
        await onboarding.resume(tenant_id)
    assert (await registry_row(clusters.settings, new.slug)).revision == "earlier"


@pytest.mark.parametrize("step", ["schema", "admin"])
async def test_killed_between_the_commit_and_its_record_nothing_is_left_after_cancel(
    clusters: Clusters, step: str
) -> None:
    new, tenant_id = await killed_at(clusters, step)
    assert await traces_on(clusters.owner(SECOND), tenant_schema(tenant_id)) == (1, 1)
    async with onboarding_from(clusters.settings) as onboarding:
        await onboarding.cancel(tenant_id)
    assert await registry_row(clusters.settings, new.slug) is None
    async with lifecycle_from(clusters.settings) as (_, purge):
        assert (await purge.remains(tenant_id, SECOND)).none


async def test_lifecycle_and_purge_work_on_the_second_cluster(clusters: Clusters, far: TestTenant) -> None:
    made = await far.client.post("/v1/resources", json={"name": "mine"})
    async with lifecycle_from(clusters.settings) as (lifecycle, purge):
        await lifecycle.isolate(far.id, Isolation.DEDICATED)
        assert (await far.client.get(made.headers["Location"])).json()["name"] == "mine"
        ref = await clusters.app.state.registry.read(far.id)
        async with clusters.app.state.databases.tenant(ref) as session:
            assert await session.scalar(text("SELECT session_user")) == far.schema
        await lifecycle.suspend(far.id)
        assert (await far.client.get("/v1/resources")).status_code == 403
        await lifecycle.resume(far.id)
        assert (await far.client.get("/v1/resources")).status_code == 200
        await lifecycle.schedule_deletion(far.id)
        assert (await far.client.get("/v1/resources")).status_code == 401
        assert not (await purge.remains(far.id, SECOND)).none
        assert (await purge.run(far.id, before_grace_ends=True)).none


async def test_another_tier_that_is_refused_or_cannot_be_recorded_changes_nothing_on_the_second_cluster(
    clusters: Clusters, far: TestTenant
) -> None:
    class TrailIsAway(Exception):
        pass

    async def fail(_session: object, _tenant_id: uuid.UUID) -> None:
        raise TrailIsAway

    async with lifecycle_from(clusters.settings) as (lifecycle, _):
        with pytest.raises(TrailIsAway):
            await lifecycle.isolate(far.id, Isolation.DEDICATED, record=fail)
        assert (await far.client.get("/v1/resources")).status_code == 200
        await lifecycle.schedule_deletion(far.id)
        with pytest.raises(TenantStateConflict, match="It is deleting"):
            await lifecycle.isolate(far.id, Isolation.DEDICATED)
        await lifecycle.restore(far.id)
        assert (await far.client.get("/v1/resources")).status_code == 200
        await lifecycle.isolate(far.id, Isolation.DEDICATED)
        assert (await far.client.get("/v1/resources")).status_code == 200


async def test_a_placement_that_the_process_does_not_know_is_a_503_problem(
    app: FastAPI, far: TestTenant
) -> None:
    """A service without APP_PLACEMENTS, beside one with it."""
    async with client_of(app) as client:
        client.headers["Authorization"] = far.client.headers["Authorization"]
        for answer in (
            await client.get("/v1/resources"),
            await client.post("/v1/auth/login", json=far.login),
        ):
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:problem-type:unknown-placement"


async def test_a_tenant_is_not_made_on_a_placement_without_owner(
    settings: Settings, client: httpx.AsyncClient
) -> None:
    slug = f"t-{uuid.uuid4().hex[:12]}"
    async with onboarding_from(settings) as onboarding:
        with pytest.raises(InvalidTenant, match="'nowhere' has no owner's URL here"):
            await onboarding.create(NewTenant("X", slug, "a@x.test", placement="nowhere"))
    assert await registry_row(settings, slug) is None
