"""The bodies of the operators' endpoints."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_serializer, model_validator

from app.auth.schemas import LoginEmail, LoginPassword
from app.core.validation import Name, RequestModel


class OperatorLoginRequest(RequestModel):
    """The email is compared without regard to case."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "grace@platform.test", "password": "correct horse battery"}}
    )

    email: LoginEmail
    password: LoginPassword


class OperatorTokenResponse(BaseModel):
    """RFC 6749, section 5.1, without a refresh token: an operator logs in again. `expires_in` is seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # a scheme
    expires_in: int


class OperatorRead(BaseModel):
    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": "019ab2c4-8d5e-7c31-9f0a-2b1c3d4e5f60",
                "email": "grace@platform.test",
                "last_login_at": "2026-11-23T09:30:00Z",
                "created_at": "2026-11-01T12:00:00Z",
            }
        },
    )

    id: UUID
    email: str
    last_login_at: datetime | None
    created_at: datetime


class OperatorActionRead(BaseModel):
    """`hash` covers the row and the one before; noted elsewhere, it proves later that none was removed."""

    model_config = ConfigDict(from_attributes=True)

    sequence: int
    occurred_at: datetime
    actor_kind: str
    operator_id: UUID | None
    action: str
    tenant_id: UUID | None
    target: str | None
    correlation_id: str | None
    details: dict[str, Any]
    hash: bytes

    @field_serializer("hash")
    def _as_hex(self, value: bytes) -> str:
        return value.hex()


class ImpersonationRequest(RequestModel):
    """Names the user by `user_id` or by `email`. The reason is shown to the tenant in its audit trail."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"email": "ada@acme.test", "reason": "Ticket 4711: export fails", "minutes": 5}
        }
    )

    user_id: UUID | None = None
    email: LoginEmail | None = None
    reason: Annotated[Name, Field(min_length=10, max_length=500)]
    minutes: Annotated[int, Field(ge=1, le=15, strict=True)] = 5

    @model_validator(mode="after")
    def _names_one_user(self) -> Self:
        if (self.user_id is None) == (self.email is None):
            raise ValueError("name the user by either user_id or email")
        return self


class ImpersonationTokenResponse(BaseModel):
    """An access token of the tenant that ends at `expires_at` and cannot be refreshed."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # a scheme
    expires_in: int
    expires_at: datetime
    user_id: UUID
