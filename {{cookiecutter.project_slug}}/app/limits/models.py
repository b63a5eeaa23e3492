"""Rate-limit overrides per tenant, in the platform schema."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import PlatformBase
from app.core.ids import new_id


class RateLimitConfig(PlatformBase):
    """What a tenant may do in a window, where it differs from its plan.

    `scope` says which bucket; `subject` narrows it to one principal or route class, NULL means all.
    `max_requests` per `window_seconds`, with `burst` of them at once (NULL: all at once).
    """

    __tablename__ = "rate_limit_configs"
    __table_args__ = (
        UniqueConstraint("tenant_id", "scope", "subject", postgresql_nulls_not_distinct=True),
        CheckConstraint("scope IN ('tenant', 'principal', 'route_class')", name="scope_known"),
        CheckConstraint("max_requests > 0", name="max_requests_positive"),
        CheckConstraint("window_seconds BETWEEN 1 AND 86400", name="window_seconds_range"),
        CheckConstraint("burst IS NULL OR burst BETWEEN 1 AND max_requests", name="burst_range"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("platform.tenants.id", ondelete="CASCADE"))
    scope: Mapped[str]
    subject: Mapped[str | None]
    max_requests: Mapped[int]
    window_seconds: Mapped[int] = mapped_column(server_default="60")
    burst: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
