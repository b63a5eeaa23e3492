"""Writes usage events to the ledger."""

from collections.abc import Sequence
from dataclasses import astuple, fields
from typing import Final

from sqlalchemy import Uuid, column, exists, select, table, values
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Database
from app.core.routing import PLATFORM_SCHEMA
from app.usage.events import UsageEvent
from app.usage.models import UsageMetric

COLUMNS: Final = (*(field.name for field in fields(UsageEvent)), "occurred_at")
# What this feature knows of the registry.
TENANTS: Final = table("tenants", column("id", Uuid), column("state"), schema=PLATFORM_SCHEMA)


async def write_events(database: Database, events: Sequence[UsageEvent]) -> None:
    """One statement for the batch; an event that is already there is left alone.

    Events of a purged tenant that arrive late are dropped, in this very statement, so that a purge which
    locks the ledger against writers and then deletes leaves nothing.
    """
    types = UsageMetric.__table__.columns
    incoming = values(*(column(name, types[name].type) for name in COLUMNS), name="incoming").data(
        [(*astuple(event), event.occurred_at) for event in events]
    )
    purged = exists().where(TENANTS.c.id == incoming.c.tenant_id, TENANTS.c.state == "deleted")
    rows = select(*incoming.c).where(~purged)
    async with database.platform() as session:
        await session.execute(insert(UsageMetric).from_select(list(COLUMNS), rows).on_conflict_do_nothing())
