"""`tenants export|import|move`: a tenant into a file, out of one, and to another database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy import select

from app.cli.connections import runtime_database
from app.cli.recording import recorder
from app.core.context import DEFAULT_PLACEMENT
from app.core.database import utc_now
from app.core.settings import load_settings
from app.tenants import copying
from app.tenants.archive import Archive, verify
from app.tenants.bootstrap import export_from, import_from, move_from
from app.tenants.errors import TenantNotFound
from app.tenants.manifest import Manifest
from app.tenants.models import Tenant
from app.tenants.move import MoveReport

console = Console(stderr=True, highlight=False)

PRIVATE = "It holds hashes of passwords and API keys, and all of the tenant's data: keep it private."


def export(
    tenant: Annotated[str, typer.Argument(help="The tenant's slug.")],
    to: Annotated[Path, typer.Option(help="File ending in .tar, .tar.gz or .tgz; never overwritten.")],
    with_usage: Annotated[bool, typer.Option("--with-usage", help="Metered usage too.")] = False,
) -> None:
    """Write a tenant, as it is at one moment, into an archive that `tenants import` restores."""

    async def exported() -> Manifest:
        async with export_from(load_settings()) as export_:
            with _progress() as progress:
                return await export_.run(
                    await _id_of(tenant),
                    to,
                    with_usage=with_usage,
                    record=recorder("tenants:export"),
                    progress=progress,
                )

    manifest = asyncio.run(exported())
    rows = sum(entry.rows for entry in manifest.members.values())
    console.print(f"{to}: {rows} rows of {len(manifest.members)} tables. {PRIVATE}", soft_wrap=True)


def import_(
    file: Annotated[Path, typer.Argument(help="An archive made by `tenants export`.")],
    slug: Annotated[str | None, typer.Option(help="Another slug than the archive's.")] = None,
    placement: Annotated[str, typer.Option(help="Database to live on.")] = DEFAULT_PLACEMENT,
    other_id: Annotated[
        bool, typer.Option("--new-id", help="A copy with an id of its own; the archive's API keys end.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Finish an import that was interrupted.")] = False,
) -> None:
    """Make a tenant from an archive, after checking all of it. Passwords, and with the same id API keys, work
    as they did when it was exported."""
    if resume and other_id:
        raise typer.BadParameter("--resume keeps the id that the import was begun with; leave out --new-id")
    with _progress() as progress:
        archive = verify(file, progress)

    async def imported() -> UUID:
        async with import_from(load_settings()) as import_:
            with _progress(archive) as progress:
                if resume:
                    record = recorder("tenants:resume_import")
                    return await import_.resume(archive, slug=slug, record=record, progress=progress)
                return await import_.run(
                    archive,
                    slug=slug,
                    placement=placement,
                    other_id=other_id,
                    record=recorder("tenants:import", archive=archive.digest),
                    progress=progress,
                )

    tenant_id = asyncio.run(imported())
    console.print(f"{slug or archive.manifest.tenant.slug} is imported as {tenant_id}.", soft_wrap=True)
    if tenant_id != archive.manifest.tenant.id:
        console.print("An API key holds the id of its tenant, so those of the archive do not work here.")


def move(
    tenant: Annotated[str, typer.Argument(help="The tenant's slug.")],
    to: Annotated[str | None, typer.Option(help="Placement to live on.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Finish a move that was interrupted.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Undo one that has not switched yet.")] = False,
) -> None:
    """Move a tenant to another database. Its writes are refused with `Retry-After` meanwhile; reads go on."""
    if (to is not None) + resume + cancel != 1:
        raise typer.BadParameter("give one of --to, --resume and --cancel")

    async def moved() -> MoveReport | None:
        async with move_from(load_settings()) as move_:
            tenant_id = await _id_of(tenant)
            if cancel:
                await move_.cancel(tenant_id, record=recorder("tenants:cancel_move"))
                return None
            with _progress() as progress:
                if to is None:
                    record = recorder("tenants:resume_move")
                    return await move_.resume(tenant_id, record=record, progress=progress)
                record = recorder("tenants:move", to=to)
                return await move_.run(tenant_id, to, record=record, progress=progress)

    report = asyncio.run(moved())
    if report is None:
        console.print(f"{tenant} stays where it was; its writes are no longer paused.")
    elif report.pause_seconds is None:
        console.print(f"{tenant} lives on {report.target}; the old copy is gone.")
    else:
        paused = f"{report.rows} rows, writes paused for {report.pause_seconds:.2f} s"
        console.print(f"{tenant} lives on {report.target}: {paused}.", soft_wrap=True)


async def export_before_purge(tenant_id: UUID, folder: Path) -> None:
    """Write an archive with usage into a folder; says so where a purge has already begun to delete."""
    path = folder / f"{tenant_id}-{utc_now():%Y%m%dT%H%M%SZ}.tar.gz"
    async with export_from(load_settings()) as export_:
        if not await export_.has_data(tenant_id):
            console.print(f"{tenant_id}: its purge has begun, so there is nothing to export.", soft_wrap=True)
            return
        with _progress() as progress:
            record = recorder("tenants:export")
            await export_.run(tenant_id, path, with_usage=True, record=record, progress=progress)
    console.print(f"{path} written. {PRIVATE}", soft_wrap=True)


@contextmanager
def _progress(archive: Archive | None = None) -> Iterator[copying.Progress]:
    """A bar per table on a terminal, nothing elsewhere."""
    if not console.is_terminal:
        yield copying.unseen
        return
    sizes = {} if archive is None else {one.table: one.bytes for one in archive.manifest.members.values()}
    columns = (TextColumn("{task.description:24}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(table: str, passed: int) -> None:
            if table not in tasks:
                tasks[table] = bars.add_task(table, total=sizes.get(table))
            bars.update(tasks[table], completed=passed)

        yield show


async def _id_of(slug: str) -> UUID:
    database = runtime_database()
    try:
        async with database.platform() as session:
            tenant_id: UUID | None = await session.scalar(select(Tenant.id).where(Tenant.slug == slug))
    finally:
        await database.close()
    if tenant_id is None:
        raise TenantNotFound(f"no tenant has the slug {slug}")
    return tenant_id
