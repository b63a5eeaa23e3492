"""The roles of one tenant."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import TenantBase
from app.core.ids import new_id


class RBACPolicy(TenantBase):
    """A role: a named list of rules `{"effect": "allow" | "deny", "permission": "resource:action"}`."""

    __tablename__ = "rbac_policies"
    __table_args__ = (
        CheckConstraint(r"name ~ '^[a-z][a-z0-9_]{1,62}$'", name="name_form"),
        CheckConstraint("jsonb_typeof(rules) = 'array'", name="rules_is_array"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str] = mapped_column(server_default="")
    rules: Mapped[list[Any]]
    is_default: Mapped[bool] = mapped_column(server_default="false")
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
