"""Small connection pools that share one bound on how many connections they hold together.

SQLAlchemy's own pools know nothing of each other, so one of them per tenant fills the server and keeps it
full. Here the connection that was least recently used makes room for another pool's, and none stays open
that nobody has used for a while. Everything happens between two awaits of one event loop, so a connection
that is at hand costs no lock; tests/core/test_pools.py holds SQLAlchemy to the methods that are overridden.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, Pool
from sqlalchemy.util import await_only, greenlet_spawn


@dataclass(frozen=True, slots=True)
class _Grant:
    """A connection to use, or leave to open one after `spare`, another pool's, was closed."""

    entry: ConnectionPoolEntry | None = None
    spare: ConnectionPoolEntry | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    pool: "BudgetedPool"
    turn: "asyncio.Future[_Grant]"


class ConnectionBudget:
    """At most `limit` connections over many pools; who comes when all are in use waits for a turn.

    One that was idle for `idle_seconds` is closed. Belongs to one event loop.
    """

    def __init__(self, limit: int, *, idle_seconds: float) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._open = 0
        # The least recently used first, each with the time of its return.
        self._idle: dict[ConnectionPoolEntry, tuple[BudgetedPool, float]] = {}
        self._waiting: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """How many connections are open, being opened or being closed."""
        return self._open

    def take(self, pool: "BudgetedPool") -> _Grant:
        """What the pool may do for a caller; in a greenlet. Raises sqlalchemy.exc.TimeoutError."""
        if pool.idle:
            entry = pool.idle.pop()
            del self._idle[entry]
            return _Grant(entry)
        if pool.open < pool.size:
            if self._open < self._limit:
                self._open += 1
                pool.open += 1
                return _Grant()
            if self._idle:
                return self._hand_over(pool, next(iter(self._idle)))
        grant: _Grant = await_only(self._turn(pool))
        return grant

    def give_back(self, pool: "BudgetedPool", entry: ConnectionPoolEntry) -> None:
        """Take a connection from its user: to whoever waits the longest for one, or to its pool."""
        if entry.dbapi_connection is None:
            self.free(pool)
        elif pool.disposed:
            self._close(pool, entry)
        else:
            loop = asyncio.get_running_loop()
            self._idle[entry] = (pool, loop.time())
            pool.idle.append(entry)
            if self._waiting:
                self._serve(pool, entry)
            if self._timer is None and self._idle:
                self._timer = loop.call_later(self._idle_seconds, self._expire)

    def free(self, pool: "BudgetedPool") -> None:
        """A connection of the pool is closed, or was not opened: another may be."""
        pool.open -= 1
        self._open -= 1
        for waiter in self._waiting:
            if waiter.pool.open < waiter.pool.size:
                self._waiting.remove(waiter)
                self._open += 1
                waiter.pool.open += 1
                waiter.turn.set_result(_Grant())
                return

    def withdraw(self, entry: ConnectionPoolEntry) -> None:
        """A connection at hand is so no longer."""
        pool, _ = self._idle.pop(entry)
        pool.idle.remove(entry)

    def rest(self) -> None:
        """Wait for nothing when nothing is at hand."""
        if self._timer is not None and not self._idle:
            self._timer.cancel()
            self._timer = None

    def _serve(self, pool: "BudgetedPool", entry: ConnectionPoolEntry) -> None:
        for waiter in self._waiting:
            if waiter.pool is pool:
                self.withdraw(entry)
                grant = _Grant(entry)
            elif waiter.pool.open < waiter.pool.size:
                grant = self._hand_over(waiter.pool, entry)
            else:
                continue
            self._waiting.remove(waiter)
            waiter.turn.set_result(grant)
            return

    def _hand_over(self, to: "BudgetedPool", spare: ConnectionPoolEntry) -> _Grant:
        """The place of a connection at hand, for one of another pool."""
        owner, _ = self._idle[spare]
        self.withdraw(spare)
        owner.open -= 1
        to.open += 1
        return _Grant(spare=spare)

    async def _turn(self, pool: "BudgetedPool") -> _Grant:
        waiter = _Waiter(pool, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await asyncio.wait((waiter.turn,), timeout=pool.timeout)
        except asyncio.CancelledError:
            if waiter.turn.done():
                self._refund(pool, waiter.turn.result())
            else:
                self._waiting.remove(waiter)
            raise
        if waiter.turn.done():
            return waiter.turn.result()
        self._waiting.remove(waiter)
        raise PoolTimeout(f"all of {self._limit} connections were in use for {pool.timeout} s")

    def _refund(self, pool: "BudgetedPool", grant: _Grant) -> None:
        """What was granted to a caller that has gone."""
        if grant.entry is not None:
            self.give_back(pool, grant.entry)
        elif grant.spare is not None:
            self._close(pool, grant.spare)
        else:
            self.free(pool)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._idle:
            entry, (pool, since) = next(iter(self._idle.items()))
            left = since + self._idle_seconds - loop.time()
            if left > 0:
                self._timer = loop.call_later(left, self._expire)
                return
            self.withdraw(entry)
            self._close(pool, entry)

    def _close(self, pool: "BudgetedPool", entry: ConnectionPoolEntry) -> None:
        """Without making anybody wait for the server; its place is free afterwards."""

        async def close() -> None:
            try:
                await greenlet_spawn(entry.invalidate)
            finally:
                self.free(pool)

        task = asyncio.get_running_loop().create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class BudgetedPool(Pool):
    """At most `pool_size` connections, opened as the budget allows. For asyncio only."""

    _is_asyncio = True

    # Not by name only: create_engine reads the names of positional arguments.
    def __init__(
        self, creator: Any, budget: ConnectionBudget, pool_size: int = 4, timeout: float = 10.0, **kwargs: Any
    ) -> None:
        super().__init__(creator, **kwargs)
        self._budget = budget
        self.size = pool_size
        self.timeout = timeout
        self.open = 0
        self.idle: list[ConnectionPoolEntry] = []
        self.disposed = False

    def _do_get(self) -> ConnectionPoolEntry:
        grant = self._budget.take(self)
        if grant.entry is not None:
            return grant.entry
        try:
            if grant.spare is not None:
                grant.spare.invalidate()  # As close(), but a server that does not answer is not waited for.
            return self._create_connection()
        except BaseException:
            self._budget.free(self)
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        self._budget.give_back(self, record)

    def dispose(self) -> None:
        """Close what is at hand now, and what is in use when it comes back."""
        self.disposed = True
        while self.idle:
            entry = self.idle[-1]
            self._budget.withdraw(entry)
            try:
                entry.invalidate()
            finally:
                self._budget.free(self)
        self._budget.rest()

    def recreate(self) -> "BudgetedPool":
        """An empty pool of the same budget, which an engine takes up when its own was disposed of."""
        return self.__class__(
            self._creator,
            self._budget,
            self.size,
            self.timeout,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def status(self) -> str:
        return f"{self.open} of {self.size} connections open, {len(self.idle)} at hand"
