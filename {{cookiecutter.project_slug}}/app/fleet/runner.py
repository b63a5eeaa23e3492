"""Takes the schemas of one database to head: in batches, in parallel, and one by one where a batch fails."""

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

import asyncpg

from app.core.citus import INSTALLED as CITUS_INSTALLED
from app.fleet.connections import DATABASE_ERRORS, Connection, Link, Registry
from app.fleet.errors import PlacementUnavailable
from app.fleet.messages import DRIFT, check, concurrent_session, transaction
from app.fleet.reconcile import reconcile
from app.fleet.report import Outcome
from app.fleet.script import Phase, RevisionTree
from app.fleet.sql import IndexStatement, split_statements
from app.fleet.work import Job, Pace, Work

BACKOFF_SECONDS: Final = 0.1
MAX_BACKOFF_SECONDS: Final = 2.0
CORRECTIONS: Final = 3
# Lock timeout, deadlock, serialization, out of lock slots, shutdown, and connections that broke.
TRANSIENT: Final = {"55P03", "40P01", "40001", "53200", "57P01", "57P02", "57P03"}
ON_CITUS: Final = f"SELECT {CITUS_INSTALLED}"
FIND_INVALID: Final = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND NOT i.indisvalid
"""
REGISTER: Final = """
    UPDATE platform.tenants SET revision = $1
     WHERE id = ANY($2) AND placement = $3 AND revision = $4 AND moving_to IS NULL RETURNING id
"""
STILL_THERE: Final = """
    SELECT id FROM platform.tenants
     WHERE id = ANY($1) AND placement = $2 AND revision = $3 AND moving_to IS NULL
"""


class Runner:
    """Works on one database. `on_settled` is called once for each schema that reached head or failed."""

    def __init__(
        self,
        tree: RevisionTree,
        *,
        placement: str,
        url: str,
        registry: Registry,
        pace: Pace,
        on_settled: Callable[[Work], None],
    ) -> None:
        self._tree = tree
        self._placement = placement
        self._url = url
        self._registry = registry
        self._pace = pace
        self._on_settled = on_settled
        self._on_citus = False

    async def run(self, works: Iterable[Work]) -> None:
        """Bring each to head or to failed, phase by phase. Raises MigratorLockLost."""
        remaining = list(works)
        while remaining:
            jobs = deque(self._jobs(remaining))
            links = await self._links(min(self._pace.parallel, len(jobs)))
            try:
                self._on_citus = bool(links) and await (await links[0].get()).fetchval(ON_CITUS)
                await run_all(self._work(link, jobs) for link in links)
            finally:
                await asyncio.gather(*(link.close() for link in links))
            for job in jobs:
                self._fail(job.works, f"placement {self._placement} does not answer")
            remaining = [work for work in remaining if work.outcome is None]

    def _jobs(self, works: Sequence[Work]) -> Iterable[Job]:
        by_revision: dict[str, list[Work]] = defaultdict(list)
        for work in works:
            by_revision[work.revision].append(work)
        for revision, group in by_revision.items():
            phase = self._tree.phases(revision)[0]
            size = 1 if phase.indexes else self._pace.batch
            for start in range(0, len(group), size):
                yield Job(phase, group[start : start + size])

    async def _links(self, number: int) -> list[Link]:
        """As many connections as the server will give, which may be none."""
        links = [Link(self._url, self._placement) for _ in range(number)]
        opened = await asyncio.gather(*(link.get() for link in links), return_exceptions=True)
        return [link for link, got in zip(links, opened, strict=True) if not isinstance(got, BaseException)]

    async def _work(self, link: Link, jobs: deque[Job]) -> None:
        while jobs:
            job = jobs.popleft()
            self._registry.assert_locked()
            try:
                await self._do(link, job)
            except PlacementUnavailable as error:
                self._fail(job.works, str(error))
                return

    async def _do(self, link: Link, job: Job) -> None:
        works = await self._still_there(link, job)
        if job.phase.indexes:
            for work in works:
                await self._persist(link, job.phase, work, self._build_indexes)
        elif len(works) < 2 or not await self._try_together(link, job.phase, works):
            for work in works:
                await self._persist(link, job.phase, work, self._run_alone)

    async def _still_there(self, link: Link, job: Job) -> Sequence[Work]:
        """Where the registry is in another database, ask it first; the message cannot."""
        if job.works[0].target.registered_here:
            return job.works
        ids = [work.target.tenant_id for work in job.works]
        rows = await self._registry.fetch(STILL_THERE, ids, self._placement, job.phase.start)
        there = {row["id"] for row in rows}
        for work in job.works:
            if work.target.tenant_id not in there:
                await self._correct(link, work)
        return [work for work in job.works if work.target.tenant_id in there]

    async def _try_together(self, link: Link, phase: Phase, works: Sequence[Work]) -> bool:
        started = time.monotonic()
        try:
            connection = await link.get()
            await self._send(connection, transaction([work.target for work in works], phase))
        except DATABASE_ERRORS:
            await link.recover()
            return False
        await self._advance(works, phase, time.monotonic() - started)
        return True

    async def _persist(
        self,
        link: Link,
        phase: Phase,
        work: Work,
        run: Callable[[Connection, Phase, Work], Awaitable[None]],
    ) -> None:
        """Try one schema a few times, as long as the reason is one that passes."""
        started = time.monotonic()
        for attempt in range(1, self._pace.attempts + 1):
            self._registry.assert_locked()
            work.attempts += 1
            try:
                await run(await link.get(), phase, work)
            except DATABASE_ERRORS as error:
                await link.recover()
                if getattr(error, "sqlstate", None) == DRIFT:
                    await self._correct(link, work)
                    return
                if not _is_transient(error) or attempt == self._pace.attempts:
                    self._fail([work], _describe(error))
                    return
                await _back_off(attempt)
            else:
                await self._advance([work], phase, time.monotonic() - started)
                return

    async def _run_alone(self, connection: Connection, phase: Phase, work: Work) -> None:
        await self._send(connection, transaction([work.target], phase))

    async def _build_indexes(self, connection: Connection, phase: Phase, work: Work) -> None:
        """Outside of a transaction, each statement alone; recorded when all are there."""
        await connection.execute(check(work.target, phase))
        await connection.execute(concurrent_session(work.target))
        for index in phase.indexes:
            await self._drop_invalid(connection, index, work)
            try:
                await connection.execute(index.sql)
            except asyncpg.PostgresError:
                # An invalid unique index would go on refusing rows.
                if not connection.is_closed():
                    await self._drop_invalid(connection, index, work)
                raise
        await self._send(connection, transaction([work.target], phase))

    async def _send(self, connection: Connection, message: str) -> None:
        """As one message; on Citus by statements, for it builds an index only where no other is beside it."""
        for statement in split_statements(message) if self._on_citus else [message]:
            await connection.execute(statement)

    async def _drop_invalid(self, connection: Connection, index: IndexStatement, work: Work) -> None:
        """Remove what an attempt that failed left behind: PostgreSQL keeps it, maintained and never used."""
        if not index.creates:
            return
        for row in await connection.fetch(FIND_INVALID, work.target.schema, index.name):
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {row[0]}")

    async def _advance(self, works: Sequence[Work], phase: Phase, seconds: float) -> None:
        """Note that these reached the end of a phase, in the registry too where it is elsewhere."""
        registered = await self._register(works, phase)
        for work in works:
            work.seconds += seconds / len(works)
            if not registered(work):
                self._fail([work], "its row in the registry changed while it was migrated; run this again")
                continue
            work.revision = phase.end
            self._settle_at_head(work)

    async def _register(self, works: Sequence[Work], phase: Phase) -> Callable[[Work], bool]:
        if works[0].target.registered_here:
            return lambda _work: True
        ids = [work.target.tenant_id for work in works]
        rows = await self._registry.fetch(REGISTER, phase.end, ids, self._placement, phase.start)
        written = {row["id"] for row in rows}
        return lambda work: work.target.tenant_id in written

    async def _correct(self, link: Link, work: Work) -> None:
        """The schema is elsewhere than the registry says: believe the schema, and go on from there."""
        work.corrections += 1
        if work.tenant is None or work.corrections > CORRECTIONS:
            self._fail([work], "its revision is changing while it is migrated")
            return
        try:
            found = await reconcile(self._registry, await link.get(), work.tenant, self._tree)
        except DATABASE_ERRORS as error:
            await link.recover()
            self._fail([work], _describe(error))
            return
        work.corrected = work.corrected or found.corrected
        if found.revision is None:
            self._fail([work], found.reason)
            return
        work.revision = found.revision
        self._settle_at_head(work)

    def _settle_at_head(self, work: Work) -> None:
        if work.revision == self._tree.head:
            work.outcome = Outcome.MIGRATED
            self._on_settled(work)

    def _fail(self, works: Iterable[Work], reason: str) -> None:
        for work in works:
            if work.outcome is None:
                work.fail(reason)
                self._on_settled(work)


async def run_all(coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run these at once; the first that raises ends them all, and its error is the one raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _is_transient(error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.InterfaceError | OSError):
        return True
    return getattr(error, "sqlstate", None) in TRANSIENT


def _describe(error: Exception) -> str:
    """PostgreSQL's message without its DETAIL, which may quote a tenant's rows."""
    if isinstance(error, asyncpg.PostgresError):
        return f"{error.args[0] if error.args else type(error).__name__} ({error.sqlstate})"
    return f"the connection broke ({type(error).__name__})"


async def _back_off(attempt: int) -> None:
    longest = min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2**attempt)
    await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311  # jitter, not a secret
