"""What the command line offers for placements on Citus: `migrate provision-citus`, `tenants rebalance` …"""

import asyncio
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.lookup import checked_slug
from app.cli.tenants import Slug
from app.core.citus_provisioning import check_cluster, provision_cluster
from app.core.provisioning import OWNER_ROLE, RUNTIME_ROLE
from app.core.settings import Settings, SettingsError, load_settings
from app.operators import record_action
from app.tenants.errors import TenantNotFound
from app.tenants.models import Tenant
from app.tenants.placements import OwnerDatabases
from app.tenants.rebalance import Node, Rebalance, Rebalanced

console = Console(stderr=True)

Placement = Annotated[str, typer.Argument(help="Its name in APP_PLACEMENTS.")]


def provision(
    placement: Placement,
    coordinator_url: Annotated[
        str,
        typer.Option(
            envvar="APP_SUPERUSER_DATABASE_URL",
            prompt="URL of a superuser at the coordinator",
            hide_input=True,
            help="Given by environment or prompt, so that it shows in no process list.",
        ),
    ],
    worker_urls: Annotated[
        str,
        typer.Option(
            envvar="APP_CITUS_WORKER_URLS",
            prompt="URLs of a superuser at each worker, with spaces between",
            hide_input=True,
            help="Given by environment or prompt, so that they show in no process list.",
        ),
    ],
) -> None:
    """Make a Citus cluster of servers that have the extension, and check it. Safe to repeat."""
    owner, runtime = _urls(load_settings(), placement)
    workers = worker_urls.split()
    if not workers:
        raise SettingsError("APP_CITUS_WORKER_URLS needs the URL of a superuser at each worker.")
    if owner.database in {make_url(url).database for url in (coordinator_url, *workers)}:
        raise SettingsError(
            f"The superuser's URLs must name another database than {owner.database}, such as postgres."
        )
    asyncio.run(
        provision_cluster(
            coordinator_url,
            workers,
            database=str(owner.database),
            owner_password=str(owner.password),
            runtime_password=str(runtime.password),
        )
    )
    check(placement)


def check(placement: Placement) -> None:
    """Try at a Citus cluster what a tenant needs of it; says what is missing."""
    owner, runtime = _urls(load_settings(), placement)
    asyncio.run(check_cluster(_text(owner), _text(runtime)))
    console.print(f"The Citus cluster {placement} is ready for tenants.")


def nodes(placement: Placement) -> None:
    """The workers of a Citus cluster, and how many tenants each has."""

    async def found() -> list[Node]:
        owners = OwnerDatabases.from_settings(load_settings())
        try:
            return list(await Rebalance(owners).nodes(placement))
        finally:
            await owners.close()

    table = Table("node", "tenants")
    for node in asyncio.run(found()):
        table.add_row(node.address, str(node.tenants))
    Console().print(table)


def rebalance(
    tenant: Slug, to_node: Annotated[str, typer.Option(help="HOST:PORT of a worker, as `nodes` shows it.")]
) -> None:
    """Move a tenant to another worker of its Citus cluster, while it is served."""

    async def moved() -> Rebalanced:
        owners = OwnerDatabases.from_settings(load_settings())
        try:
            tenant_id = await _id_of(owners, tenant)

            async def record(session: AsyncSession, changed: UUID) -> None:
                details = {"to_node": to_node}
                await record_action(session, "tenants:rebalance", tenant_id=changed, details=details)

            return await Rebalance(owners).move(tenant_id, to_node, record=record)
        finally:
            await owners.close()

    result = asyncio.run(moved())
    if result.before == result.now:
        console.print(f"{tenant} is at {result.now} already; nothing was changed.")
    else:
        console.print(f"{tenant} moved from {result.before} to {result.now}.")


async def _id_of(owners: OwnerDatabases, slug: str) -> UUID:
    async with owners.registry.connect() as connection:
        tenant_id = await connection.scalar(select(Tenant.id).where(Tenant.slug == checked_slug(slug)))
    if tenant_id is None:
        raise TenantNotFound(f"no tenant has the slug {slug}")
    return tenant_id


def _urls(settings: Settings, placement: str) -> tuple[URL, URL]:
    """The owner's and the runtime login's at the coordinator."""
    try:
        owner = make_url(settings.owner_urls[placement])
        runtime = make_url(settings.runtime_urls[placement])
    except KeyError:
        raise SettingsError(
            f"APP_PLACEMENTS: {placement} is not there, or has no migration_database_url."
        ) from None
    if (owner.username, runtime.username) != (OWNER_ROLE, RUNTIME_ROLE):
        raise SettingsError(
            f"APP_PLACEMENTS: {placement} must log in as {OWNER_ROLE} to migrate, else as {RUNTIME_ROLE}."
        )
    if not owner.database or not owner.password or not runtime.password:
        raise SettingsError(f"APP_PLACEMENTS: the URLs of {placement} need a password and a database.")
    return owner, runtime


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)
