"""Models, revisions and the golden script say the same, and migrations can be repeated and undone."""

import uuid
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from app.core.context import tenant_schema
from app.core.database import PLATFORM_SCHEMA, PlatformBase, TenantBase, owner_engine
from app.core.migrations import (
    GOLDEN_TENANT_SCRIPT,
    Tree,
    alembic_config,
    head_revision,
    render_tenant_script,
    upgrade_all,
    upgrade_tenant,
)
from app.core.routing import RoutingError
from app.tenants.schema import create_schema
from tests.conftest import DatabaseURLs, MakeTenant

CATALOG = text(
    """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
           coalesce(pg_get_expr(d.adbin, d.adrelid), '')
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
     WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind = 'r'
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''
      FROM pg_constraint WHERE connamespace = CAST(:schema AS regnamespace)
    UNION ALL
    SELECT 'index', tablename, indexname, replace(indexdef, CAST(:name AS text), 'tenant'), '', ''
      FROM pg_indexes WHERE schemaname = CAST(:name AS text)
    UNION ALL
    SELECT 'grant', table_name, replace(grantee, CAST(:name AS text), 'tenant'), privilege_type, '', ''
      FROM information_schema.role_table_grants WHERE table_schema = CAST(:name AS text)
    ORDER BY 1, 2, 3, 4
    """
)


async def catalog(connection: Any, schema: str) -> list[tuple[str, ...]]:
    await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
    return [tuple(row) for row in await connection.execute(CATALOG, {"schema": schema, "name": schema})]


def differences(connection: Connection, tree: Tree, default_schema: str) -> list[Any]:
    is_platform = tree == "platform"
    schema = PLATFORM_SCHEMA if is_platform else None
    # What SQLAlchemy takes unqualified tables to be in; it asked before the search path was set.
    connection.dialect.default_schema_name = default_schema
    context = MigrationContext.configure(
        connection,
        opts={
            "compare_type": True,
            "compare_server_default": True,
            "include_schemas": is_platform,
            "include_name": lambda name, kind, _: kind != "schema" or name == schema,
            "version_table_schema": PLATFORM_SCHEMA if is_platform else None,
        },
    )
    metadata = PlatformBase.metadata if is_platform else TenantBase.metadata
    return list(compare_metadata(context, metadata))


async def test_models_equal_the_revisions(database_urls: DatabaseURLs, make_tenant: MakeTenant) -> None:
    schema = (await make_tenant()).schema
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        assert await connection.run_sync(differences, "platform", "public") == []
        await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
        assert await connection.run_sync(differences, "tenant", schema) == []
    await engine.dispose()


async def test_the_golden_script_equals_the_revisions(database_urls: DatabaseURLs) -> None:
    """Catalog for catalog: columns, constraints, indexes and grants."""
    golden, migrated = (tenant_schema(uuid.uuid4()) for _ in range(2))
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        await connection.begin()
        await create_schema(connection, golden)
        await create_schema(connection, migrated)
        # Begin again from nothing, this time with Alembic.
        await connection.execute(text(f"DROP SCHEMA {migrated} CASCADE"))
        await connection.execute(text(f"CREATE SCHEMA {migrated}"))
        await connection.execute(
            text(
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA {migrated}"
                f" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {migrated}"
            )
        )
        await upgrade_tenant(connection, migrated)
        expected = await catalog(connection, migrated)
        assert len(expected) > 100
        assert await catalog(connection, golden) == expected
        await connection.rollback()
    await engine.dispose()


def test_the_golden_script_is_up_to_date() -> None:
    assert GOLDEN_TENANT_SCRIPT.read_text() == render_tenant_script(), "run `python -m app migrate golden`"


async def test_upgrading_again_changes_nothing(database_urls: DatabaseURLs) -> None:
    said: list[str] = []
    await upgrade_all(database_urls.owner, progress=said.append)
    assert said == [f"platform at {head_revision('platform')}"]


async def test_a_tenant_that_is_behind_is_brought_to_head(
    database_urls: DatabaseURLs, make_tenant: MakeTenant
) -> None:
    tenant = await make_tenant()
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL search_path TO {tenant.schema}"))
        await connection.run_sync(downgrade, tenant.schema)
        await connection.execute(
            text("UPDATE platform.tenants SET revision = 'older' WHERE id = :id"), {"id": tenant.id}
        )
    said: list[str] = []
    await upgrade_all(database_urls.owner, progress=said.append)
    assert said[1:] == [f"tenant 1 of 1 at {head_revision('tenant')}"]
    async with engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL search_path TO {tenant.schema}"))
        assert await connection.scalar(text("SELECT count(*) FROM resources")) == 0
        revision = await connection.scalar(
            text("SELECT revision FROM platform.tenants WHERE id = :id"), {"id": tenant.id}
        )
    await engine.dispose()
    assert revision == head_revision("tenant")


def downgrade(connection: Connection, schema: str) -> None:
    config = alembic_config("tenant")
    config.attributes.update(connection=connection, schema=schema)
    command.downgrade(config, "base")


async def test_a_malformed_schema_is_refused(database_urls: DatabaseURLs) -> None:
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        with pytest.raises(RoutingError):
            await upgrade_tenant(connection, "public; DROP SCHEMA platform CASCADE")
    await engine.dispose()


async def test_every_time_has_a_zone_and_every_foreign_key_an_index(database_urls: DatabaseURLs) -> None:
    for metadata in (PlatformBase.metadata, TenantBase.metadata):
        for table in metadata.tables.values():
            indexed = {next(iter(index.columns.keys())) for index in table.indexes}
            indexed |= {
                next(iter(c.columns.keys())) for c in table.constraints if hasattr(c, "columns") and c.columns
            }
            for column in table.columns:
                if column.type.python_type.__name__ == "datetime":
                    assert column.type.timezone, f"{table.name}.{column.name}"
                if column.foreign_keys:
                    assert column.name in indexed, f"{table.name}.{column.name}"


def test_the_ten_models_exist() -> None:
    platform = {table.name for table in PlatformBase.metadata.tables.values()}
    tenant = {table.name for table in TenantBase.metadata.tables.values()}
    assert platform >= {"tenants", "rate_limit_configs", "usage_metrics", "scaling_events"}
    assert tenant >= {"users", "api_keys", "rbac_policies", "resources", "jobs", "audit_logs"}
