"""What each request cost, one row per event, in the platform schema."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import PlatformBase


class UsageMetric(PlatformBase):
    """One metered request. Rows are never updated.

    The key holds the time, taken from the event's UUIDv7, so that a retried write is the same row and the
    table can be partitioned by time. No foreign key: a bill outlives the tenant it was sent to.
    """

    __tablename__ = "usage_metrics"
    __table_args__ = (
        CheckConstraint("status BETWEEN 100 AND 599", name="status_range"),
        CheckConstraint(
            "request_bytes >= 0 AND response_bytes >= 0 AND duration_us >= 0", name="measures_not_negative"
        ),
        Index("ix_usage_metrics_tenant_id_occurred_at", "tenant_id", "occurred_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    subject: Mapped[UUID]
    kind: Mapped[str]
    method: Mapped[str]
    route: Mapped[str]
    status: Mapped[int] = mapped_column(SmallInteger)
    request_bytes: Mapped[int] = mapped_column(BigInteger)
    response_bytes: Mapped[int] = mapped_column(BigInteger)
    duration_us: Mapped[int] = mapped_column(BigInteger)
