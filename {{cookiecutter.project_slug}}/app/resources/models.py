"""The sample tenant-owned table."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import TenantBase
from app.core.ids import new_id


class Resource(TenantBase):
    """A named JSON document. `version` grows by one with every update and is the entity tag."""

    __tablename__ = "resources"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 200", name="name_length"),
        CheckConstraint("jsonb_typeof(data) = 'object'", name="data_is_object"),
        CheckConstraint("version > 0", name="version_positive"),
        Index("ix_resources_created_at_id", "created_at", "id"),
        Index("ix_resources_owner_id", "owner_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    owner_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
