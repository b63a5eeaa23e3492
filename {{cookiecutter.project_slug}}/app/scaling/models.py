"""The record of every scaling decision, in the platform schema."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import PlatformBase
from app.core.ids import new_id


class ScalingEvent(PlatformBase):
    """One decision about one pool of capacity: what was seen, what was decided and why.

    `tenant_id` is NULL for the shared pool and names the tenant of dedicated capacity.
    """

    __tablename__ = "scaling_events"
    __table_args__ = (
        CheckConstraint("action IN ('scale_up', 'scale_down', 'hold')", name="action_known"),
        CheckConstraint("capacity_before >= 0 AND capacity_after >= 0", name="capacity_not_negative"),
        CheckConstraint(
            "(action = 'scale_up' AND capacity_after > capacity_before)"
            " OR (action = 'scale_down' AND capacity_after < capacity_before)"
            " OR (action = 'hold' AND capacity_after = capacity_before)",
            name="action_matches_capacity",
        ),
        Index("ix_scaling_events_target_decided_at", "target", "decided_at"),
        Index("ix_scaling_events_tenant_id", "tenant_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[UUID | None] = mapped_column(ForeignKey("platform.tenants.id", ondelete="SET NULL"))
    target: Mapped[str]
    action: Mapped[str]
    capacity_before: Mapped[int]
    capacity_after: Mapped[int]
    reasons: Mapped[list[Any]]
    signals: Mapped[dict[str, Any]]
    actuator: Mapped[str]
    decided_at: Mapped[datetime] = mapped_column(server_default=func.now())
