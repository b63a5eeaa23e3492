"""Requests that a client may repeat without doing twice what they do (`Idempotency-Key`)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import TenantBase


class IdempotencyKey(TenantBase):
    """A request of one principal, and what it was answered: written in the transaction of its effects."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="key_length"),
        CheckConstraint("octet_length(request_hash) = 32", name="request_hash_is_sha256"),
        Index("ix_idempotency_keys_created_at", "created_at"),
    )

    principal_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    status: Mapped[int | None] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[bytes | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
