"""A second PostgreSQL cluster, started when a test asks for it, and a service whose tenants live on both.

`APP_TEST_SECOND_SUPERUSER_DATABASE_URL` names another one of your own.
"""

import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.core.context import DEFAULT_PLACEMENT
from app.core.database import owner_engine
from app.core.settings import PlacementSettings, Settings
from app.main import create_app
from tests.conftest import DatabaseURLs, MakeTenant, command_environment, provisioned, tenant_maker

SECOND = "second"
# Text, bytes, JSON and gaps that a format might not keep apart.
VALUES = """
    INSERT INTO resources (id, name, data, owner_id)
        SELECT gen_random_uuid(), n, jsonb_build_object('v', n, 'none', NULL), NULL FROM unnest(ARRAY[
            'plain', 'a, b', 'say "hi"', E'two\\nlines', E'back\\\\slash', E'tab\\there', '\\.', 'NULL',
            ' x ', 'Zürich 東京 🦜', E'\\r\\n', '""', '\\N'
        ]) n;
    INSERT INTO resources (id, name, owner_id) SELECT gen_random_uuid(), 'owned', id FROM users;
    INSERT INTO audit_logs (sequence, actor_kind, action, target_kind, details, previous_hash, hash)
        SELECT n, 'system', 'test', 'resource', jsonb_build_object('n', n), sha256(n::text::bytea),
               sha256((n + 1)::text::bytea) FROM generate_series(1001, 1030) n;
    INSERT INTO jobs (id, kind, created_by, result)
        SELECT gen_random_uuid(), 'x', id, '[null, ""]' FROM users;
"""


@pytest.fixture(scope="session")
def second_superuser_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another throwaway PostgreSQL, with roles and a catalog of its own."""
    given = os.environ.get("APP_TEST_SECOND_SUPERUSER_DATABASE_URL")
    if given:
        yield given
        return
    from app.embedded import remove_postgres, start_postgres

    directory = tmp_path_factory.mktemp("second-postgres")
    server = start_postgres(directory, durable=False)
    try:
        yield server.url("postgres")
    finally:
        remove_postgres(directory)


@pytest.fixture(scope="session")
async def second_urls(second_superuser_url: str) -> DatabaseURLs:
    """A provisioned database for tenants only: the registry is on the first cluster."""
    return await provisioned(second_superuser_url)


@dataclass(frozen=True, slots=True)
class Clusters:
    """A service whose tenants live on two clusters; `environment` is for commands that know both."""

    app: FastAPI
    settings: Settings
    environment: dict[str, str]
    make: MakeTenant

    def owner(self, placement: str) -> str:
        """The URL of the login that owns a placement."""
        return self.settings.owner_urls[placement]


@pytest.fixture(scope="session")
def placed_settings(settings: Settings, second_urls: DatabaseURLs) -> Settings:
    """The settings of a service whose tenants may live on both clusters."""
    placement = PlacementSettings(database_url=second_urls.runtime, migration_database_url=second_urls.owner)
    return settings.model_copy(update={"placements": {SECOND: placement}})


@pytest.fixture(scope="session")
async def placed_app(placed_settings: Settings) -> AsyncIterator[FastAPI]:
    """The running service, serving both clusters."""
    application = create_app(placed_settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def clusters(placed_app: FastAPI, placed_settings: Settings) -> AsyncIterator[Clusters]:
    urls = {
        "database_url": placed_settings.runtime_urls[SECOND],
        "migration_database_url": placed_settings.owner_urls[SECOND],
    }
    environment = command_environment(placed_settings) | {"APP_PLACEMENTS": json.dumps({SECOND: urls})}
    async with tenant_maker(placed_app) as make:
        yield Clusters(placed_app, placed_settings, environment, make)
    # Other tests know nothing of the second cluster, and look at every tenant there is.
    engine = owner_engine(placed_settings.owner_urls[DEFAULT_PLACEMENT])
    async with engine.begin() as connection:
        away = text("DELETE FROM platform.tenants WHERE placement <> :default")
        await connection.execute(away, {"default": DEFAULT_PLACEMENT})
    await engine.dispose()


async def fill(owner_url: str, schema: str) -> None:
    """Give a tenant rows in most tables."""
    engine = owner_engine(owner_url)
    async with engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        await raw.driver_connection.execute(VALUES)
    await engine.dispose()


async def contents(owner_url: str, schema: str) -> dict[str, tuple[int, str]]:
    """How many rows each table has, and the MD5 of them all in order."""
    engine = owner_engine(owner_url)
    found = {}
    async with engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
        await connection.execute(text("SET LOCAL TimeZone TO 'UTC'"))
        tables = text("SELECT tablename FROM pg_tables WHERE schemaname = :schema ORDER BY 1")
        for table in (await connection.scalars(tables, {"schema": schema})).all():
            query = f"SELECT count(*), md5(string_agg(t::text, ';' ORDER BY t::text)) FROM {table} t"
            found[table] = tuple((await connection.execute(text(query))).one())
    await engine.dispose()
    return found  # type: ignore[return-value]  # a row of two


async def grants(owner_url: str, schema: str) -> list[tuple[str, ...]]:
    """What the role of a tenant may do with each table."""
    engine = owner_engine(owner_url)
    async with engine.connect() as connection:
        query = text(
            "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
            " WHERE table_schema = :schema AND grantee = :schema ORDER BY 1, 2"
        )
        rows = [tuple(row) for row in await connection.execute(query, {"schema": schema})]
    await engine.dispose()
    return rows


async def trail_of(settings: Settings, tenant_id: UUID) -> list[str]:
    """What operators and commands did to a tenant, oldest first."""
    engine = owner_engine(settings.owner_urls[DEFAULT_PLACEMENT])
    async with engine.connect() as connection:
        query = text("SELECT action FROM platform.operator_actions WHERE tenant_id = :id ORDER BY sequence")
        actions = list((await connection.scalars(query, {"id": tenant_id})).all())
    await engine.dispose()
    return actions


async def traces_on(owner_url: str, schema: str) -> tuple[int, int]:
    """How many schemas and roles of this name a cluster has."""
    engine = owner_engine(owner_url)
    async with engine.connect() as connection:
        found = [
            int(await connection.scalar(text(query), {"schema": schema}) or 0)
            for query in (
                "SELECT count(*) FROM pg_namespace WHERE nspname = :schema",
                "SELECT count(*) FROM pg_roles WHERE rolname = :schema",
            )
        ]
    await engine.dispose()
    return found[0], found[1]
