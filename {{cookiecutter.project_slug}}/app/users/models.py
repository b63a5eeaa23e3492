"""The people of one tenant."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import TenantBase
from app.core.ids import new_id


class UserState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"
    INVITED = "invited"


class User(TenantBase):
    """A person who can log in. `email` is stored lower-cased and is unique within the tenant."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("email = lower(email) AND char_length(email) BETWEEN 3 AND 254", name="email_form"),
        CheckConstraint("state IN ('active', 'disabled', 'invited')", name="state_known"),
        Index("ix_users_role", "role"),
        Index("ix_users_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    full_name: Mapped[str] = mapped_column(server_default="")
    password_hash: Mapped[str | None]
    role: Mapped[str] = mapped_column(
        ForeignKey("rbac_policies.name", onupdate="CASCADE", ondelete="RESTRICT")
    )
    state: Mapped[str] = mapped_column(server_default=UserState.ACTIVE)
    last_login_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
