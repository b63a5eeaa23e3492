"""The command line: `python -m app …`. Composes the sub-commands; each lives in its own module."""

import sys
from typing import NoReturn

import typer
from asyncpg import InterfaceError, InvalidAuthorizationSpecificationError, PostgresError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.auth.key_ring import KeyRingError
from app.cli import citus, dev, doctor, isolation, keys, migrate, operators, serve, tenant_archives, tenants
from app.core.errors import AppError
from app.core.problems import is_outage, root_cause
from app.core.settings import SettingsError

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


def main() -> None:
    """Run the command line; what a person can mend is one line on stderr and exit code 1."""
    try:
        cli(prog_name="python -m app")
    except AppError as error:
        fail(f"{error.title}: {error.detail}" if error.detail else error.title)
    except (SettingsError, KeyRingError) as error:
        fail(str(error))
    except (SQLAlchemyError, PostgresError, InterfaceError, RedisError, OSError) as error:
        fail(_fault(error))


def _fault(error: Exception) -> str:
    """The kind of a fault only: the messages of a database repeat statements and values."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    cause = root_cause(error)
    kind = type(cause).__name__
    if is_outage(error) and not isinstance(cause, InvalidAuthorizationSpecificationError):
        return f"PostgreSQL or Redis did not answer ({kind}); does it run, and are the URLs right?"
    return f"PostgreSQL refused ({kind}); its own log says why"


def fail(message: str) -> NoReturn:
    """One line on stderr, exit code 1."""
    sys.stderr.write(f"error: {message}\n")
    raise SystemExit(1) from None
