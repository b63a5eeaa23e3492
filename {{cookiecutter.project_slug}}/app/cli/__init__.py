"""The command line: `python -m app …`. Composes the sub-commands; each lives in its own module."""

import sys

import typer

from app.cli import dev, keys, migrate, serve, tenants
from app.core.errors import AppError
from app.core.settings import SettingsError

cli = typer.Typer(
    name="app", help="Run, migrate and administer the service.", no_args_is_help=True, add_completion=False
)
cli.command("serve")(serve.serve)
cli.add_typer(dev.app, name="dev")
cli.add_typer(migrate.app, name="migrate")
cli.add_typer(tenants.app, name="tenants")
cli.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command line; what a person can mend is one line on stderr and exit code 1."""
    try:
        cli(prog_name="python -m app")
    except (SettingsError, AppError) as error:
        detail = (
            f"{error.title}: {error.detail}" if isinstance(error, AppError) and error.detail else str(error)
        )
        sys.stderr.write(f"error: {detail}\n")
        raise SystemExit(1) from None
