"""How `migrate` shows what it finds and how far it is."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.fleet.report import ApplyReport, Outcome, PlannedPath, PlanReport, StatusReport
from app.fleet.report import Progress as FleetProgress

QUIET_SECONDS: Final = 5.0
FAILURES_SHOWN: Final = 20


class ProgressView:
    """A bar with rate and remaining time on a terminal; elsewhere a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("tenants"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}  {task.fields[failed]} failed"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("tenants", total=None, rate="", failed=0, visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: FleetProgress) -> None:
        """Called after each tenant."""
        now = time.monotonic()
        rate = f"{progress.done / max(now - self._started, 0.001):.0f}/s"
        if self._console.is_terminal:
            self._bar.update(
                self._task,
                total=progress.total,
                completed=progress.done,
                rate=rate,
                failed=progress.failed,
                visible=True,
            )
        elif now - self._said >= QUIET_SECONDS:
            self._said = now
            self._console.print(
                f"{progress.done} of {progress.total} tenants, {progress.failed} failed, {rate}"
            )


def show_status(report: StatusReport) -> None:
    """To stdout."""
    console = Console()
    console.print(f"platform at {report.platform or 'nothing'}, head {report.platform_head}")
    table = Table("placement", "revision", "tenants")
    for placement, counts in report.revisions.items():
        for revision, number in counts.items():
            head = " (head)" if revision == report.head else ""
            table.add_row(placement, f"{revision}{head}", str(number))
    console.print(table)
    console.print(f"{report.behind} behind", markup=False)
    drift = [
        *(f"missing schema: {name}" for name in report.missing_schemas),
        *(f"schema of no tenant: {name}" for name in report.stray_schemas),
        *(
            f"{each.tenant}: registry says {each.registry or 'nothing'}, schema {each.schema or 'nothing'}"
            for each in report.mismatches
        ),
        *(f"placement {name}: {reason}" for name, reason in report.unreachable.items()),
    ]
    checked = "every schema read" if report.deep else "names compared; --deep reads every schema"
    for line in drift or [f"no drift ({checked})"]:
        console.print(line, markup=False, soft_wrap=True)


def show_plan(report: PlanReport, *, sql: bool) -> None:
    """To stdout."""
    console = Console()
    paths = [("platform", report.platform)] if report.platform else []
    paths += [(f"{path.tenants} tenants", path) for path in report.tenants]
    for what, path in paths:
        _show_path(console, what, path, sql=sql)
    console.print(f"{report.at_head} tenants are at head")
    for problem in report.problems:
        console.print(f"cannot migrate {problem.tenant}: {problem.reason}", markup=False, soft_wrap=True)


def _show_path(console: Console, what: str, path: PlannedPath, *, sql: bool) -> None:
    console.print(f"{what}: {path.start} -> {path.end}", markup=False)
    for revision in path.revisions:
        console.print(f"  {revision.id}  {revision.file}", markup=False)
        for statement in revision.concurrent:
            console.print(f"    outside of a transaction: {statement}", markup=False, soft_wrap=True)
    if sql:
        console.print(path.sql, markup=False, highlight=False, soft_wrap=True)


def show_apply(console: Console, report: ApplyReport) -> None:
    """A line for the platform and one for the tenants, then those that failed."""
    if report.platform.reason is not None:
        console.print(f"platform failed at {report.platform.end}: {report.platform.reason}", markup=False)
    else:
        console.print(f"platform at {report.platform.end}")
    totals = report.totals
    rest = f", {totals['untouched']} left alone" if totals["untouched"] else ""
    console.print(
        f"{totals['migrated']} tenants at {report.head}, {totals['failed']} failed{rest},"
        f" {report.seconds:.1f} s"
    )
    failed = [tenant for tenant in report.tenants if tenant.outcome is Outcome.FAILED]
    for tenant in failed[:FAILURES_SHOWN]:
        console.print(f"  {tenant.slug}: {tenant.reason}", markup=False, soft_wrap=True)
    if len(failed) > FAILURES_SHOWN:
        console.print(f"  and {len(failed) - FAILURES_SHOWN} more; --json has them all")
