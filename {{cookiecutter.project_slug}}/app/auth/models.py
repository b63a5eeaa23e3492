"""The credentials of one tenant that must be looked up: API keys and refresh tokens, as hashes only."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import TenantBase
from app.core.ids import new_id


class APIKey(TenantBase):
    """A key for a program. Only the bcrypt hash of its secret is kept; `display_prefix` identifies it."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_length"),
        CheckConstraint("scopes IS NULL OR jsonb_typeof(scopes) = 'array'", name="scopes_is_array"),
        CheckConstraint("expires_at IS NULL OR expires_at > created_at", name="expires_after_creation"),
        Index("ix_api_keys_role", "role"),
        Index("ix_api_keys_created_by", "created_by"),
        Index("ix_api_keys_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str]
    display_prefix: Mapped[str]
    secret_hash: Mapped[str]
    role: Mapped[str] = mapped_column(
        ForeignKey("rbac_policies.name", onupdate="CASCADE", ondelete="RESTRICT")
    )
    scopes: Mapped[list[Any] | None]
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class RefreshToken(TenantBase):
    """One link of a rotation chain. `family_id` joins the chain that one login began.

    A token is used once; using it again revokes the whole family (RFC 9700, section 4.14).
    """

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        CheckConstraint("octet_length(token_hash) = 32", name="token_hash_is_sha256"),
        CheckConstraint("expires_at > issued_at", name="expires_after_issue"),
        Index("ix_refresh_tokens_family_id", "family_id"),
        Index("ix_refresh_tokens_user_id", "user_id"),
        Index("ix_refresh_tokens_expires_at", "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    family_id: Mapped[UUID]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    issued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
