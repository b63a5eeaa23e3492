"""Collects usage events in memory and writes them in batches, so that a request never waits for metering."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from app.usage.events import UsageEvent

FLUSH_SECONDS: Final = 0.5
BATCH: Final = 500
CAPACITY: Final = 50_000

log = structlog.get_logger(__name__)

Write = Callable[[Sequence[UsageEvent]], Awaitable[None]]


class UsageRecorder:
    """A bounded buffer and the task that empties it through `write`.

    While `write` fails, events wait and are written later in order; when the buffer is full the newest are
    dropped, counted in `dropped` and logged. `write` must ignore an event that it has seen.
    """

    def __init__(
        self,
        write: Write,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        batch: int = BATCH,
        capacity: int = CAPACITY,
    ) -> None:
        self._write = write
        self._flush_seconds = flush_seconds
        self._batch = batch
        self._capacity = capacity
        self._events: deque[UsageEvent] = deque()
        self._batch_is_full = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    def record(self, event: UsageEvent) -> None:
        """Take an event; never waits and never raises."""
        if len(self._events) >= self._capacity:
            self.dropped += 1
            if self.dropped == 1 or self.dropped % 1000 == 0:
                log.error("usage_events_dropped", total=self.dropped)
            return
        self._events.append(event)
        if len(self._events) >= self._batch:
            self._batch_is_full.set()

    def start(self) -> None:
        """Begin writing in the background."""
        self._task = asyncio.create_task(self._run(), name="usage-recorder")

    async def stop(self) -> None:
        """End the task and write what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write everything that is buffered, until done or until a write fails."""
        async with self._writing:
            while self._events:
                batch = [self._events[index] for index in range(min(self._batch, len(self._events)))]
                try:
                    await self._write(batch)
                except Exception as error:  # noqa: BLE001  # whatever the store says, keep the events
                    log.warning("usage_write_failed", error=type(error).__name__, waiting=len(self._events))
                    return
                for _ in batch:
                    self._events.popleft()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._batch_is_full.wait(), self._flush_seconds)
            self._batch_is_full.clear()
            await self.flush()
            if len(self._events) >= self._batch:
                # The store is away: do not spin on a full batch.
                await asyncio.sleep(self._flush_seconds)
