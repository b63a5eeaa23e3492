"""Writes a tenant into an archive, as it was at one moment."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.database import utc_now
from app.core.routing import PLATFORM_SCHEMA
from app.tenants import manifest
from app.tenants.archive import ArchiveWriter, Measure, refuse_target, written
from app.tenants.copying import (
    VERSION_TABLE,
    Progress,
    Rows,
    columns_of,
    copy_out,
    fix_text_form,
    quote,
    tables_of,
    unseen,
)
from app.tenants.creation import Record, find_tenant, write_record
from app.tenants.errors import CopyFailed, TenantStateConflict
from app.tenants.manifest import ArchivedTable, ArchivedTenant, Manifest, member_name
from app.tenants.models import TenantState
from app.tenants.placements import OwnerDatabases
from app.tenants.schema import exists

EXPORTED_STATES: Final = (TenantState.ACTIVE, TenantState.SUSPENDED, TenantState.DELETING)
LIMITS_TABLE: Final = "rate_limit_configs"
USAGE_TABLE: Final = "usage_metrics"


class Export:
    """Exports with the logins that own the databases; changes nothing."""

    def __init__(self, owners: OwnerDatabases) -> None:
        self._owners = owners

    async def has_data(self, tenant_id: UUID) -> bool:
        """False before its making is finished, and once a purge has dropped its schema.

        Raises TenantNotFound.
        """
        tenant = await self._find(tenant_id)
        if tenant.state not in EXPORTED_STATES:
            return False
        async with self._owners.of(tenant.placement).connect() as placed:
            return await exists(placed, tenant_schema(tenant_id))

    async def run(
        self,
        tenant_id: UUID,
        path: Path,
        *,
        with_usage: bool = False,
        record: Record | None = None,
        progress: Progress = unseen,
    ) -> Manifest:
        """Write the archive. It holds the hashes of passwords and keys, so only its owner may read it.

        Usage is left out unless asked for: it can be most of the data, and most uses need none. `record` is
        written before anything is read. Raises
        TenantNotFound, TenantStateConflict, CopyFailed, and UnwritableArchive.
        """
        tenant = await self._find(tenant_id)
        if not await self.has_data(tenant_id):
            raise TenantStateConflict("It has no data: it is not finished yet, or its purge has begun.")
        refuse_target(path)
        async with self._owners.registry.begin() as connection:
            await write_record(connection, tenant_id, record)
        schema, engine, now = tenant_schema(tenant_id), self._owners.of(tenant.placement), utc_now()
        with written(path, now.timestamp()) as archive:
            async with _snapshot(engine, schema) as placed:
                facts: dict[str, Any] = {
                    "created_at": now,
                    "server_version": await placed.scalar(text("SHOW server_version")),
                    "tenant": await _archived(placed, tenant, schema),
                    "tables": [
                        await _add(archive, placed, rows, "tables/", progress)
                        for rows in await tables_of(placed, schema)
                    ],
                }
                shared = [LIMITS_TABLE, USAGE_TABLE] if with_usage else [LIMITS_TABLE]
                async with self._registry(placed, tenant.placement) as registry:
                    facts["platform_tables"] = [
                        await _add(archive, registry, rows, "platform/", progress, tenant_id=tenant_id)
                        for rows in await shared_rows(registry, shared)
                    ]
            made = Manifest(**facts)
            content = made.model_dump_json(indent=2).encode()
            archive.add(manifest.MEMBER, io.BytesIO(content), len(content))
        return made

    async def _find(self, tenant_id: UUID) -> Row[Any]:
        async with self._owners.registry.connect() as connection:
            return await find_tenant(connection, tenant_id)

    @asynccontextmanager
    async def _registry(self, placed: AsyncConnection, placement: str) -> AsyncIterator[AsyncConnection]:
        """On the default placement it is the same snapshot."""
        if placement == DEFAULT_PLACEMENT:
            yield placed
            return
        async with self._owners.registry.begin() as registry:
            yield registry


async def shared_rows(registry: AsyncConnection, tables: Sequence[str]) -> list[Rows]:
    """The shared tables of which a tenant takes its rows along, without the column that names it."""
    found = await columns_of(registry, PLATFORM_SCHEMA)
    return [
        Rows(PLATFORM_SCHEMA, table, tuple(name for name in found[table] if name != "tenant_id"))
        for table in tables
    ]


@asynccontextmanager
async def _snapshot(engine: AsyncEngine, schema: str) -> AsyncIterator[AsyncConnection]:
    """A transaction that sees one moment and can write nothing.

    Its tables are locked against changes of their form before that moment is chosen.
    """
    async with engine.connect() as connection:
        before = await tables_of(connection, schema)
        await connection.rollback()
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        names = [Rows(schema, VERSION_TABLE, ()).name, *(rows.name for rows in before)]
        async with connection.begin():
            await connection.exec_driver_sql(f"LOCK TABLE {', '.join(names)} IN ACCESS SHARE MODE")
            await fix_text_form(connection)
            if await tables_of(connection, schema) != before:
                raise CopyFailed("Its tables were changed at this very moment; try again.")
            yield connection


async def _archived(placed: AsyncConnection, tenant: Row[Any], schema: str) -> ArchivedTenant:
    version = text(f"SELECT version_num FROM {quote(schema)}.{VERSION_TABLE}")  # noqa: S608  # quoted
    return ArchivedTenant(
        id=tenant.id,
        slug=tenant.slug,
        name=tenant.name,
        # What it goes back to; a deletion may be taken back by an import, a suspension not.
        state=tenant.state if tenant.suspended_at is None else TenantState.SUSPENDED,
        plan=tenant.plan,
        isolation=tenant.isolation,
        revision=str(await placed.scalar(version)),
    )


async def _add(
    archive: ArchiveWriter,
    connection: AsyncConnection,
    rows: Rows,
    folder: manifest.Folder,
    progress: Progress,
    *,
    tenant_id: UUID | None = None,
) -> ArchivedTable:
    """COPY to a nameless file first: what stands in a tar needs its size before its content."""
    measure = Measure()
    where = "" if tenant_id is None else f"WHERE tenant_id = '{tenant_id}'"
    with archive.spool() as spool:

        async def write(chunk: bytes) -> None:
            measure.update(chunk)
            progress(rows.table, measure.size)
            await asyncio.to_thread(archive.write, spool, chunk)

        count = await copy_out(connection, rows, write, csv=True, where=where)
        await asyncio.to_thread(archive.add, member_name(folder, rows.table), spool, measure.size)
    if count != measure.rows:
        raise CopyFailed(f"{rows.table}: {count} rows were announced, {measure.rows} came.")
    return ArchivedTable(
        table=rows.table, columns=rows.columns, rows=count, bytes=measure.size, sha256=measure.sha256
    )
