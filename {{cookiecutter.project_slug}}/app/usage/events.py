"""One metered request."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """`route` is the path template, so that ids do not end up in the ledger. `duration_us` is wall time."""

    id: UUID
    tenant_id: UUID
    subject: UUID
    kind: str
    method: str
    route: str
    status: int
    request_bytes: int
    response_bytes: int
    duration_us: int

    @property
    def occurred_at(self) -> datetime:
        """The time inside the UUIDv7, to the millisecond: a retried write of an event is the same row."""
        return datetime.fromtimestamp((self.id.int >> 80) / 1000, UTC)
