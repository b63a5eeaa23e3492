"""One apply, from the lock to the report: the platform, a canary, the others, and who came meanwhile."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from app.core.context import DEFAULT_PLACEMENT
from app.core.routing import PLATFORM_SCHEMA
from app.fleet.connections import Registry
from app.fleet.due import Due
from app.fleet.messages import Target
from app.fleet.registry import read_platform_revision
from app.fleet.report import ApplyReport, Outcome, PlatformOutcome, Progress, TenantOutcome, Watch
from app.fleet.runner import Runner, run_all
from app.fleet.script import BASE, RevisionTree
from app.fleet.work import Pace, Work

# Tenants that are made while a run goes on, by an older version of the code, are taken up at its end.
ROUNDS: Final = 3


class Run:
    """What an apply has done so far. The caller holds the lock."""

    def __init__(
        self,
        owners: Mapping[str, str],
        registry: Registry,
        *,
        platform: RevisionTree,
        tenant: RevisionTree,
        pace: Pace,
        watch: Watch | None,
    ) -> None:
        self._owners = owners
        self._trees = (platform, tenant)
        self._registry = registry
        self._pace = pace
        self._watch = watch
        self._started = (datetime.now(UTC), time.monotonic())
        self._works: dict[UUID, Work] = {}
        self.platform = PlatformOutcome(platform.head, platform.head, 0.0)

    async def migrate_platform(self) -> None:
        """The shared tables, in the same way as one tenant."""
        tree = self._trees[0]
        start = await read_platform_revision(self._registry.fetch) or BASE
        if start == tree.head:
            return
        if start != BASE and not tree.knows(start):
            reason = f"the platform is at {start}, which this version of the code does not know"
            self.platform = PlatformOutcome(start, start, 0.0, reason)
            return
        work = Work(Target(PLATFORM_SCHEMA), start)
        await self._runner(tree, DEFAULT_PLACEMENT, lambda _work: None).run([work])
        self.platform = PlatformOutcome(start, work.revision, round(work.seconds, 4), work.reason)

    async def migrate_tenants(self, look: Callable[[], Awaitable[Due]], canary: int) -> None:
        """The canary first, then the others, then those that came meanwhile."""
        for _ in range(ROUNDS):
            due = await look()
            fresh = [work for work in due.works if work.tenant and work.tenant.id not in self._works]
            if not fresh:
                return
            self._works |= {work.tenant.id: work for work in fresh if work.tenant}
            first = [work for work in fresh if work.outcome is None][:canary]
            await self._migrate(first)
            if any(work.outcome is not Outcome.MIGRATED for work in first):
                return
            canary = 0
            await self._migrate(work for work in fresh if work.outcome is None)

    async def _migrate(self, works: Iterable[Work]) -> None:
        by_placement: dict[str, list[Work]] = defaultdict(list)
        for work in works:
            by_placement[work.target.placement].append(work)
        self._tell()
        await run_all(
            self._runner(self._trees[1], placement, lambda _work: self._tell()).run(group)
            for placement, group in by_placement.items()
        )

    def report(self, canary: int) -> ApplyReport:
        """What has been done until now."""
        return ApplyReport(
            started_at=self._started[0],
            seconds=round(time.monotonic() - self._started[1], 3),
            head=self._trees[1].head,
            platform=self.platform,
            canary=canary,
            tenants=[_outcome(work) for work in self._works.values()],
        )

    def _runner(self, tree: RevisionTree, placement: str, on_settled: Callable[[Work], None]) -> Runner:
        return Runner(
            tree,
            placement=placement,
            url=self._owners[placement],
            registry=self._registry,
            pace=self._pace,
            on_settled=on_settled,
        )

    def _tell(self) -> None:
        if self._watch is not None:
            settled = [work.outcome for work in self._works.values() if work.outcome is not None]
            self._watch(Progress(len(self._works), len(settled), settled.count(Outcome.FAILED)))


def _outcome(work: Work) -> TenantOutcome:
    if work.tenant is None:
        raise ValueError("the platform is no tenant")
    return TenantOutcome(
        id=work.tenant.id,
        slug=work.tenant.slug,
        placement=work.tenant.placement,
        start=work.tenant.revision,
        end=work.revision,
        outcome=work.outcome or Outcome.UNTOUCHED,
        seconds=round(work.seconds, 5),
        attempts=work.attempts,
        reason=work.reason,
        corrected=work.corrected,
    )
