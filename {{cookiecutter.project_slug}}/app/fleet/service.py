"""Brings the platform and the fleet of tenants to their heads; says what would run, and where all stand."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from app.core.context import DEFAULT_PLACEMENT
from app.fleet.apply import Run
from app.fleet.connections import connected, locked_registry
from app.fleet.drift import read_status
from app.fleet.due import Surveyor, select_or_refuse
from app.fleet.lint import refuse_faulty
from app.fleet.registry import read_platform_revision, read_tenants
from app.fleet.report import (
    ApplyReport,
    PlannedPath,
    PlannedRevision,
    PlanReport,
    Problem,
    StatusReport,
    Watch,
)
from app.fleet.script import BASE, RevisionTree
from app.fleet.work import Pace

PLACEMENT_PATTERN: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class Fleet:
    """All tenants of an installation. `owners` has each placement's URL for the login that owns its database.

    The registry is in the placement `default`. The trees may be given to run others than the project's.
    """

    def __init__(
        self,
        owners: Mapping[str, str],
        *,
        platform: RevisionTree | None = None,
        tenant: RevisionTree | None = None,
    ) -> None:
        if DEFAULT_PLACEMENT not in owners or not all(map(PLACEMENT_PATTERN.fullmatch, owners)):
            raise ValueError(f"placements are named like {PLACEMENT_PATTERN.pattern}, and one is `default`")
        self._owners = owners
        self._platform = platform or RevisionTree("platform")
        self._tenant = tenant or RevisionTree("tenant")

    async def status(self, *, deep: bool = False) -> StatusReport:
        """Where everything stands. Compares the registry with the schemas' names, and `deep` with each
        schema's own alembic_version. Raises PlacementUnavailable for the registry's database alone."""
        return await read_status(
            self._owners, deep=deep, platform_head=self._platform.head, head=self._tenant.head
        )

    async def plan(self, wanted: Collection[str] = ()) -> PlanReport:
        """What apply would do now. Raises RevisionRefused, UnknownTenant, PlacementUnavailable."""
        refuse_faulty(self._platform, self._tenant)
        async with connected(self._owners[DEFAULT_PLACEMENT], DEFAULT_PLACEMENT) as connection:
            start = await read_platform_revision(connection.fetch) or BASE
            due = await Surveyor(self._owners, self._tenant).find(connection.fetch, wanted)
        starts = Counter(work.revision for work in due.works if work.outcome is None)
        return PlanReport(
            platform=_path(self._platform, start, 1) if start != self._platform.head else None,
            tenants=[_path(self._tenant, revision, number) for revision, number in starts.items()],
            at_head=due.at_head,
            problems=[
                Problem(work.tenant.slug, work.reason) for work in due.works if work.tenant and work.reason
            ],
        )

    async def apply(
        self,
        wanted: Collection[str] = (),
        *,
        canary: int = 0,
        pace: Pace | None = None,
        wait: bool = False,
        watch: Watch | None = None,
    ) -> ApplyReport:
        """Bring the platform, then the tenants, to head; repeating it resumes what was interrupted.

        `wanted` names tenants by id or slug, none is all of them; the registry is made to say what their
        schemas say first. With `canary` so many tenants go first, and the others only if all of those did.
        Raises RevisionRefused, MigratorBusy, UnknownTenant, PlacementUnavailable before anything is changed;
        what fails later is in the report, and the others go on.
        """
        refuse_faulty(self._platform, self._tenant)
        async with locked_registry(self._owners[DEFAULT_PLACEMENT], wait=wait) as registry:
            surveyor = Surveyor(self._owners, self._tenant, registry=registry)
            run = Run(
                self._owners,
                registry,
                platform=self._platform,
                tenant=self._tenant,
                pace=pace or Pace(),
                watch=watch,
            )
            select_or_refuse(await read_tenants(registry.fetch), wanted)
            await run.migrate_platform()
            if run.platform.reason is None:
                await run.migrate_tenants(lambda: surveyor.find(registry.fetch, wanted), canary)
            return run.report(canary)


def _path(tree: RevisionTree, start: str, tenants: int) -> PlannedPath:
    revisions = tree.after(start)
    phases = tree.phases(start)
    return PlannedPath(
        start=start,
        end=tree.head,
        tenants=tenants,
        revisions=[
            PlannedRevision(each.id, each.path.name, [index.sql for index in tree.phase(each).indexes])
            for each in revisions
        ],
        sql="\n\n".join(_readable(phase.sql, [index.sql for index in phase.indexes]) for phase in phases),
    )


def _readable(sql: str, indexes: Sequence[str]) -> str:
    if not indexes:
        return f"-- In one transaction:\n{sql}"
    built = "\n".join(f"{index};" for index in indexes)
    return f"-- Outside of a transaction, one by one:\n{built}\n-- Then, in a transaction:\n{sql}"
