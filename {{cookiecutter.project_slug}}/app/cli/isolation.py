"""`tenants prove-isolation`: shows that no request reaches another tenant's rows, or that one does."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.core.database import NoMigrationDatabase
from app.core.settings import Pooler, SettingsError, load_settings
from app.tenants.isolation_proof import POOL_SIZES, Report, Verdict, prove_isolation

if TYPE_CHECKING:
    from app.embedded.throwaway import ThrowawayDatabase

errors = Console(stderr=True, highlight=False)

MAX_POOL_SIZE = 64


def prove(
    requests: Annotated[int, typer.Option(min=1, help="How many requests, over all pools.")] = 5000,
    pools: Annotated[str, typer.Option(help="Pool sizes, one after the other.")] = ",".join(
        map(str, POOL_SIZES)
    ),
    seed: Annotated[int | None, typer.Option(help="Repeat the mixture of an earlier run.")] = None,
    throwaway: Annotated[
        bool,
        typer.Option("--throwaway", help="On a PostgreSQL of its own (from requirements/dev.txt)."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Prove that tenants do not leak, with mixed requests of two temporary tenants; exit code 1 if they do.

    Runs on the configured database, through its pooler if there is one, and leaves nothing behind.
    """
    sizes = _parse_pools(pools)
    if seed is None:
        seed = secrets.randbelow(2**31)
    with _target(throwaway) as (runtime_url, owner_url, pooler), _progress() as bar:
        tasks = {stage: bar.add_task(stage, total=None) for stage in ("proof", "control")}
        report = asyncio.run(
            prove_isolation(
                runtime_url,
                owner_url,
                requests=requests,
                seed=seed,
                pool_sizes=sizes,
                pooler=pooler,
                on_progress=lambda stage, done, total: bar.update(tasks[stage], completed=done, total=total),
            )
        )
    if as_json:
        sys.stdout.write(json.dumps(report.as_dict()) + "\n")
    else:
        _print(report)
    if report.verdict is not Verdict.NO_LEAK:
        raise typer.Exit(1)


def _parse_pools(given: str) -> list[int]:
    try:
        sizes = [int(part) for part in given.split(",")]
    except ValueError:
        sizes = []
    if not sizes or not all(1 <= size <= MAX_POOL_SIZE for size in sizes):
        raise typer.BadParameter(
            f"sizes from 1 to {MAX_POOL_SIZE}, separated by commas, as in 1,2,3,4", param_hint="--pools"
        )
    return sizes


@contextmanager
def _target(throwaway: bool) -> Iterator[tuple[str, str, Pooler]]:
    """The URLs of the runtime login and of the owner, and what stands before the first."""
    if throwaway:
        with _throwaway() as database:
            yield database.runtime_url, database.owner_url, Pooler.NONE
        return
    settings = load_settings()
    if settings.migration_database_url is None:
        raise NoMigrationDatabase
    yield (
        settings.database_url.get_secret_value(),
        settings.migration_database_url.get_secret_value(),
        settings.database_pooler,
    )


@contextmanager
def _throwaway() -> Iterator["ThrowawayDatabase"]:
    try:
        # Here, because production installs neither the server nor psutil.
        from app.embedded import EmbeddedError  # noqa: PLC0415
        from app.embedded.throwaway import throwaway_database  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed: --throwaway needs requirements/dev.txt."
        ) from None
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with throwaway_database() as database:
            yield database
    except EmbeddedError as error:
        raise SettingsError(str(error)) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:7}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    )


def _print(report: Report) -> None:
    out = Console(highlight=False)
    kinds = Table("kind", "requests", title="Isolation proof")
    for kind, count in report.kinds.items():
        kinds.add_row(kind, f"{count:,}")
    pools = Table("pool size", "requests", "seconds", "requests/s")
    for phase in report.phases:
        count = phase.tally.requests.total()
        pools.add_row(
            str(phase.pool_size), f"{count:,}", f"{phase.seconds:.1f}", f"{count / phase.seconds:,.0f}"
        )
    out.print(kinds, pools)
    through = "" if report.pooler is Pooler.NONE else f" through {report.pooler}"
    plans = (
        ""
        if report.pooler is not Pooler.NONE
        else f", up to {report.generic_plans:,} generic plans a connection"
    )
    out.print(f"seed {report.seed}{through}{plans}")
    as_it_must = "as it must" if report.control_leaks else "but it must"
    out.print(f"control: leaks {report.control_leaks:,} of {report.control_observations:,}, {as_it_must}")
    for line in (*report.examples, *report.failures, *report.doubts):
        out.print(f"  {line}", style="red", markup=False, soft_wrap=True)
    colour = "green" if report.verdict is Verdict.NO_LEAK else "red"
    out.print(
        f"verdict: {report.verdict}: {report.leaks:,} leaks in {report.observations:,} observations of"
        f" {report.requests:,} requests, {report.foreign_rows:,} rows in the wrong schema",
        style=f"bold {colour}",
        soft_wrap=True,
    )
