"""The service behind PgBouncer in transaction mode: it works, its limits hold, and nothing stays behind."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from asyncpg.exceptions import ProtocolViolationError
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core.database import Database
from app.core.settings import Pooler, Settings
from app.main import create_app
from tests.commands import run_command
from tests.conftest import DatabaseURLs, TestTenant, client_of, command_environment
from tests.pgbouncer import find_pgbouncer, pgbouncer
from tests.tenants.attacks import driver_of


@pytest.fixture(scope="module")
def pooled_url(database_urls: DatabaseURLs) -> Iterator[str]:
    with pgbouncer(find_pgbouncer(), database_urls.runtime, server_connections=2) as url:
        yield url


@pytest.fixture
async def pooled_database(pooled_url: str) -> AsyncIterator[Database]:
    database = Database(pooled_url, pool_size=2, statement_timeout_seconds=1, pooler=Pooler.PGBOUNCER)
    yield database
    await database.close()


@pytest.fixture
async def pooled_app(settings: Settings, pooled_url: str) -> AsyncIterator[FastAPI]:
    changed = {**settings.model_dump(), "database_url": pooled_url, "database_pooler": "pgbouncer"}
    application = create_app(Settings(_env_file=None, **changed))
    async with application.router.lifespan_context(application):
        yield application


async def test_the_service_works_through_pgbouncer(pooled_app: FastAPI, tenant: TestTenant) -> None:
    async with client_of(pooled_app) as client:
        answer = await client.post("/v1/auth/login", json=tenant.login)
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        for number in range(5):
            made = await client.post("/v1/resources", json={"name": f"r{number}", "data": {"n": number}})
            assert made.status_code == 201, made.text
            read = await client.get(f"/v1/resources/{made.json()['id']}")
            assert (read.status_code, read.json()["data"]) == (200, {"n": number})
        assert len((await client.get("/v1/resources")).json()["items"]) == 5


def test_commands_work_through_pgbouncer(
    settings: Settings, pooled_url: str, tenant: TestTenant, tmp_path: Path
) -> None:
    given = command_environment(settings) | {
        "APP_DATABASE_URL": pooled_url,
        "APP_DATABASE_POOLER": "pgbouncer",
    }
    listed = run_command("tenants", "list", cwd=tmp_path, **given)
    assert listed.returncode == 0, listed.stderr
    assert tenant.credentials.tenant in listed.stdout
    proof = run_command("tenants", "prove-isolation", "--requests", "100", cwd=tmp_path, **given)
    assert proof.returncode == 0, proof.stdout + proof.stderr
    assert "through pgbouncer" in proof.stdout


async def test_without_the_setting_pgbouncer_refuses_the_service(pooled_url: str) -> None:
    """So it cannot be forgotten: the plain pool asks for session settings that PgBouncer does not carry."""
    database = Database(pooled_url, pool_size=1)
    with pytest.raises((ProtocolViolationError, DBAPIError), match="unsupported startup parameter"):
        async with database.platform() as session:
            await session.execute(text("SELECT 1"))
    await database.close()


async def test_the_limits_hold_in_each_transaction_and_go_with_it(
    pooled_database: Database, tenant: TestTenant
) -> None:
    query = text(
        "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
    )
    async with pooled_database.tenant(tenant.schema) as session:
        assert tuple((await session.execute(query)).one()) == ("1s", "1min")
    with pytest.raises(DBAPIError, match="statement timeout"):
        async with pooled_database.tenant(tenant.schema) as session:
            await session.execute(text("SELECT pg_sleep(5)"))
    async with pooled_database.platform() as session:
        driver = await driver_of(session)
        await driver.execute("COMMIT")
        for setting, value in (("statement_timeout", "0"), ("role", "none"), ("search_path", "pg_catalog")):
            assert await driver.fetchval(f"SHOW {setting}") == value


async def test_no_statement_stays_prepared_on_the_server(
    pooled_database: Database, tenant: TestTenant
) -> None:
    for _ in range(10):
        async with pooled_database.tenant(tenant.schema) as session:
            await session.execute(text("SELECT name FROM resources WHERE version = :v"), {"v": 1})
            assert await session.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
