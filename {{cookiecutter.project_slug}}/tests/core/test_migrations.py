"""Models, revisions and the golden script say the same, and migrations can be repeated and undone."""

import uuid
from itertools import takewhile
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from app.core.context import tenant_schema
from app.core.database import PLATFORM_SCHEMA, PlatformBase, TenantBase, owner_engine
from app.core.migrations import (
    GOLDEN_TENANT_SCRIPT,
    Tree,
    head_revision,
    render_tenant_script,
    upgrade_tenant,
)
from app.core.routing import RoutingError
from app.fleet import Fleet
from app.fleet.script import Revision, RevisionTree
from app.fleet.sql import is_transaction_control, split_statements
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
        await run_revisions(connection, migrated)
        expected = await catalog(connection, migrated)
        assert len(expected) > 100
        assert await catalog(connection, golden) == expected
        await connection.rollback()
    await engine.dispose()


async def run_revisions(connection: Any, schema: str) -> None:
    """By Alembic; what is built outside of a transaction is built inside, as the schema is not committed."""
    tree = RevisionTree("tenant")
    for revision in tree.revisions:
        phase = tree.phase(revision)
        if not phase.indexes:
            await upgrade_tenant(connection, schema, revision.id)
            continue
        for index in phase.indexes:
            await connection.execute(text(index.sql.replace(" CONCURRENTLY", "")))
        await connection.execute(text(phase.sql))


async def test_every_downgrade_undoes_its_upgrade(database_urls: DatabaseURLs) -> None:
    """Back to where it came from, catalog for catalog, and forth again."""
    schema, tree = tenant_schema(uuid.uuid4()), RevisionTree("tenant")
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        await connection.begin()
        await create_schema(connection, schema)
        seen = [await catalog(connection, schema)]
        reversible = list(takewhile(is_reversible, reversed(tree.revisions)))
        for revision in reversible:
            await run_plainly(connection, tree.render(revision, downgrade=True))
            seen.append(await catalog(connection, schema))
        for revision in reversed(reversible):
            assert await catalog(connection, schema) == seen.pop()
            await run_plainly(connection, tree.render(revision))
        assert [await catalog(connection, schema)] == seen
        await connection.rollback()
    await engine.dispose()


def is_reversible(revision: Revision) -> bool:
    return "\nirreversible" not in revision.path.read_text()


async def run_plainly(connection: Any, sql: str) -> None:
    for statement in split_statements(sql):
        # From base, Alembic's own table is there already.
        if is_transaction_control(statement) or statement.startswith("CREATE TABLE alembic_version"):
            continue
        await connection.exec_driver_sql(statement.replace(" CONCURRENTLY", ""))


def test_the_golden_script_is_up_to_date() -> None:
    assert GOLDEN_TENANT_SCRIPT.read_text() == render_tenant_script(), "run `python -m app migrate golden`"


async def test_upgrading_again_changes_nothing(database_urls: DatabaseURLs) -> None:
    report = await Fleet({"default": database_urls.owner}).apply()
    assert report.ok
    assert (report.platform.start, report.platform.end) == (head_revision("platform"),) * 2
    assert list(report.tenants) == []


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
