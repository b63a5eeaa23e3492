"""The registry of tenants, and the operations that change them, in the platform schema."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, text
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


class Isolation(StrEnum):
    """`pooled` tenants share one login and take their role per transaction; `dedicated` have a login each."""

    POOLED = "pooled"
    DEDICATED = "dedicated"


class OperationKind(StrEnum):
    ONBOARD = "onboard"
    IMPORT = "import"
    MOVE = "move"
    PURGE = "purge"


class OperationState(StrEnum):
    """`failed` waits to be resumed or cancelled, as does `running` when its process is gone."""

    RUNNING = "running"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"


class Tenant(PlatformBase):
    """One customer. Its schema and role are named from `id`; `placement` names the database it lives on.

    `epoch` grows with every change that a running process must notice. While `moving_to` is set, writes are
    refused. After `purge_after` a tenant in state `deleting` may be purged; one that is restored before is
    suspended again if it has a `suspended_at`.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint(r"slug ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'", name="slug_form"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint(
            "state IN ('pending', 'provisioning', 'active', 'suspended', 'deleting', 'deleted')",
            name="state_known",
        ),
        CheckConstraint("plan IN ('free', 'pro', 'enterprise')", name="plan_known"),
        CheckConstraint("isolation IN ('pooled', 'dedicated')", name="isolation_known"),
        CheckConstraint("epoch > 0", name="epoch_positive"),
        Index("ix_tenants_state", "state"),
        Index("ix_tenants_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=TenantState.PENDING)
    plan: Mapped[str] = mapped_column(server_default=Plan.FREE)
    placement: Mapped[str] = mapped_column(server_default="default")
    isolation: Mapped[str] = mapped_column(server_default=Isolation.POOLED)
    revision: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="1")
    moving_to: Mapped[str | None]
    purge_after: Mapped[datetime | None]
    suspended_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    state_changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TenantOperation(PlatformBase):
    """A change of a tenant in steps, of which `step` is the next; at most one of a tenant is unfinished."""

    __tablename__ = "tenant_operations"
    __table_args__ = (
        CheckConstraint("kind IN ('onboard', 'import', 'move', 'purge')", name="kind_known"),
        CheckConstraint("state IN ('running', 'failed', 'succeeded', 'cancelled')", name="state_known"),
        CheckConstraint("attempts > 0", name="attempts_positive"),
        Index("ix_tenant_operations_tenant_id_started_at", "tenant_id", "started_at"),
        Index(
            "uq_tenant_operations_unfinished",
            "tenant_id",
            unique=True,
            postgresql_where=text("state IN ('running', 'failed')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("platform.tenants.id", ondelete="CASCADE"))
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=OperationState.RUNNING)
    step: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(server_default="1")
    error: Mapped[str | None]
    parameters: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    finished_at: Mapped[datetime | None]
