"""`tenants`: create and list tenants, and give an admin a new password."""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from app.core.database import Database
from app.core.settings import load_settings
from app.tenants.bootstrap import bootstrap_first_tenant, onboarding_from
from app.tenants.models import Plan, Tenant
from app.tenants.onboarding import NewTenant, TenantCredentials, slugify

app = typer.Typer(help="Create and list tenants.", no_args_is_help=True)
console = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Display name.")],
    admin_email: Annotated[str, typer.Option(help="Email of the first admin.")],
    slug: Annotated[str | None, typer.Option(help="Short name for logging in; made from the name.")] = None,
    plan: Annotated[Plan, typer.Option(help="Decides the limits.")] = Plan.FREE,
    as_json: AsJson = False,
) -> None:
    """Create a tenant with its admin and an API key. The credentials are printed once."""
    new = NewTenant(name=name, slug=slug or slugify(name), admin_email=admin_email, plan=plan)
    _print(asyncio.run(onboarding_from(load_settings()).create(new)), as_json=as_json)


@app.command()
def bootstrap(as_json: AsJson = False) -> None:
    """Create the first tenant from APP_FIRST_TENANT_*; does nothing when it exists."""
    credentials = asyncio.run(bootstrap_first_tenant(load_settings()))
    if credentials is None:
        console.print("The first tenant exists already; nothing was changed.")
        return
    _print(credentials, as_json=as_json)


@app.command("list")
def list_tenants() -> None:
    """Every tenant with its state and plan."""
    table = Table("slug", "name", "state", "plan", "revision", "id")
    for row in asyncio.run(_all_tenants()):
        table.add_row(row.slug, row.name, row.state, row.plan, row.revision or "", str(row.id))
    Console().print(table)


@app.command()
def credentials(
    tenant: Annotated[str, typer.Option(help="The tenant's slug.")],
    email: Annotated[str, typer.Option(help="Email of one of its admins.")],
    reset: Annotated[bool, typer.Option("--reset", help="Really replace the password.")] = False,
) -> None:
    """Give an admin who lost the password a new one. Passwords are stored as hashes, so none can be shown."""
    if not reset:
        raise typer.BadParameter("add --reset to replace the password; the old one cannot be shown")
    password = asyncio.run(onboarding_from(load_settings()).reset_admin_password(tenant, email))
    if password is None:
        console.print(f"[red]error:[/red] {tenant} has no admin {email}.")
        raise typer.Exit(1)
    sys.stdout.write(password + "\n")


async def _all_tenants() -> list[Tenant]:
    database = Database(load_settings().database_url.get_secret_value(), pool_size=1)
    try:
        async with database.platform() as session:
            return list(await session.scalars(select(Tenant).order_by(Tenant.created_at, Tenant.id)))
    finally:
        await database.close()


def _print(credentials: TenantCredentials, *, as_json: bool) -> None:
    values = {key: str(value) for key, value in asdict(credentials).items()}
    if as_json:
        sys.stdout.write(json.dumps(values) + "\n")
        return
    for key, value in values.items():
        sys.stdout.write(f"{key:10} {value}\n")
