"""The command line: `python -m app …`. Composes the sub-commands; each lives in its own module."""

import sys
from typing import NoReturn

import typer

from app.cli import (
    audit,
    citus,
    dev,
    doctor,
    isolation,
    keys,
    migrate,
    operators,
    serve,
    tenant_archives,
    tenants,
)
from app.cli.faults import MENDABLE, in_one_line

cli = typer.Typer(
    name="app",
    help="Run, migrate and administer the service.",
    no_args_is_help=True,
    add_completion=False,
    # Its tracebacks show local variables, and those hold secrets.
    pretty_exceptions_enable=False,
)
cli.command("serve")(serve.serve)
cli.add_typer(dev.app, name="dev")
cli.command("doctor")(doctor.doctor)
migrate.app.command("provision-citus")(citus.provision)
migrate.app.command("check-citus")(citus.check)
cli.add_typer(migrate.app, name="migrate")
tenants.app.command("nodes")(citus.nodes)
tenants.app.command("rebalance")(citus.rebalance)
tenants.app.command("prove-isolation")(isolation.prove)
cli.add_typer(tenants.app, name="tenants")
cli.add_typer(operators.app, name="operators")
tenants.app.command("export")(tenant_archives.export)
tenants.app.command("import")(tenant_archives.import_)
tenants.app.command("move")(tenant_archives.move)
cli.add_typer(keys.app, name="keys")
cli.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line; what a person can mend is one line on stderr and exit code 1."""
    try:
        cli(prog_name="python -m app")
    except MENDABLE as error:
        fail(in_one_line(error))


def fail(message: str) -> NoReturn:
    """One line on stderr, exit code 1."""
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(1) from None
