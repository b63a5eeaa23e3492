"""Operators and the trail of what they did, in the platform schema."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import PlatformBase
from app.core.ids import new_id


class OperatorState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class Operator(PlatformBase):
    """A person who runs the platform. `email` is stored lower-cased.

    `epoch` is in every token and grows when the operator is disabled, enabled or given a new password, so
    that all tokens from before end at once.
    """

    __tablename__ = "operators"
    __table_args__ = (
        CheckConstraint("email = lower(email) AND char_length(email) BETWEEN 3 AND 254", name="email_form"),
        CheckConstraint("state IN ('active', 'disabled')", name="state_known"),
        CheckConstraint("epoch > 0", name="epoch_positive"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=OperatorState.ACTIVE)
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="1")
    last_login_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OperatorAction(PlatformBase):
    """One action on the platform. `hash` covers the row and `previous_hash`, so rows form a chain.

    `system` is the service itself or its command line, which knows no operator. Operators and tenants are
    kept by id without foreign keys: the trail outlives what it speaks of.
    """

    __tablename__ = "operator_actions"
    __table_args__ = (
        CheckConstraint("actor_kind IN ('operator', 'system')", name="actor_kind_known"),
        CheckConstraint("(actor_kind = 'operator') = (operator_id IS NOT NULL)", name="operator_is_named"),
        CheckConstraint("sequence > 0", name="sequence_positive"),
        CheckConstraint(
            "octet_length(hash) = 32 AND octet_length(previous_hash) = 32", name="hashes_are_sha256"
        ),
        Index("ix_operator_actions_tenant_id_sequence", "tenant_id", "sequence"),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    occurred_at: Mapped[datetime]
    actor_kind: Mapped[str]
    operator_id: Mapped[UUID | None]
    action: Mapped[str]
    tenant_id: Mapped[UUID | None]
    target: Mapped[str | None]
    correlation_id: Mapped[str | None]
    details: Mapped[dict[str, Any]]
    previous_hash: Mapped[bytes]
    hash: Mapped[bytes]
