"""`tenants`: create, look at, change and delete tenants, and give an admin a new password."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from sqlalchemy import select

from app.cli.connections import runtime_database
from app.cli.faults import MENDABLE, in_one_line
from app.cli.lookup import checked_slug, find_tenant_id
from app.cli.recording import recorder
from app.cli.tenant_archives import export_before_purge
from app.core.context import DEFAULT_PLACEMENT
from app.core.settings import load_settings
from app.tenants.bootstrap import (
    admin_passwords_from,
    bootstrap_first_tenant,
    lifecycle_from,
    onboarding_from,
)
from app.tenants.creation import NewTenant, TenantCredentials
from app.tenants.errors import TenantNotFound
from app.tenants.lifecycle import Lifecycle
from app.tenants.models import Isolation, Plan, Tenant, TenantOperation
from app.tenants.onboarding import slugify
from app.tenants.operations import UNFINISHED
from app.tenants.purge import Purge
from app.users.service import normalize_email

app = typer.Typer(help="Create, look at, change and delete tenants.", no_args_is_help=True)
console = Console(stderr=True)

UUID_LENGTH: Final = 36
UNCUT_WIDTH: Final = 1_000  # Wider than any row.

Slug = Annotated[str, typer.Argument(help="The tenant's slug.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command()
def create(  # noqa: PLR0917  # options of a command, given by name
    name: Annotated[str, typer.Option(help="Display name.")],
    admin_email: Annotated[str, typer.Option(help="Email of the first admin.")],
    slug: Annotated[str | None, typer.Option(help="Short name for logging in; made from the name.")] = None,
    plan: Annotated[Plan, typer.Option(help="Decides the limits.")] = Plan.FREE,
    placement: Annotated[str, typer.Option(help="Database to live on.")] = DEFAULT_PLACEMENT,
    requests_per_minute: Annotated[int | None, typer.Option(help="Instead of the plan's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a tenant with its admin and an API key. The credentials are printed once."""
    new = NewTenant(
        name=name,
        slug=slug or slugify(name),
        admin_email=admin_email,
        plan=plan,
        placement=placement,
        requests_per_minute=requests_per_minute,
    )

    async def created() -> TenantCredentials:
        async with onboarding_from(load_settings()) as onboarding:
            return await onboarding.create(new, record=recorder("tenants:create", slug=new.slug))

    _print(asyncio.run(created()), as_json=as_json)


@app.command()
def bootstrap(as_json: AsJson = False) -> None:
    """Create the first tenant from APP_FIRST_TENANT_*; does nothing when it exists.

    With APP_FIRST_TENANT_ADMIN_PASSWORD it prints no secret, since what a task in the cloud prints is a log.
    """
    settings = load_settings()
    credentials = asyncio.run(bootstrap_first_tenant(settings))
    if credentials is None:
        console.print("The first tenant exists already; nothing was changed.")
        return
    if settings.first_tenant_admin_password is not None:
        console.print(f"{credentials.email} of {credentials.tenant} logs in with the password given.")
        return
    _print(credentials, as_json=as_json)


@app.command("list")
def list_tenants() -> None:
    """Every tenant with its state and plan."""
    # Slugs and ids are there to be copied, so they are never cut; into a pipe nothing is.
    slug, tenant_id = (Column(name, no_wrap=True, overflow="ignore") for name in ("slug", "id"))
    tenant_id.min_width = UUID_LENGTH
    table = Table(slug, "name", "state", "plan", "revision", tenant_id)
    for row in asyncio.run(_all_tenants()):
        table.add_row(row.slug, Text(row.name), row.state, row.plan, row.revision or "", str(row.id))
    Console(width=None if sys.stdout.isatty() else UNCUT_WIDTH).print(table)


@app.command()
def credentials(
    tenant: Annotated[str, typer.Option(help="The tenant's slug.")],
    email: Annotated[str, typer.Option(help="Email of one of its admins.")],
    reset: Annotated[bool, typer.Option("--reset", help="Really replace the password.")] = False,
) -> None:
    """Give an admin who lost the password a new one, and end the logins that the old one began."""
    if not reset:
        raise typer.BadParameter("add --reset to replace the password; the old one cannot be shown")

    async def changed() -> str:
        tenant_id = await find_tenant_id(tenant)
        async with admin_passwords_from(load_settings()) as passwords:
            record = recorder("tenants:reset_credentials", email=normalize_email(email))
            return await passwords.reset(tenant_id, email, record=record)

    sys.stdout.write(asyncio.run(changed()) + "\n")
    console.print(f"{email} is logged out everywhere. API keys work as before.", soft_wrap=True)


@app.command()
def show(tenant: Slug) -> None:
    """One tenant, and the operation that works on it or was interrupted."""
    row, operation = asyncio.run(_one_tenant(tenant))
    facts = {column.name: getattr(row, column.name) for column in Tenant.__table__.columns}
    if operation is not None:
        facts |= {
            f"operation_{name}": getattr(operation, name)
            for name in ("kind", "state", "step", "attempts", "error")
        }
    for name, value in facts.items():
        if value is not None:
            sys.stdout.write(f"{name:18} {value}\n")


@app.command("resume-onboarding")
def resume_onboarding(tenant: Slug, as_json: AsJson = False) -> None:
    """Finish an onboarding that was interrupted, and print the credentials that nobody has got to see yet."""

    async def finished() -> TenantCredentials | None:
        async with onboarding_from(load_settings()) as onboarding:
            return await onboarding.resume(
                await find_tenant_id(tenant), record=recorder("tenants:resume_onboarding")
            )

    credentials = asyncio.run(finished())
    if credentials is None:
        console.print(
            f"{tenant} is active. Its admin's credentials were saved by the command that began it; if they"
            " are lost, `tenants credentials --reset` gives a new password.",
            soft_wrap=True,
        )
        return
    _print(credentials, as_json=as_json)


@app.command("cancel-onboarding")
def cancel_onboarding(tenant: Slug) -> None:
    """Undo an onboarding that was interrupted; nothing of the tenant is left."""

    async def cancel() -> None:
        async with onboarding_from(load_settings()) as onboarding:
            await onboarding.cancel(
                await find_tenant_id(tenant), record=recorder("tenants:cancel_onboarding")
            )

    asyncio.run(cancel())
    console.print(f"{tenant} is gone.")


@app.command()
def suspend(tenant: Slug) -> None:
    """Refuse a tenant's requests, from its next one on."""
    _change(tenant, Lifecycle.suspend, "tenants:suspend")


@app.command()
def resume(tenant: Slug) -> None:
    """Serve a suspended tenant again."""
    _change(tenant, Lifecycle.resume, "tenants:resume")


@app.command("plan")
def change_plan(tenant: Slug, plan: Annotated[Plan, typer.Argument(help="Decides the limits.")]) -> None:
    """Give a tenant another plan."""
    _change(tenant, partial(Lifecycle.change_plan, plan=plan), "tenants:update", plan=plan)


@app.command()
def isolate(
    tenant: Slug,
    tier: Annotated[Isolation, typer.Argument(help="pooled or dedicated")] = Isolation.DEDICATED,
) -> None:
    """Give a tenant a login and a pool of its own, or take them back."""
    _change(tenant, partial(Lifecycle.isolate, isolation=tier), "tenants:update", isolation=tier)


@app.command("renew-logins")
def renew_logins() -> None:
    """Give every dedicated tenant its login anew: after a change of APP_SECRET_KEY, which makes passwords."""
    if not asyncio.run(_renew_logins()):
        raise typer.Exit(1)


async def _renew_logins() -> bool:
    """True when every one has its login. One that cannot have it keeps no other from it."""
    settings, complete = load_settings(), True
    async with lifecycle_from(settings) as (lifecycle, _):
        for tenant in await lifecycle.dedicated():
            renewed = "has its login anew"
            try:
                record = recorder("tenants:update", isolation=Isolation.DEDICATED)
                await lifecycle.isolate(tenant.id, Isolation.DEDICATED, record=record)
            except MENDABLE as error:
                renewed, complete = f"not renewed: {in_one_line(error)}", False
            console.print(f"{tenant.slug}: {renewed}", soft_wrap=True, highlight=False)
    return complete


@app.command()
def delete(tenant: Slug) -> None:
    """Refuse a tenant's requests and keep its data for the grace; `restore` takes it back."""
    _change(tenant, Lifecycle.schedule_deletion, "tenants:delete")


@app.command()
def restore(tenant: Slug) -> None:
    """Take a deletion back during the grace."""
    _change(tenant, Lifecycle.restore, "tenants:restore")


@app.command()
def purge(
    tenant: Annotated[str | None, typer.Argument(help="Slug; left out: all whose grace is over.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for the end of the grace.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really delete; this cannot be taken back.")] = False,
    export_to: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder for an archive of each tenant, made first."),
    ] = None,
) -> None:
    """Delete deleted tenants for good, and search for anything left of them."""
    if not yes:
        raise typer.BadParameter(
            "add --yes: a purge cannot be taken back; `tenants export` makes a copy first"
        )
    if now and tenant is None:
        raise typer.BadParameter("--now needs the tenant's slug")
    if not asyncio.run(_purge(tenant, now=now, export_to=export_to)):
        raise typer.Exit(1)


async def _purge(tenant: str | None, *, now: bool, export_to: Path | None) -> bool:
    """True when nothing is left of any of them. One that cannot be purged keeps no other from it."""
    clean = True
    async with lifecycle_from(load_settings()) as (_, purge_):
        if tenant is not None:
            return await _purge_one(purge_, await find_tenant_id(tenant), now=now, export_to=export_to)
        for tenant_id in await purge_.due():
            try:
                clean = await _purge_one(purge_, tenant_id, now=False, export_to=export_to) and clean
            except MENDABLE as error:
                console.print(
                    f"{tenant_id}: not purged: {in_one_line(error)}", soft_wrap=True, highlight=False
                )
                clean = False
    return clean


async def _purge_one(purge_: Purge, tenant_id: UUID, *, now: bool, export_to: Path | None) -> bool:
    if export_to is not None:
        await export_before_purge(tenant_id, export_to)
    remains = await purge_.run(tenant_id, before_grace_ends=now, record=recorder("tenants:purge"))
    console.print(f"{tenant_id}: {'nothing is left' if remains.none else 'this is left:'}")
    for finding in remains.findings():
        console.print(f"  {finding}", soft_wrap=True, highlight=False)
    return remains.none


def _change(slug: str, change: Callable[..., Awaitable[object]], action: str, **details: str) -> None:
    """`change` is a method of Lifecycle."""

    async def changed() -> None:
        async with lifecycle_from(load_settings()) as (lifecycle, _):
            await change(lifecycle, tenant_id=await find_tenant_id(slug), record=recorder(action, **details))

    asyncio.run(changed())
    show(slug)


async def _one_tenant(slug: str) -> tuple[Tenant, TenantOperation | None]:
    database = runtime_database()
    try:
        async with database.platform() as session:
            tenant = await session.scalar(select(Tenant).where(Tenant.slug == checked_slug(slug)))
            if tenant is None:
                raise TenantNotFound(f"no tenant has the slug {slug}")
            query = select(TenantOperation).where(
                TenantOperation.tenant_id == tenant.id, TenantOperation.state.in_(UNFINISHED)
            )
            return tenant, await session.scalar(query)
    finally:
        await database.close()


async def _all_tenants() -> list[Tenant]:
    database = runtime_database()
    try:
        async with database.platform() as session:
            return list(await session.scalars(select(Tenant).order_by(Tenant.created_at, Tenant.id)))
    finally:
        await database.close()


def _print(credentials: TenantCredentials, *, as_json: bool) -> None:
    values = {key: value and str(value) for key, value in asdict(credentials).items()}
    if as_json:
        sys.stdout.write(json.dumps(values) + "\n")
        return
    for key, value in values.items():
        sys.stdout.write(f"{key:10} {value or 'as the person chose it'}\n")
