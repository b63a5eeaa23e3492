"""The registry of tenants, in the platform schema."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import PlatformBase
from app.core.ids import new_id


class TenantState(StrEnum):
    PENDING = "pending"
    PROVISIONING = "provisioning"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"
    DELETED = "deleted"


class Plan(StrEnum):
    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"


class Tenant(PlatformBase):
    """One customer. Its schema and role are named from `id`; `placement` names the database it lives on."""

    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint(r"slug ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'", name="slug_form"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint(
            "state IN ('pending', 'provisioning', 'active', 'suspended', 'deleting', 'deleted')",
            name="state_known",
        ),
        CheckConstraint("plan IN ('free', 'pro', 'enterprise')", name="plan_known"),
        Index("ix_tenants_state", "state"),
        Index("ix_tenants_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=TenantState.PENDING)
    plan: Mapped[str] = mapped_column(server_default=Plan.FREE)
    placement: Mapped[str] = mapped_column(server_default="default")
    revision: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    state_changed_at: Mapped[datetime] = mapped_column(server_default=func.now())
