"""`audit`: proves that nobody rewrote a trail, and signs where each ends."""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import chain
from app.audit.chain import BrokenChain, Link, Trail
from app.audit.checkpoints import CheckpointCodec
from app.audit.errors import InvalidCheckpoint
from app.audit.models import AuditLog
from app.auth.key_ring import KeyRing, KeyRingError
from app.cli.connections import ServingConnections, runtime_database
from app.cli.faults import MENDABLE, in_one_line
from app.cli.lookup import checked_slug
from app.core.context import TenantRef, tenant_schema
from app.core.settings import load_settings
from app.operators.models import OperatorAction
from app.tenants.errors import TenantNotFound
from app.tenants.models import Isolation, Tenant, TenantState

app = typer.Typer(help="Trails that nobody can rewrite unnoticed.", no_args_is_help=True)
errors = Console(stderr=True, highlight=False)

R = TypeVar("R")

PLATFORM: Final = "platform"
# Those that have a schema for certain.
STATES: Final = frozenset({TenantState.ACTIVE, TenantState.SUSPENDED, TenantState.DELETING})

OneTenant = Annotated[str | None, typer.Option("--tenant", help="One tenant's, by its slug.")]
OnlyPlatform = Annotated[bool, typer.Option("--platform", help="That of operators and commands.")]
Everything = Annotated[bool, typer.Option("--all", help="Every tenant's, and the platform's.")]
Noted = dict[UUID | None, list[Link]]


@dataclass(frozen=True, slots=True)
class Target:
    """A trail; the platform's has no tenant."""

    name: str
    tenant: TenantRef | None = None

    @property
    def id(self) -> UUID | None:
        return None if self.tenant is None else self.tenant.id


@dataclass(frozen=True, slots=True)
class Targets:
    """The trails that were asked for, and the tenants of which nothing is left to look at."""

    chosen: list[Target]
    purged: dict[UUID, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one trail; it holds when there is no `problem`."""

    trail: str
    tenant_id: str | None
    rows: int | None = None
    broken_at: int | None = None
    problem: str | None = None
    purged: bool = False


@app.command()
def verify(
    *,
    tenant: OneTenant = None,
    platform: OnlyPlatform = False,
    everything: Everything = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="What `audit checkpoint` wrote: finds an end that was cut off."
        ),
    ] = None,
    jwks: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Public keys kept with it, if they are retired now."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check hash chains from the first row to the last; exit code 1 when one does not hold."""
    _refuse_ambiguous(tenant, platform, everything)
    if jwks is not None and checkpoint is None:
        raise typer.BadParameter("--jwks goes with --checkpoint")
    noted = {} if checkpoint is None else _read_checkpoints(checkpoint, jwks)
    findings = asyncio.run(_verify(tenant, platform, everything, noted))
    holds = all(finding.problem is None for finding in findings)
    if as_json:
        sys.stdout.write(json.dumps({"ok": holds, "trails": [asdict(found) for found in findings]}) + "\n")
    else:
        _print(findings, each=not everything)
    if not holds:
        raise typer.Exit(1)


@app.command("checkpoint")
def write_checkpoints(
    tenant: OneTenant = None, platform: OnlyPlatform = False, everything: Everything = False
) -> None:
    """Sign where trails end now, a line each: keep them where whoever owns the database cannot write."""
    _refuse_ambiguous(tenant, platform, everything)
    codec = CheckpointCodec(KeyRing.from_settings(load_settings()))

    async def signed() -> list[str | Exception]:
        targets = await _find_targets(tenant, platform, everything)

        async def sign(target: Target, session: AsyncSession, model: Trail) -> str:
            return codec.sign(target.id, await chain.head(session, model))

        return [result for _, result in await _on_each(targets.chosen, sign)]

    complete = True
    for line in asyncio.run(signed()):
        if isinstance(line, Exception):
            errors.print(f"not signed: {in_one_line(line)}", markup=False, soft_wrap=True)
            complete = False
        else:
            sys.stdout.write(line + "\n")
    if not complete:
        raise typer.Exit(1)


def _refuse_ambiguous(tenant: str | None, platform: bool, everything: bool) -> None:
    if [tenant is not None, platform, everything].count(True) != 1:
        raise typer.BadParameter("say one of --tenant SLUG, --platform and --all")


def _read_checkpoints(file: Path, jwks: Path | None) -> Noted:
    """Raises InvalidCheckpoint, KeyRingError."""
    ring = KeyRing.from_settings(load_settings())
    if jwks is not None:
        try:
            ring = ring.trusting(json.loads(jwks.read_text()))
        except (ValueError, RecursionError):
            raise KeyRingError(f"{jwks}: not a JWK set") from None
    noted: Noted = defaultdict(list)
    try:
        checkpoints = CheckpointCodec(ring).read_lines(file.read_text().splitlines())
    except UnicodeDecodeError:
        raise InvalidCheckpoint(f"{file} is no text.") from None
    for checkpoint in checkpoints:
        noted[checkpoint.tenant_id].append(checkpoint.link)
    if not noted:
        raise InvalidCheckpoint(f"{file} holds none.")
    return noted


async def _verify(tenant: str | None, platform: bool, everything: bool, noted: Noted) -> list[Finding]:
    targets = await _find_targets(tenant, platform, everything)

    async def check(target: Target, session: AsyncSession, model: Trail) -> Link:
        return await chain.verify(session, model, anchors=noted.get(target.id, ()))

    results = await _on_each(targets.chosen, check)
    return [_finding(target, result) for target, result in results] + _of_no_trail(
        targets, noted, everything=everything
    )


def _finding(target: Target, result: Link | Exception) -> Finding:
    tenant_id = None if target.id is None else str(target.id)
    if isinstance(result, Link):
        return Finding(target.name, tenant_id, rows=result.sequence)
    if isinstance(result, BrokenChain):
        return Finding(target.name, tenant_id, broken_at=result.sequence, problem=str(result))
    return Finding(target.name, tenant_id, problem=f"not verified: {in_one_line(result)}")


def _of_no_trail(targets: Targets, noted: Noted, *, everything: bool) -> list[Finding]:
    """What checkpoints say of tenants that are not here; of one trail, that they say something of it."""
    chosen = {target.id for target in targets.chosen}
    if not everything:
        if noted and not chosen & noted.keys():
            raise InvalidCheckpoint("None is of this trail.")
        return []
    return [
        Finding(targets.purged[tenant_id], str(tenant_id), purged=True)
        if tenant_id in targets.purged
        else Finding(str(tenant_id), str(tenant_id), problem="there is no such trail, though one was noted")
        for tenant_id in noted.keys() - chosen
        if tenant_id is not None
    ]


async def _find_targets(tenant: str | None, platform: bool, everything: bool) -> Targets:
    """Raises TenantNotFound, also for a tenant that has no trail."""
    if platform:
        return Targets([Target(PLATFORM)])
    query = select(Tenant).order_by(Tenant.created_at, Tenant.id)
    if tenant is not None:
        query = query.where(Tenant.slug == checked_slug(tenant))
    database = runtime_database()
    try:
        async with database.platform() as session:
            rows = (await session.scalars(query)).all()
    finally:
        await database.close()
    chosen = [Target(row.slug, _ref(row)) for row in rows if row.state in STATES]
    if tenant is not None and not chosen:
        raise TenantNotFound(f"no tenant with a trail has the slug {tenant}")
    purged = {row.id: row.slug for row in rows if row.state == TenantState.DELETED}
    return Targets([Target(PLATFORM), *chosen] if everything else chosen, purged)


def _ref(row: Tenant) -> TenantRef:
    return TenantRef(
        id=row.id,
        slug=row.slug,
        schema=tenant_schema(row.id),
        plan=row.plan,
        state=row.state,
        placement=row.placement,
        dedicated=row.isolation == Isolation.DEDICATED,
    )


async def _on_each(
    targets: Collection[Target], work: Callable[[Target, AsyncSession, Trail], Awaitable[R]]
) -> list[tuple[Target, R | Exception]]:
    """Do the work in a transaction of each trail; one that cannot be read keeps no other from it."""
    connections = ServingConnections(load_settings())
    results: list[tuple[Target, R | Exception]] = []
    try:
        with _progress() as progress:
            for target in progress.track(targets, description="trails"):
                try:
                    async with _opened(connections, target) as (session, model):
                        results.append((target, await work(target, session, model)))
                except (BrokenChain, *MENDABLE) as error:
                    results.append((target, error))
    finally:
        await connections.close()
    return results


@asynccontextmanager
async def _opened(
    connections: ServingConnections, target: Target
) -> AsyncIterator[tuple[AsyncSession, Trail]]:
    if target.tenant is None:
        async with connections.platform() as session:
            yield session, OperatorAction
    else:
        async with connections.tenant(target.tenant) as session:
            yield session, AuditLog


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    )


def _print(findings: list[Finding], *, each: bool) -> None:
    """Each trail, or those that want a look and how many hold."""
    for found in findings:
        if found.problem is not None:
            sys.stdout.write(f"{found.trail}: {found.problem}\n")
        elif found.purged:
            sys.stdout.write(f"{found.trail}: purged, so nothing of it can be verified\n")
        elif each:
            sys.stdout.write(f"{found.trail}: {found.rows} rows, unbroken\n")
    if not each:
        sound = [found for found in findings if found.problem is None and not found.purged]
        rows = sum(found.rows or 0 for found in sound)
        sys.stdout.write(f"{len(sound)} of {len(findings)} trails unbroken, {rows} rows\n")
