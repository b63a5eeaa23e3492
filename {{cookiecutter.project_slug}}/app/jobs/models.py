"""The background jobs of one tenant."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import TenantBase
from app.core.ids import new_id


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


class Job(TenantBase):
    """One piece of work. `progress` is a percentage; `dead` means that every attempt was used up."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("char_length(kind) BETWEEN 1 AND 100", name="kind_length"),
        CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'dead')", name="state_known"
        ),
        CheckConstraint("progress BETWEEN 0 AND 100", name="progress_percent"),
        CheckConstraint("attempts >= 0 AND max_attempts > 0", name="attempts_range"),
        CheckConstraint("jsonb_typeof(payload) = 'object'", name="payload_is_object"),
        Index("ix_jobs_state_run_after", "state", "run_after"),
        Index("ix_jobs_created_at_id", "created_at", "id"),
        Index("ix_jobs_created_by", "created_by"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=JobState.QUEUED)
    payload: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    progress: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    max_attempts: Mapped[int] = mapped_column(SmallInteger, server_default="5")
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    run_after: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
