"""The mixed requests of the isolation proof: what each does, and what it must see of its own tenant only."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import ADMIN, Rights, compile_rules, default_rules
from app.core.ids import new_id
from app.resources import service as resources
from app.tenants.isolation_routing import Routing, Transaction
from app.tenants.isolation_twins import RESOURCE_IDS, USER_ID, Twins
from app.users import service as users

WORKERS_PER_CONNECTION: Final = 4
# PostgreSQL may choose a generic plan from the sixth execution on.
REPETITIONS: Final = 7
LEAKS_SHOWN: Final = 5
# What is proven is that tenants are apart, not what a role keeps a caller from.
EVERYTHING: Final = Rights(compile_rules(default_rules(ADMIN)))
READ, CREATE = EVERYTHING.grant("resources:read"), EVERYTHING.grant("resources:create")

# With parameters, so that it is prepared once per connection and serves whichever tenant comes next.
LOOK: Final = text(
    "SELECT current_user, current_schema(), (SELECT name FROM resources WHERE id = :resource_id),"
    " (SELECT full_name FROM users WHERE id = :user_id)"
)
# Not through the service: the audit trail, in which a tenant's writers take turns, would keep requests apart.
INSERT: Final = text(
    "INSERT INTO resources (id, name, data, owner_id) VALUES (:id, :name, :data, :owner_id)"
).bindparams(bindparam("data", type_=JSONB))
TOUCH: Final = text("UPDATE resources SET version = version + 1 WHERE id = :resource_id RETURNING name")
GENERIC_PLANS: Final = text("SELECT coalesce(sum(generic_plans), 0) FROM pg_prepared_statements")


class Abandoned(Exception):
    """What a request raises to have its work rolled back."""


@dataclass(slots=True)
class Tally:
    """What a run of requests did and saw. `failures` are errors that no request provokes on purpose."""

    requests: Counter[str] = field(default_factory=Counter)
    observations: int = 0
    leaks: int = 0
    examples: list[str] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    generic_plans: int = 0
    written: Counter[str] = field(default_factory=Counter)


async def run_requests(
    routing: Routing,
    twins: Twins,
    *,
    kinds: list[str],
    pool_size: int,
    seed: int,
    on_request: Callable[[], None],
) -> Tally:
    """Serve one request of each of `kinds`, several for each connection at any time, then close the pool."""
    tally = Tally()
    chance = random.Random(seed)  # noqa: S311  # repeatable, not secret
    queue = iter(kinds)
    background: set[asyncio.Task[None]] = set()

    async def work() -> None:
        for kind in queue:
            request = _Request(routing, chance.choice(twins), kind, chance, tally, background)
            await request.serve()
            on_request()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(pool_size * WORKERS_PER_CONNECTION):
                group.create_task(work())
        await asyncio.gather(*background)
    finally:
        await routing.close()
    return tally


@dataclass(slots=True)
class _Request:
    """One request of one tenant. Each method of `KINDS` is a way to treat a connection."""

    routing: Routing
    schema: str
    kind: str
    chance: random.Random
    tally: Tally
    background: set[asyncio.Task[None]]

    async def serve(self) -> None:
        self.tally.requests[self.kind] += 1
        await self._count_failure(self._serve())

    async def _serve(self) -> None:
        async with self.routing.request(self.schema) as transaction:
            await KINDS[self.kind](self, transaction)

    async def _count_failure(self, work: Awaitable[None]) -> None:
        """An unforeseen error ends one request, not the proof; the verdict tells of it."""
        try:
            await work
        except Exception as error:  # noqa: BLE001
            cause = getattr(error, "orig", None) or error
            self.tally.failures[f"{self.kind}: {type(cause).__name__}: {cause}"[:200]] += 1

    async def read(self, transaction: Transaction) -> None:
        """Plain SQL, then the ORM."""
        async with transaction() as session:
            await self._look(session)
            if self.chance.random() < 0.5:
                self._observe((await users.get_user(session, USER_ID)).full_name)
            else:
                self._observe(
                    (
                        await resources.get_resource(
                            session, EVERYTHING.grant("resources:read"), self._resource_id()
                        )
                    ).name
                )

    async def write(self, transaction: Transaction) -> None:
        """Insert a row, and change one whose id both tenants have; then read in a second transaction."""
        async with transaction() as session:
            await self._insert(session, "write")
            self._observe(await session.scalar(TOUCH, {"resource_id": self._resource_id()}))
        self.tally.written[self.schema] += 1
        await self._look_again(transaction)

    async def fail(self, transaction: Transaction) -> None:
        """A statement fails; the request goes on."""
        with suppress(DBAPIError):
            async with transaction() as session:
                await self._insert(session, "abandoned")
                await session.execute(text("SELECT 1 / 0"))
        await self._look_again(transaction)

    async def roll_back(self, transaction: Transaction) -> None:
        """The request changes its mind after a write; it goes on."""
        with suppress(Abandoned):
            async with transaction() as session:
                await self._insert(session, "abandoned")
                raise Abandoned
        await self._look_again(transaction)

    async def save_point(self, transaction: Transaction) -> None:
        """A part is rolled back, another is kept."""
        async with transaction() as session:
            with suppress(Abandoned):
                async with session.begin_nested():
                    await self._insert(session, "abandoned")
                    raise Abandoned
            await self._look(session)
            async with session.begin_nested():
                await self._insert(session, "write")
            await self._look(session)
        self.tally.written[self.schema] += 1

    async def cancel(self, transaction: Transaction) -> None:
        """Cancelled at a moment that may lie in BEGIN, in a statement, in COMMIT or between; it goes on."""

        async def interrupted() -> None:
            async with transaction() as session:
                await self._insert(session, "cancelled")
                await session.execute(text("SELECT pg_sleep(0.002)"))
                await self._look(session)

        task = asyncio.create_task(interrupted())
        if self.chance.random() < 0.5:
            await asyncio.sleep(self.chance.random() * 0.006)
        else:
            for _ in range(self.chance.randrange(60)):
                await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await self._look_again(transaction)

    async def spawn(self, transaction: Transaction) -> None:
        """Leave work behind that outlives the request, as background tasks do."""
        async with transaction() as session:
            await self._look(session)
        task = asyncio.create_task(self._count_failure(self._in_background()))
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def reuse_plan(self, transaction: Transaction) -> None:
        """Run one prepared statement until its plan is generic, on a connection that the other tenant had."""
        async with transaction() as session:
            for _ in range(REPETITIONS):
                await self._look(session)
            generic = int(await session.scalar(GENERIC_PLANS) or 0)
        self.tally.generic_plans = max(self.tally.generic_plans, generic)

    async def _in_background(self) -> None:
        async with self.routing.request(self.schema) as transaction, transaction() as session:
            await self._insert(session, "write")
            await self._look(session)
        self.tally.written[self.schema] += 1

    async def _insert(self, session: AsyncSession, kind: str) -> None:
        values = {"id": new_id(), "name": self.schema, "data": {"kind": kind}, "owner_id": USER_ID}
        await session.execute(INSERT, values)

    async def _look_again(self, transaction: Transaction) -> None:
        async with transaction() as session:
            await self._look(session)

    async def _look(self, session: AsyncSession) -> None:
        ids = {"resource_id": self._resource_id(), "user_id": USER_ID}
        role, *seen = (await session.execute(LOOK, ids)).one()
        self._observe(*([role, *seen] if self.routing.takes_role else seen))

    def _resource_id(self) -> UUID:
        return self.chance.choice(RESOURCE_IDS)

    def _observe(self, *seen: object) -> None:
        """Everything a request sees of its tenant bears the tenant's own name."""
        self.tally.observations += 1
        if any(value != self.schema for value in seen):
            self.tally.leaks += 1
            if len(self.tally.examples) < LEAKS_SHOWN:
                self.tally.examples.append(f"{self.kind}: {self.schema} saw {', '.join(map(str, seen))}")


# The share of each kind in every hundred requests.
SHARES: Final = {
    "read": 44, "write": 16, "roll back": 9, "fail": 9, "savepoint": 7, "cancel": 4, "background": 8,
    "plan reuse": 3,
}  # fmt: skip
KINDS: Final[dict[str, Callable[[_Request, Transaction], Awaitable[None]]]] = {
    "read": _Request.read,
    "write": _Request.write,
    "roll back": _Request.roll_back,
    "fail": _Request.fail,
    "savepoint": _Request.save_point,
    "cancel": _Request.cancel,
    "background": _Request.spawn,
    "plan reuse": _Request.reuse_plan,
}


def mixed_kinds(requests: int, seed: int) -> list[str]:
    """As many requests as asked for, in an order that the seed decides."""
    one_hundred = [kind for kind, share in SHARES.items() for _ in range(share)]
    kinds = [one_hundred[number * 37 % 100] for number in range(requests)]
    random.Random(seed).shuffle(kinds)  # noqa: S311
    return kinds
