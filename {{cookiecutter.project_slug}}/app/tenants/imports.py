"""Makes a tenant from an archive, in recorded steps that resume or are cancelled like an onboarding."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from redis.asyncio import Redis
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.ids import new_id
from app.core.migrations import head_revision
from app.core.routing import PLATFORM_SCHEMA
from app.tenants import copying, operations, revisions
from app.tenants.archive import Archive
from app.tenants.copying import Progress, Rows, unseen
from app.tenants.creation import Record, check_slug, claim_slug, find_tenant, write_record
from app.tenants.errors import CopyFailed, TenantIdTaken, TenantNotFound, UnusableArchive
from app.tenants.export import LIMITS_TABLE, USAGE_TABLE
from app.tenants.lifecycle import announce
from app.tenants.manifest import ArchivedTable, Manifest, shown
from app.tenants.models import Isolation, OperationKind, Tenant, TenantState
from app.tenants.operations import Step, tenant_locked
from app.tenants.placements import OwnerDatabases
from app.tenants.schema import (
    create_schema,
    drop_schema,
    exists,
    give_login,
    in_schema,
    refuse_dedicated_on_citus,
    send_script,
)

IMPORTED_TABLES: Final = frozenset({LIMITS_TABLE, USAGE_TABLE})
_STAGE: Final = "imported"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an archive goes. With another id than its own, API keys of the archive open nothing."""

    tenant_id: UUID
    slug: str
    placement: str


class Import:
    """Imports with the logins that own the databases.

    The tenant comes back as it was when it was exported: users, sessions and API keys that were revoked
    afterwards are valid again.
    """

    def __init__(self, owners: OwnerDatabases, redis: Redis, *, secret_key: str) -> None:
        self._owners = owners
        self._redis = redis
        self._secret_key = secret_key

    async def run(
        self,
        archive: Archive,
        *,
        slug: str | None = None,
        placement: str = DEFAULT_PLACEMENT,
        other_id: bool = False,
        record: Record | None = None,
        progress: Progress = unseen,
    ) -> UUID:
        """Make the tenant, active or suspended as it was exported; returns its id.

        Nothing is written before the archive fits this release and placement, and slug and id are free; the
        id of a purged tenant is. Raises UnusableArchive, TenantExists, InvalidTenant, ClusterNotReady.
        """
        told = archive.manifest.tenant
        to = Destination(new_id() if other_id else told.id, slug or told.slug, placement)
        check_slug(to.slug)
        await self._refuse_living(to.tenant_id)
        await self._rehearse(archive.manifest, to)
        async with tenant_locked(self._owners.registry, to.tenant_id) as connection:
            async with connection.begin():
                await claim_slug(connection, to.slug)
                revives = await self._register(connection, archive.manifest, to)
                operation = await operations.start(
                    connection,
                    to.tenant_id,
                    OperationKind.IMPORT,
                    first_step="rows",
                    parameters={"archive": archive.digest, "revives": revives},
                )
                await write_record(connection, to.tenant_id, record)
            await operations.run(connection, operation, self._steps(archive, to, progress))
            await announce(self._redis, connection, to.tenant_id)
        return to.tenant_id

    async def resume(
        self,
        archive: Archive,
        *,
        slug: str | None = None,
        record: Record | None = None,
        progress: Progress = unseen,
    ) -> UUID:
        """Finish an import that was interrupted, from the same archive.

        Raises TenantNotFound, InvalidTenant, NothingToResume, OperationInProgress, and UnusableArchive for
        another archive.
        """
        slug = slug or archive.manifest.tenant.slug
        check_slug(slug)
        async with self._owners.registry.connect() as connection:
            tenant_id = await connection.scalar(select(Tenant.id).where(Tenant.slug == slug))
        if tenant_id is None:
            raise TenantNotFound(f"no tenant has the slug {slug}")
        async with tenant_locked(self._owners.registry, tenant_id) as connection:
            tenant = await find_tenant(connection, tenant_id)
            async with connection.begin():
                operation = await operations.take_up(connection, tenant_id, OperationKind.IMPORT)
                if operation.parameters["archive"] != archive.digest:
                    raise UnusableArchive("It is not the one that this import was begun with.")
                await write_record(connection, tenant_id, record)
            to = Destination(tenant_id, tenant.slug, tenant.placement)
            await operations.run(connection, operation, self._steps(archive, to, progress))
            await announce(self._redis, connection, tenant_id)
        return UUID(str(tenant_id))

    async def _refuse_living(self, tenant_id: UUID) -> None:
        async with self._owners.registry.connect() as connection:
            state = await connection.scalar(select(Tenant.state).where(Tenant.id == tenant_id))
        if state not in {None, TenantState.DELETED}:
            raise _id_taken(tenant_id, state)

    async def _rehearse(self, manifest: Manifest, to: Destination) -> None:
        """Make empty tables of the archive's revision, hold its manifest against them, and roll back."""
        if not revisions.is_known(manifest.tenant.revision):
            raise UnusableArchive(f"This release does not know its revision {manifest.tenant.revision}.")
        unknown = {entry.table for entry in manifest.platform_tables} - IMPORTED_TABLES
        if unknown:
            raise UnusableArchive(
                f"Rows of these shared tables are not imported: {', '.join(map(shown, sorted(unknown)))}."
            )
        schema = tenant_schema(new_id())
        await self._owners.refuse_unready(to.placement)
        async with self._owners.of(to.placement).connect() as placed:
            if await exists(placed, tenant_schema(to.tenant_id)):
                raise TenantIdTaken(
                    f"Its schema {tenant_schema(to.tenant_id)} stands on the placement {to.placement}, though"
                    " no registered tenant has it; --new-id makes a copy beside it."
                )
            if manifest.tenant.isolation is Isolation.DEDICATED:
                await refuse_dedicated_on_citus(placed)
            await create_schema(placed, schema, tables=revisions.script_to(manifest.tenant.revision))
            made = await copying.tables_of(placed, schema)
            await placed.rollback()
        async with self._owners.registry.connect() as registry:
            shared = await copying.columns_of(registry, PLATFORM_SCHEMA)
        try:
            copying.refuse_differences(made, [rows_of(entry, schema) for entry in manifest.tables])
            for entry in manifest.platform_tables:
                known = set(shared[entry.table]) - {"tenant_id"}
                if not set(entry.columns) <= known or len(set(entry.columns)) < len(entry.columns):
                    raise CopyFailed(f"{entry.table} has other columns here.")
        except CopyFailed as error:
            raise UnusableArchive(error.detail) from None

    async def _register(self, connection: AsyncConnection, manifest: Manifest, to: Destination) -> bool:
        """The registry's row; True when it was there, of the same tenant, purged."""
        told = manifest.tenant
        values = {
            "slug": to.slug,
            "name": told.name,
            "state": TenantState.PROVISIONING,
            "plan": told.plan,
            "placement": to.placement,
            "isolation": told.isolation,
        }
        query = select(Tenant.state).where(Tenant.id == to.tenant_id).with_for_update()
        state = await connection.scalar(query)
        if state is None:
            table = Tenant.__table__
            await connection.execute(table.insert().values(id=to.tenant_id, **values))  # type: ignore[attr-defined]
            return False
        if state != TenantState.DELETED:
            raise _id_taken(to.tenant_id, state)
        await connection.execute(
            update(Tenant)
            .where(Tenant.id == to.tenant_id)
            .values(**values, epoch=Tenant.epoch + 1, state_changed_at=func.now())
        )
        return True

    def _steps(self, archive: Archive, to: Destination, progress: Progress) -> list[Step]:
        told, schema = archive.manifest.tenant, tenant_schema(to.tenant_id)

        async def load(registry: AsyncConnection) -> None:
            """All or nothing, and from nothing each time: what an attempt left is dropped first."""
            async with in_schema(self._owners, registry, to.placement, schema) as placed:
                await drop_schema(placed, schema)
                await create_schema(placed, schema, tables=revisions.script_to(told.revision))
                order = [entry.table for entry in archive.manifest.tables]
                async with copying.loading(placed, schema, order):
                    await _load(archive, to, placed, registry, progress)
                await copying.restart_sequences(placed, schema)

        async def upgrade(registry: AsyncConnection) -> None:
            async with in_schema(self._owners, registry, to.placement, schema) as placed:
                version = text(f"SELECT version_num FROM {copying.VERSION_TABLE}")  # noqa: S608
                await send_script(placed, revisions.script_from(str(await placed.scalar(version))))
                if told.isolation is Isolation.DEDICATED:
                    await give_login(placed, schema, self._secret_key)
            await registry.execute(
                update(Tenant).where(Tenant.id == to.tenant_id).values(revision=head_revision("tenant"))
            )

        async def activate(registry: AsyncConnection) -> None:
            was_suspended = told.state == "suspended"
            await registry.execute(
                update(Tenant)
                .where(Tenant.id == to.tenant_id)
                .values(
                    state=TenantState.SUSPENDED if was_suspended else TenantState.ACTIVE,
                    suspended_at=func.now() if was_suspended else None,
                    state_changed_at=func.now(),
                    epoch=Tenant.epoch + 1,
                )
            )

        return [Step("rows", load), Step("upgrade", upgrade), Step("activate", activate)]


def rows_of(entry: ArchivedTable, schema: str) -> Rows:
    """The table of the archive, in a schema."""
    return Rows(schema, entry.table, entry.columns)


def _id_taken(tenant_id: UUID, state: str) -> TenantIdTaken:
    return TenantIdTaken(
        f"Its id {tenant_id} is that of a tenant in state {state}; --new-id, with a slug that is free, makes"
        " a copy beside it."
    )


async def _load(
    archive: Archive,
    to: Destination,
    placed: AsyncConnection,
    registry: AsyncConnection,
    progress: Progress,
) -> None:
    """Load every member into its table and count what stands there. Raises CopyFailed, UnusableArchive."""
    schema, entries = tenant_schema(to.tenant_id), archive.manifest.members
    await copying.fix_text_form(placed)
    if registry is not placed:
        await registry.execute(select(1))  # The driver begins with the first statement.
        await copying.fix_text_form(registry)
    with archive.opened() as members:
        for member in members:
            entry = entries.get(member.name)
            if entry is None:
                raise UnusableArchive(f"{member.name} was added while it was read.")
            content = member.checked(entry, progress)
            if member.name.startswith("tables/"):
                rows = rows_of(entry, schema)
                await copying.copy_in(placed, rows, content, csv=True)
                arrived = await copying.count(placed, rows)
            elif entry.table == USAGE_TABLE and to.tenant_id != archive.manifest.tenant.id:
                continue  # What the original used stays the original's.
            else:
                arrived = await _load_shared(registry, entry, content, to.tenant_id)
            if arrived != entry.rows:
                raise CopyFailed(f"{entry.table}: {arrived} rows arrived instead of {entry.rows}.")


async def _load_shared(
    registry: AsyncConnection, entry: ArchivedTable, content: AsyncIterator[bytes], tenant_id: UUID
) -> int:
    """Through a temporary table, so that every row becomes this tenant's, whatever the archive holds."""
    table = f"{PLATFORM_SCHEMA}.{copying.quote(entry.table)}"
    columns = ", ".join(map(copying.quote, entry.columns))
    # An id that may be another row's here; usage keeps its own, by which an event is counted once.
    values = columns if entry.table == USAGE_TABLE else columns.replace('"id"', "gen_random_uuid()")
    await registry.execute(
        text(f"CREATE TEMPORARY TABLE {_STAGE} ON COMMIT DROP AS SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608
    )
    await copying.copy_in(registry, Rows("pg_temp", _STAGE, entry.columns), content, csv=True)
    result = await registry.execute(
        text(
            f"INSERT INTO {table} (tenant_id, {columns}) SELECT :id, {values} FROM pg_temp.{_STAGE}"  # noqa: S608
        ),
        {"id": tenant_id},
    )
    await registry.execute(text(f"DROP TABLE pg_temp.{_STAGE}"))
    return result.rowcount
