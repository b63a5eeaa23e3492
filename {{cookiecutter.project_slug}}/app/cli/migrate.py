"""`migrate`: prepare a PostgreSQL and bring its schemas to head."""

import asyncio
import re
import sys
from typing import Annotated

import typer
from alembic import command
from rich.console import Console
from sqlalchemy import make_url

from app.cli.migrate_views import ProgressView, show_apply, show_plan, show_status
from app.core.migrations import GOLDEN_TENANT_SCRIPT, Tree, alembic_config, render_tenant_script
from app.core.provisioning import OWNER_ROLE, RUNTIME_ROLE, LeftOpen, provision_database
from app.core.settings import SettingsError, load_settings
from app.fleet import Fleet
from app.fleet.lint import refuse_faulty
from app.fleet.script import RevisionTree
from app.fleet.work import Pace

app = typer.Typer(help="Prepare a PostgreSQL and bring its schemas to head.", no_args_is_help=True)
console = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Tenants = Annotated[
    list[str] | None,
    typer.Option("--tenant", help="Id or slug; may be repeated. Asks the schema, not the registry."),
]


@app.command()
def status(
    deep: Annotated[bool, typer.Option("--deep", help="Read alembic_version in every schema.")] = False,
    as_json: AsJson = False,
) -> None:
    """How many tenants are at which revision, and where the registry and the databases disagree.

    Exit code 1 when they do; being behind is no disagreement.
    """
    report = asyncio.run(_fleet().status(deep=deep))
    if as_json:
        sys.stdout.write(report.as_json() + "\n")
    else:
        show_status(report)
    raise typer.Exit(1 if report.drifted else 0)


@app.command()
def plan(
    tenants: Tenants = None,
    sql: Annotated[bool, typer.Option("--sql", help="Show the SQL of each schema.")] = False,
    as_json: AsJson = False,
) -> None:
    """What apply would run, for how many tenants, and which statements are outside of a transaction."""
    report = asyncio.run(_fleet().plan(tenants or ()))
    if as_json:
        sys.stdout.write(report.as_json() + "\n")
    else:
        show_plan(report, sql=sql)


@app.command()
def apply(
    *,
    tenants: Tenants = None,
    canary: Annotated[
        int, typer.Option(min=0, help="So many tenants first; the others only if all of these succeed.")
    ] = 0,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Connections to each database.")] = 4,
    batch: Annotated[int, typer.Option(min=1, max=500, help="Tenants in one transaction.")] = 25,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for another migrator to end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the platform and every tenant to head. Safe to repeat; resumes where it was interrupted.

    Exit code 1 when a tenant failed; the others are at head then.
    """
    with ProgressView(console) as view:
        report = asyncio.run(
            _fleet().apply(
                tenants or (),
                canary=canary,
                pace=Pace(parallel=parallel, batch=batch),
                wait=wait,
                watch=view.show,
            )
        )
    if as_json:
        sys.stdout.write(report.as_json() + "\n")
    show_apply(console, report)
    raise typer.Exit(0 if report.ok else 1)


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
    close: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATABASE",
            help="Keep the public out of this database of the server too. May be repeated.",
        ),
    ] = None,
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
    left = asyncio.run(
        provision_database(
            superuser_url,
            database=owner.database,
            owner_password=str(owner.password),
            runtime_password=str(runtime.password),
            close=close or (),
        )
    )
    console.print(f"{OWNER_ROLE}, {RUNTIME_ROLE} and the database {owner.database} are ready.")
    _show_left_open(left)


def _show_left_open(left: LeftOpen) -> None:
    """One warning for each kind, with what to do."""
    if left.functions:
        _warn(
            f"only a superuser can withhold {', '.join(left.functions)} from tenants; docs/tenancy.md says"
            " which attacks this leaves open."
        )
    if left.databases:
        _warn(
            f"every login, a dedicated tenant's too, gets into {', '.join(left.databases)}, where nothing is"
            " withheld. Whoever else uses this server may need them, so they were left alone; if nobody does,"
            f" repeat this with {' '.join(f'--close {name}' for name in left.databases)}."
        )
    if left.settings:
        _warn(
            f"sessions of {RUNTIME_ROLE} begin with settings that are not the service's. Unless they are"
            f" yours, take them back as a superuser: {'; '.join(left.settings)};"
        )


def _warn(message: str) -> None:
    console.print(f"warning: {message}", style="yellow", markup=False, highlight=False, soft_wrap=True)


@app.command()
def golden() -> None:
    """Write the script that new tenants are made from, after a change to the tenant tree."""
    refuse_faulty(RevisionTree("tenant"))
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
    # Else the file would be named by its id alone.
    if not re.search(r"[^\W_]", message):
        raise typer.BadParameter("say in a few words what changes", param_hint="message")
    chosen: Tree = "platform" if tree == "platform" else "tenant"
    RevisionTree(chosen).head  # noqa: B018  # raises RevisionRefused
    command.revision(alembic_config(chosen), message=message)


def _fleet() -> Fleet:
    _migration_url()
    return Fleet(load_settings().owner_urls)


def _migration_url() -> str:
    url = load_settings().migration_database_url
    if url is None:
        raise SettingsError("APP_MIGRATION_DATABASE_URL is missing: the login that owns the database.")
    return url.get_secret_value()
