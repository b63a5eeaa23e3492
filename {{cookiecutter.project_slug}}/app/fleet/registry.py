"""What the registry says of the tenants, and what is really in the databases."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.context import tenant_schema
from app.core.routing import SCHEMA_PATTERN
from app.fleet.connections import Connection

# Tenants that serve or may serve again. The others have a schema for some of the time.
STATES_WITH_SCHEMA: Final = frozenset({"active", "suspended", "deleting"})
VERSIONS_PER_QUERY: Final = 200
# moving_to came with a later revision than the table, and this runs before the platform is at head.
TENANTS: Final = """
    SELECT t.id, t.slug, t.state, t.placement, t.revision, to_jsonb(t) ->> 'moving_to' AS moving_to
      FROM platform.tenants t ORDER BY t.created_at, t.id
"""
ANCHORED: Final = f"^{SCHEMA_PATTERN.pattern}$"
SCHEMAS: Final = "SELECT nspname FROM pg_namespace WHERE nspname ~ $1"
VERSIONED: Final = """
    SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname = 'alembic_version' AND n.nspname ~ $1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class FleetTenant:
    """A row of the registry."""

    id: UUID
    slug: str
    state: str
    placement: str
    revision: str | None
    moving_to: str | None

    @property
    def schema(self) -> str:
        return tenant_schema(self.id)

    @property
    def is_gone(self) -> bool:
        """Whether it was purged; its row alone is left."""
        return self.state == "deleted"

    @property
    def needs_schema(self) -> bool:
        """Whether it must have one; while it is made or after it was deleted it may."""
        return self.state in STATES_WITH_SCHEMA


async def read_tenants(fetch: Any) -> list[FleetTenant]:
    """Every tenant, the oldest first; none when there is no registry yet. `fetch` runs a query."""
    if not (await fetch("SELECT to_regclass('platform.tenants') IS NOT NULL AS made"))[0]["made"]:
        return []
    return [FleetTenant(**dict(row)) for row in await fetch(TENANTS)]


async def read_platform_revision(fetch: Any) -> str | None:
    """Where the platform tree stands in a database; None when it has never been run."""
    if not (await fetch("SELECT to_regclass('platform.alembic_version') IS NOT NULL AS made"))[0]["made"]:
        return None
    rows = await fetch("SELECT version_num FROM platform.alembic_version")
    return str(rows[0]["version_num"]) if rows else None


async def read_schemas(connection: Connection) -> set[str]:
    """The tenant schemas of one database."""
    return {row["nspname"] for row in await connection.fetch(SCHEMAS, ANCHORED)}


async def read_versions(connection: Connection) -> dict[str, str | None]:
    """What alembic_version says in each tenant schema of a database that has one, some hundreds a query."""
    schemas = [row["nspname"] for row in await connection.fetch(VERSIONED, ANCHORED)]
    versions: dict[str, str | None] = {}
    for start in range(0, len(schemas), VERSIONS_PER_QUERY):
        chunk = schemas[start : start + VERSIONS_PER_QUERY]
        try:
            versions |= await _versions(connection, chunk)
        except asyncpg.PostgresError:
            # One was dropped meanwhile; ask for each alone.
            for schema in chunk:
                versions |= await _version_or_nothing(connection, schema)
    return versions


async def read_version(connection: Connection, schema: str) -> str | None:
    """What alembic_version says in one schema; None when there is none."""
    return (await _version_or_nothing(connection, schema)).get(schema)


async def _version_or_nothing(connection: Connection, schema: str) -> Mapping[str, str | None]:
    try:
        return await _versions(connection, [schema])
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return {}


async def _versions(connection: Connection, schemas: Iterable[str]) -> dict[str, str | None]:
    # The names come from the catalog and match SCHEMA_PATTERN.
    query = " UNION ALL ".join(
        f"SELECT '{schema}' AS name, string_agg(version_num, ',') AS at FROM {schema}.alembic_version"  # noqa: S608
        for schema in schemas
    )
    return {row["name"]: row["at"] for row in await connection.fetch(query)}


def select_tenants(
    tenants: Collection[FleetTenant], wanted: Collection[str]
) -> tuple[list[FleetTenant], list[str]]:
    """The tenants named by id or slug, and the names that none has."""
    by_name = {name: tenant for tenant in tenants for name in (tenant.slug, str(tenant.id), tenant.id.hex)}
    found = {by_name[name.lower()].id: by_name[name.lower()] for name in wanted if name.lower() in by_name}
    return list(found.values()), [name for name in wanted if name.lower() not in by_name]
