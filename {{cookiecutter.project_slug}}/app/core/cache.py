"""An in-process cache that asks once: concurrent callers of the same key share one load."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlightCache(Generic[K, V]):
    """Keeps what `load` returned for `ttl_seconds`, at most `size` entries. Failures are not kept."""

    def __init__(self, load: Callable[[K], Awaitable[V]], *, ttl_seconds: float, size: int) -> None:
        self._load = load
        self._entries: TTLCache[K, V] = TTLCache(size, ttl_seconds)
        self._in_flight: dict[K, asyncio.Task[V]] = {}

    def peek(self, key: K) -> V | None:
        """The cached value, without loading one."""
        return self._entries.get(key)

    async def get(self, key: K) -> V:
        """The cached or freshly loaded value. Raises whatever the load raised, to every waiter."""
        try:
            return self._entries[key]
        except KeyError:
            pass
        task = self._in_flight.get(key)
        if task is None:
            task = asyncio.ensure_future(self._fill(key))
            self._in_flight[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        # A caller that is cancelled must not cancel the load that others wait for.
        return await asyncio.shield(task)

    def evict(self, key: K) -> None:
        """Forget a key; a load already in flight for it will not be kept."""
        self._entries.pop(key, None)
        self._in_flight.pop(key, None)

    def evict_if(self, stale: Callable[[V], bool]) -> None:
        """Forget the entries whose value is stale; looks at all of them."""
        for key in list(self._entries):
            value = self._entries.get(key)
            if value is not None and stale(value):
                self.evict(key)

    async def _fill(self, key: K) -> V:
        value = await self._load(key)
        if self._in_flight.get(key) is asyncio.current_task():
            self._entries[key] = value
        return value

    def _landed(self, key: K, task: "asyncio.Task[V]") -> None:
        if self._in_flight.get(key) is task:
            del self._in_flight[key]
        if not task.cancelled():
            task.exception()  # Retrieved here, in case every waiter has gone.
