"""`migrate`: prepare a PostgreSQL and bring its schemas to head."""

import asyncio
from typing import Annotated

import typer
from alembic import command
from rich.console import Console
from sqlalchemy import make_url

from app.core.migrations import GOLDEN_TENANT_SCRIPT, alembic_config, render_tenant_script, upgrade_all
from app.core.provisioning import OWNER_ROLE, RUNTIME_ROLE, provision_database
from app.core.settings import SettingsError, load_settings

app = typer.Typer(help="Prepare a PostgreSQL and bring its schemas to head.", no_args_is_help=True)
console = Console(stderr=True)


@app.command()
def apply() -> None:
    """Bring the platform and every tenant to head. Safe to repeat; resumes where it was interrupted."""
    asyncio.run(upgrade_all(_migration_url(), progress=console.print))


@app.command()
def provision(
    superuser_url: Annotated[
        str,
        typer.Option(
            envvar="APP_SUPERUSER_DATABASE_URL",
            prompt="URL of a login that may create roles and databases",
            hide_input=True,
            help="Given by environment or prompt, so that it shows in no process list.",
        ),
    ],
) -> None:
    """Create the logins `app_owner` and `app_runtime` and the database that the two URLs name."""
    settings = load_settings()
    owner, runtime = make_url(_migration_url()), make_url(settings.database_url.get_secret_value())
    if (owner.username, runtime.username) != (OWNER_ROLE, RUNTIME_ROLE):
        raise SettingsError(
            f"APP_MIGRATION_DATABASE_URL must log in as {OWNER_ROLE}, and APP_DATABASE_URL as {RUNTIME_ROLE}."
        )
    if not owner.database or not owner.password or not runtime.password:
        raise SettingsError("Both database URLs need a password, and the database's name.")
    still_open = asyncio.run(
        provision_database(
            superuser_url,
            database=owner.database,
            owner_password=str(owner.password),
            runtime_password=str(runtime.password),
        )
    )
    console.print(f"{OWNER_ROLE}, {RUNTIME_ROLE} and the database {owner.database} are ready.")
    if still_open:
        console.print(
            f"[yellow]warning:[/yellow] only a superuser can withhold {', '.join(still_open)} from tenants;"
            " docs/tenancy.md says which attacks this leaves open."
        )


@app.command()
def golden() -> None:
    """Write the script that new tenants are made from, after a change to the tenant tree."""
    GOLDEN_TENANT_SCRIPT.write_text(render_tenant_script())
    console.print(f"wrote {GOLDEN_TENANT_SCRIPT.name}")


@app.command()
def revision(
    tree: Annotated[str, typer.Argument(help="platform or tenant")],
    message: Annotated[str, typer.Argument(help="What changes, in a few words.")],
) -> None:
    """Start an empty revision in one of the trees, to be written by hand."""
    if tree not in {"platform", "tenant"}:
        raise typer.BadParameter("platform or tenant", param_hint="tree")
    config = alembic_config("platform" if tree == "platform" else "tenant")
    command.revision(config, message=message)


def _migration_url() -> str:
    url = load_settings().migration_database_url
    if url is None:
        raise SettingsError("APP_MIGRATION_DATABASE_URL is missing: the login that owns the database.")
    return url.get_secret_value()
