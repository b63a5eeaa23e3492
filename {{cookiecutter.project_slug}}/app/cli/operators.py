"""`operators`: the people who run the platform."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.connections import runtime_database
from app.core.settings import load_settings
from app.operators.models import Operator, OperatorState
from app.operators.service import generate_password, list_operators, operator_accounts_from

app = typer.Typer(help="The people who run the platform.", no_args_is_help=True)
console = Console(stderr=True, highlight=False)

R = TypeVar("R")

Email = Annotated[str, typer.Option(help="The operator's email.")]
OwnPassword = Annotated[
    bool,
    typer.Option(
        "--own-password",
        help="Ask for a password, or read one line of standard input, instead of making one up.",
    ),
]


@app.command()
def create(email: Email, own_password: OwnPassword = False) -> None:
    """Create an operator. A password is made up and printed once, unless you bring your own."""
    password = _read_password() if own_password else generate_password()
    asyncio.run(operator_accounts_from(load_settings()).create(email, password))
    _hand_over(password, generated=not own_password)


@app.command("reset-password")
def reset_password(email: Email, own_password: OwnPassword = False) -> None:
    """Give an operator a new password, which ends the tokens that are out."""
    password = _read_password() if own_password else generate_password()
    asyncio.run(operator_accounts_from(load_settings()).reset_password(email, password))
    _hand_over(password, generated=not own_password)


@app.command()
def disable(email: Email) -> None:
    """Shut an operator out, from the next request on, also of what they do as somebody else."""
    asyncio.run(operator_accounts_from(load_settings()).set_state(email, OperatorState.DISABLED))
    console.print(f"{email} is disabled.")


@app.command()
def enable(email: Email) -> None:
    """Let a disabled operator log in again."""
    asyncio.run(operator_accounts_from(load_settings()).set_state(email, OperatorState.ACTIVE))
    console.print(f"{email} may log in.")


@app.command("list")
def list_all() -> None:
    """Every operator with state and last login."""
    rows: Sequence[Operator] = asyncio.run(_on_platform(list_operators))
    table = Table("email", "state", "last login", "created", "id")
    for row in rows:
        last = row.last_login_at.isoformat(timespec="seconds") if row.last_login_at else "never"
        table.add_row(row.email, row.state, last, row.created_at.isoformat(timespec="seconds"), str(row.id))
    Console().print(table)


def _read_password() -> str:
    """From a prompt, or from standard input when that is no terminal; never from an argument."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _hand_over(password: str, *, generated: bool) -> None:
    if generated:
        sys.stdout.write(password + "\n")
        console.print("This password is shown once; only its hash is kept.")


async def _on_platform(work: Callable[[AsyncSession], Awaitable[R]]) -> R:
    """On the runtime login, which may read all of this."""
    database = runtime_database()
    try:
        async with database.platform() as session:
            return await work(session)
    finally:
        await database.close()
