"""The audit trail of one tenant."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import TenantBase


class AuditLog(TenantBase):
    """One action. `hash` covers the row and `previous_hash`, so rows form a chain by `sequence`.

    Actors and targets are kept by id without foreign keys: the trail outlives what it speaks of.
    """

    __tablename__ = "audit_logs"
    __table_args__ = (
        CheckConstraint("actor_kind IN ('user', 'api_key', 'operator', 'system')", name="actor_kind_known"),
        CheckConstraint(
            "octet_length(hash) = 32 AND octet_length(previous_hash) = 32", name="hashes_are_sha256"
        ),
        Index("ix_audit_logs_occurred_at", "occurred_at"),
        Index("ix_audit_logs_target_kind_target_id", "target_kind", "target_id"),
        Index("ix_audit_logs_actor_id", "actor_id"),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    action: Mapped[str]
    target_kind: Mapped[str]
    target_id: Mapped[str | None]
    correlation_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    previous_hash: Mapped[bytes]
    hash: Mapped[bytes]
