"""Counts what requests of a test ask of PostgreSQL, Redis and bcrypt, and nothing that runs beside them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any

import bcrypt
import pytest
from asyncpg import Connection
from asyncpg.prepared_stmt import PreparedStatement
from redis.asyncio.client import Pipeline

from app.auth.passwords import PasswordHasher


@dataclass(frozen=True, slots=True)
class Work:
    """What was done, in order."""

    trips: list[str] = field(default_factory=list)
    """`redis`, `bcrypt`, or the first word of what was sent to PostgreSQL."""
    queries: list[str] = field(default_factory=list)
    """The prepared statements among it, in full."""


# Inherited by the tasks of a request; the service's own tasks were started before, and have none.
_counted: ContextVar[Work | None] = ContextVar("counted", default=None)


def _note(trip: str, query: str | None = None) -> None:
    work = _counted.get()
    if work is not None:
        work.trips.append(trip)
        if query is not None:
            work.queries.append(query)


@contextmanager
def counted_work() -> Iterator[Work]:
    """Count what this block does, itself or through tasks that it starts."""
    hash_with_bcrypt, run_in_thread = bcrypt.hashpw, PasswordHasher._run
    execute, fetch, pipeline = Connection.execute, PreparedStatement.fetch, Pipeline.execute

    def counting_bcrypt(*args: Any) -> bytes:
        _note("bcrypt")
        return hash_with_bcrypt(*args)

    async def carrying_run(self: PasswordHasher, function: Callable[..., Any], *args: Any) -> Any:
        return await run_in_thread(self, copy_context().run, function, *args)

    async def counting_execute(self: Any, query: str, *args: Any, **kwargs: Any) -> Any:
        _note(query.replace(";", " ").split()[0])
        return await execute(self, query, *args, **kwargs)

    async def counting_fetch(self: Any, *args: Any, **kwargs: Any) -> Any:
        query = self.get_query()
        _note(query.split()[0], query)
        return await fetch(self, *args, **kwargs)

    async def counting_pipeline(self: Any, *args: Any, **kwargs: Any) -> Any:
        _note("redis")
        return await pipeline(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bcrypt, "hashpw", counting_bcrypt)
        patch.setattr(PasswordHasher, "_run", carrying_run)
        patch.setattr(Connection, "execute", counting_execute)
        patch.setattr(PreparedStatement, "fetch", counting_fetch)
        patch.setattr(Pipeline, "execute", counting_pipeline)
        work = Work()
        token = _counted.set(work)
        try:
            yield work
        finally:
            _counted.reset(token)
