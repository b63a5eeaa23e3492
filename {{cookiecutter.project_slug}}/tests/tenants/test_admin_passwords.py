"""A new password for an admin ends what the old one began, is recorded, and is given where it can be used."""

import asyncio
import subprocess
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.auth.authenticator import Authenticator
from app.auth.sessions import Device
from app.core.context import DEFAULT_PLACEMENT
from app.core.database import owner_engine
from app.core.settings import Settings
from app.main import create_app
from app.tenants.bootstrap import admin_passwords_from, lifecycle_from
from app.tenants.errors import TenantMoving
from tests.commands import run_command
from tests.conftest import TestOperator, TestTenant, client_of, command_environment
from tests.tenants.conftest import SECOND, Clusters, trail_of

LOGIN = "/v1/auth/login"
REFRESH = "/v1/auth/refresh"
COLLEAGUE = "colleague@acme.test"
FORBID = (
    "CREATE FUNCTION platform.fail() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'the trail is away'; END $$",
    "CREATE TRIGGER fail BEFORE INSERT ON platform.operator_actions"
    " FOR EACH ROW EXECUTE FUNCTION platform.fail()",
)
ALLOW = ("DROP FUNCTION platform.fail() CASCADE",)


def bearer(tokens: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).rpartition(":")[2]


async def log_in(client: httpx.AsyncClient, body: dict[str, str]) -> dict[str, str]:
    answer = await client.post(LOGIN, json=body)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens


async def execute(settings: Settings, *statements: str, placement: str = DEFAULT_PLACEMENT) -> None:
    engine = owner_engine(settings.owner_urls[placement])
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def reset(
    environment: dict[str, str], cwd: Path, slug: str, email: str
) -> subprocess.CompletedProcess[str]:
    arguments = ("tenants", "credentials", "--tenant", slug, "--email", email, "--reset")
    return await asyncio.to_thread(run_command, *arguments, cwd=cwd, **environment)


async def test_a_reset_ends_every_login_of_the_admin_and_of_nobody_else(
    settings: Settings, tenant: TestTenant, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    schema = tenant.schema
    await execute(
        settings,
        f"INSERT INTO {schema}.users (id, email, role, password_hash)"
        f" SELECT gen_random_uuid(), '{COLLEAGUE}', role, password_hash FROM {schema}.users",
    )
    logins = [await log_in(client, tenant.login) for _ in range(2)]
    colleague = await log_in(client, {**tenant.login, "email": COLLEAGUE})
    other = create_app(settings)
    async with other.router.lifespan_context(other), client_of(other) as neighbour:
        for one in (client, neighbour):
            for tokens in (*logins, colleague):
                assert (await one.get("/v1/users/me", headers=bearer(tokens))).status_code == 200
        slug = tenant.credentials.tenant
        finished = await reset(
            command_environment(settings), tmp_path, slug, tenant.credentials.email.upper()
        )
        assert finished.returncode == 0, finished.stderr
        for one in (client, neighbour):
            for tokens in logins:
                answer = await one.get("/v1/users/me", headers=bearer(tokens))
                assert problem(answer) == (401, "invalid-token")
            assert (await one.get("/v1/users/me", headers=bearer(colleague))).status_code == 200
    for tokens in logins:
        answer = await client.post(REFRESH, json={"refresh_token": tokens["refresh_token"]})
        assert problem(answer) == (401, "invalid-refresh-token")
    answer = await client.post(REFRESH, json={"refresh_token": colleague["refresh_token"]})
    assert answer.status_code == 200
    key = {"X-API-Key": tenant.credentials.api_key}
    assert (await client.get("/v1/resources", headers=key)).status_code == 200
    assert problem(await client.post(LOGIN, json=tenant.login)) == (401, "invalid-credentials")
    password = finished.stdout.strip()
    tokens = await log_in(client, {**tenant.login, "password": password})
    assert (await client.get("/v1/users/me", headers=bearer(tokens))).status_code == 200
    assert await trail_of(settings, tenant.id) == ["tenants:reset_credentials"]


async def test_the_trail_holds_whose_password_it_was_and_not_the_password(
    settings: Settings, tenant: TestTenant, operator: TestOperator, tmp_path: Path
) -> None:
    environment = command_environment(settings)
    finished = await reset(environment, tmp_path, tenant.credentials.tenant, tenant.credentials.email)
    trail = await operator.client.get("/v1/operators/actions", params={"tenant_id": str(tenant.id)})
    (row,) = trail.json()["items"]
    assert row["details"] == {"email": tenant.credentials.email}
    assert finished.stdout.strip() not in trail.text + finished.stderr


@pytest.mark.parametrize("placement", [DEFAULT_PLACEMENT, SECOND])
async def test_without_its_row_in_the_trail_there_is_no_new_password(
    clusters: Clusters, tmp_path: Path, placement: str
) -> None:
    tenant = await clusters.make(placement=placement)
    async with client_of(clusters.app) as client:
        tokens = await log_in(client, tenant.login)
        arguments = (clusters.environment, tmp_path, tenant.credentials.tenant, tenant.credentials.email)
        await execute(clusters.settings, *FORBID)
        try:
            finished = await reset(*arguments)
        finally:
            await execute(clusters.settings, *ALLOW)
        assert (finished.returncode, finished.stdout) == (1, "")
        assert (await client.get("/v1/users/me", headers=bearer(tokens))).status_code == 200
        tokens = await log_in(client, tenant.login)
        finished = await reset(*arguments)
        assert finished.returncode == 0, finished.stderr
        assert (await client.get("/v1/users/me", headers=bearer(tokens))).status_code == 401
        await log_in(client, {**tenant.login, "password": finished.stdout.strip()})
    assert await trail_of(clusters.settings, tenant.id) == ["tenants:reset_credentials"]


@pytest.mark.parametrize("placement", [DEFAULT_PLACEMENT, SECOND])
async def test_where_there_is_nothing_to_reset_it_is_said_and_nothing_is_written(
    clusters: Clusters, tmp_path: Path, placement: str
) -> None:
    tenant = await clusters.make(placement=placement)
    slug, email = tenant.credentials.tenant, tenant.credentials.email

    async def refusal(email: str = email) -> str:
        finished = await reset(clusters.environment, tmp_path, slug, email)
        assert (finished.returncode, finished.stdout) == (1, "")
        return finished.stderr

    for nobody in ("nobody@acme.test", "\udcff@acme.test"):
        assert "has no admin" in await refusal(nobody)
    async with lifecycle_from(clusters.settings) as (lifecycle, _):
        await lifecycle.suspend(tenant.id)
        assert (await reset(clusters.environment, tmp_path, slug, email)).returncode == 0, "it may be stolen"
        await lifecycle.schedule_deletion(tenant.id)
        assert "It is deleting; that needs active or suspended." in await refusal()
        await lifecycle.restore(tenant.id)
    gone = f"gone_{uuid.uuid4().hex}"
    rename = f"ALTER SCHEMA {tenant.schema} RENAME TO {gone}"
    await execute(clusters.settings, rename, placement=placement)
    said = await refusal()
    assert "The tenant's schema is missing" in said
    assert "backup" in said
    # Other tests look for drift in the same database.
    back = f"ALTER SCHEMA {gone} RENAME TO {tenant.schema}"
    await execute(clusters.settings, back, placement=placement)
    assert await trail_of(clusters.settings, tenant.id) == ["tenants:reset_credentials"]


async def test_a_refresh_in_the_same_moment_does_not_outlive_the_reset(
    app: FastAPI, settings: Settings, tenant: TestTenant, client: httpx.AsyncClient
) -> None:
    """It has locked its token and made another, which the reset cannot see yet."""
    tokens = await log_in(client, tenant.login)
    ref = await app.state.registry.read(tenant.id)
    async with admin_passwords_from(settings) as passwords:
        async with app.state.databases.tenant(ref) as session:
            rotated = await app.state.sessions._rotate(session, ref, tokens["refresh_token"], Device())
            await session.flush()
            resetting = asyncio.create_task(passwords.reset(tenant.id, tenant.credentials.email))
            await asyncio.sleep(0.3)
            assert not resetting.done(), "it waits for the token"
        await resetting
    answer = await client.post(REFRESH, json={"refresh_token": rotated[-1]})
    assert problem(answer) == (401, "invalid-refresh-token")
    token = app.state.codec.issue(rotated[0].id, tenant.id, "admin", session_id=rotated[1])
    answer = await client.get("/v1/resources", headers={"Authorization": f"Bearer {token}"})
    assert problem(answer) == (401, "invalid-token")


async def test_a_session_is_asked_about_once_and_again_after_a_change(
    settings: Settings, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    original = Authenticator._load_standing

    async def counted(self: Authenticator, identity: Any) -> Any:
        asked.append(identity)
        return await original(self, identity)

    monkeypatch.setattr(Authenticator, "_load_standing", counted)
    service = create_app(settings)
    async with service.router.lifespan_context(service), client_of(service) as client:
        client.headers["Authorization"] = tenant.client.headers["Authorization"]
        for expected in (1, 2):
            for _ in range(3):
                assert (await client.get("/v1/resources")).status_code == 200
            assert len(asked) == expected
            async with lifecycle_from(settings) as (lifecycle, _):
                await lifecycle.rename(tenant.id, "Renamed")


async def test_a_tenant_that_moves_waits(settings: Settings, tenant: TestTenant) -> None:
    await execute(settings, f"UPDATE platform.tenants SET moving_to = 'second' WHERE id = '{tenant.id}'")
    async with admin_passwords_from(settings) as passwords:
        with pytest.raises(TenantMoving):
            await passwords.reset(tenant.id, tenant.credentials.email)
