"""Writes usage events to the ledger."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy.dialects.postgresql import insert

from app.core.database import Database
from app.usage.events import UsageEvent
from app.usage.models import UsageMetric


async def write_events(database: Database, events: Sequence[UsageEvent]) -> None:
    """One statement for the batch; an event that is already there is left alone."""
    rows = [{**asdict(event), "occurred_at": event.occurred_at} for event in events]
    async with database.platform() as session:
        await session.execute(insert(UsageMetric).values(rows).on_conflict_do_nothing())
