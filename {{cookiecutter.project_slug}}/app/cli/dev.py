"""`dev`: the whole service on this machine, with nothing installed but Python."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from app.embedded.stack import Stack

app = typer.Typer(help="The whole service on this machine, for development.", no_args_is_help=True)
console = Console(stderr=True, highlight=False)

Steps = list[tuple[str, Callable[[], str]]]


@app.command()
def init(
    keep_running: Annotated[bool, typer.Option(help="Leave the servers running at the end.")] = False,
) -> None:
    """Set up keys, PostgreSQL, Valkey, schemas and the first tenant. Run it again to resume."""
    with _stack() as stack, _alone(stack):
        had_tenant = stack.first_tenant_file.exists()
        try:
            _run_steps([*_service_steps(stack), ("first tenant", stack.create_first_tenant)])
        finally:
            if not keep_running and not stack.api_is_running():
                stack.stop_started()
        if not had_tenant and stack.first_tenant_file.exists():
            _print_credentials(stack)


@app.command()
def up() -> None:
    """Start everything in the background and wait until it is ready."""
    with _stack() as stack, _alone(stack):
        _run_steps(
            [
                *_service_steps(stack),
                ("first tenant", stack.create_first_tenant),
                ("API", stack.start_api),
            ]
        )
        console.print(
            f"\n  {stack.base_url}\n  {stack.base_url}/docs\n  credentials: .local/first-tenant.json"
        )


@app.command()
def run() -> None:
    """Run in the foreground, with reload and readable logs, until Ctrl-C."""
    with _stack() as stack:
        if stack.api_is_running():
            _fail("The API runs in the background already; `make down` stops it.")
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            with _alone(stack):
                _run_steps([*_service_steps(stack), ("first tenant", stack.create_first_tenant)])
            console.print(f"\n  {stack.base_url}/docs   (Ctrl-C stops everything)\n")
            _serve_in_foreground()
        except KeyboardInterrupt:
            pass
        finally:
            with _alone(stack):
                stack.stop_started()


@app.command()
def down() -> None:
    """Stop what `up` started."""
    with _stack() as stack, _alone(stack):
        stopped = stack.stop()
        console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


@app.command()
def status() -> None:
    """What runs, and where."""
    with _stack() as stack:
        for name, value in stack.status().items():
            console.print(f"{name:9} {value}")


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Really delete.")] = False,
) -> None:
    """Delete the development data, keys and credentials of this project."""
    with _stack() as stack, _alone(stack):
        if not yes:
            _fail("This deletes .local with the development database; add --yes (`make reset YES=1`).")
        stack.reset()
        console.print("deleted .local; `make init` sets up anew")


@contextmanager
def _stack() -> Iterator["Stack"]:
    """The stack of the current folder; what a person can mend becomes one message and exit code 1."""
    try:
        # Here, because production installs neither the servers nor psutil.
        from app.embedded import EmbeddedError  # noqa: PLC0415
        from app.embedded.stack import Stack  # noqa: PLC0415
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is not installed: these commands need requirements/dev.txt (`make init`).")
    try:
        yield Stack(Path.cwd())
    except EmbeddedError as error:
        _fail(str(error))


def _alone(stack: "Stack") -> AbstractContextManager[None]:
    """Two set-ups of one project at once would take each other's half for a fault."""
    return stack.alone(lambda: console.print("  another command works on this project; waiting for it"))


def _service_steps(stack: "Stack") -> Steps:
    return [
        ("keys and secrets", stack.make_secrets),
        ("PostgreSQL", stack.start_database),
        ("Valkey", stack.start_redis),
        ("migrations", stack.migrate),
    ]


def _run_steps(steps: Steps) -> None:
    """Say each step before it begins and how long it took."""
    for number, (name, step) in enumerate(steps, start=1):
        started = time.monotonic()
        console.print(f"  [{number}/{len(steps)}] {name:<17}", end="", markup=False)
        try:
            outcome = step()
        except BaseException:
            console.print(" failed", style="red")
            raise
        console.print(f" {time.monotonic() - started:5.1f} s  {outcome}", markup=False, soft_wrap=True)


def _serve_in_foreground() -> None:
    """The server is a process of its own, so that reloading does not touch the embedded servers."""
    server = subprocess.Popen([sys.executable, "-m", "app", "serve", "--reload"])
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=25)
        return
    finally:
        if server.poll() is None:
            server.kill()
    if code not in {0, -signal.SIGINT, 130}:
        raise typer.Exit(code)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _print_credentials(stack: "Stack") -> None:
    """Once: afterwards they are in the file only, and in the database as hashes."""
    content = json.loads(stack.first_tenant_file.read_text())
    console.print("\n  Your first tenant (kept in .local/first-tenant.json):")
    for name in ("tenant", "email", "password", "api_key"):
        console.print(f"    {name:9} {content[name]}", markup=False, soft_wrap=True)


def _fail(message: str) -> NoReturn:
    console.print(f"error: {message}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)
