"""Events reach the ledger once each, whatever happens in between."""

import asyncio
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import text

from app.core.database import Database
from app.core.ids import new_id
from app.usage.events import UsageEvent
from app.usage.recorder import UsageRecorder
from app.usage.service import write_events
from tests.work import counted_work


def event(tenant_id: uuid.UUID | None = None, **changes: object) -> UsageEvent:
    values = {
        "id": new_id(),
        "tenant_id": tenant_id or uuid.uuid4(),
        "subject": uuid.uuid4(),
        "kind": "user",
        "method": "GET",
        "route": "/v1/resources/{resource_id}",
        "status": 200,
        "request_bytes": 0,
        "response_bytes": 123,
        "duration_us": 456,
    } | changes
    return UsageEvent(**values)  # type: ignore[arg-type]


class Store:
    def __init__(self) -> None:
        self.batches: list[list[UsageEvent]] = []
        self.is_away = False
        self.has_written = asyncio.Event()

    async def write(self, events: Sequence[UsageEvent]) -> None:
        await asyncio.sleep(0)
        if self.is_away:
            raise ConnectionError
        self.batches.append(list(events))
        self.has_written.set()

    @property
    def written(self) -> list[UsageEvent]:
        return [one for batch in self.batches for one in batch]


def test_the_time_is_the_one_inside_the_id() -> None:
    assert abs((event().occurred_at - datetime.now(UTC)).total_seconds()) < 60


async def test_events_are_written_in_batches_and_in_order() -> None:
    store = Store()
    recorder = UsageRecorder(store.write, batch=4, flush_seconds=0.01)
    events = [event() for _ in range(10)]
    for one in events:
        recorder.record(one)
    await recorder.flush()
    assert store.written == events
    assert [len(batch) for batch in store.batches] == [4, 4, 2]


async def test_the_task_writes_by_itself_and_stopping_writes_the_rest() -> None:
    store = Store()
    recorder = UsageRecorder(store.write, flush_seconds=0.01)
    recorder.start()
    first, last = event(), event()
    recorder.record(first)
    async with asyncio.timeout(5):
        await store.has_written.wait()
    recorder.record(last)
    await recorder.stop()
    assert store.written == [first, last]


async def test_events_wait_while_the_store_is_away_and_none_is_lost_or_doubled() -> None:
    store = Store()
    recorder = UsageRecorder(store.write, batch=3)
    events = [event() for _ in range(8)]
    store.is_away = True
    for one in events:
        recorder.record(one)
    await recorder.flush()
    assert store.written == []
    store.is_away = False
    await asyncio.gather(recorder.flush(), recorder.flush())
    assert store.written == events


async def test_what_it_writes_meanwhile_is_no_work_of_a_request(database: Database) -> None:
    """The tests that count round trips rely on it."""
    written = asyncio.Event()

    async def write(events: Sequence[UsageEvent]) -> None:
        await write_events(database, events)
        written.set()

    recorder = UsageRecorder(write, flush_seconds=0.001)
    recorder.start()
    with counted_work() as work:
        recorder.record(event())
        async with asyncio.timeout(5):
            await written.wait()
        assert work.trips == []
        await asyncio.create_task(write_events(database, [event()]))
        assert work.trips == ["BEGIN", "INSERT", "COMMIT"], "and what is its own is"
    await recorder.stop()


async def test_a_full_buffer_drops_the_newest_and_counts_them() -> None:
    store = Store()
    recorder = UsageRecorder(store.write, capacity=5)
    events = [event() for _ in range(8)]
    for one in events:
        recorder.record(one)
    await recorder.flush()
    assert store.written == events[:5]
    assert recorder.dropped == 3


async def test_an_event_written_twice_is_one_row(database: Database) -> None:
    tenant_id = uuid.uuid4()
    events = [event(tenant_id), event(tenant_id, status=404)]
    await write_events(database, events)
    await write_events(database, [*events, event(tenant_id)])
    async with database.platform() as session:
        rows = await session.scalar(
            text("SELECT count(*) FROM usage_metrics WHERE tenant_id = :id"), {"id": tenant_id}
        )
    assert rows == 3
