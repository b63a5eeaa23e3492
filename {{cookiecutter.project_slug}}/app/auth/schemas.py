"""The bodies of the authentication endpoints."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from app.core.validation import RequestModel, Text, storable_text

SLUG_PATTERN = r"^[a-z][a-z0-9-]{0,38}[a-z0-9]$"


def _storable_secret(value: SecretStr) -> SecretStr:
    storable_text(value.get_secret_value())
    return value


LoginEmail = Annotated[Text, Field(min_length=3, max_length=254)]
LoginPassword = Annotated[SecretStr, Field(min_length=1, max_length=256), AfterValidator(_storable_secret)]


class LoginRequest(RequestModel):
    """`tenant` is the tenant's slug. The email is compared without regard to case."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"tenant": "acme", "email": "ada@acme.test", "password": "correct horse battery"}
        }
    )

    tenant: Annotated[str, Field(pattern=SLUG_PATTERN)]
    email: LoginEmail
    password: LoginPassword


class PasswordChange(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={
            "example": {"current_password": "correct horse battery", "new_password": "purple lantern 88"}
        }
    )

    current_password: LoginPassword
    new_password: LoginPassword


class RefreshRequest(RequestModel):
    refresh_token: Annotated[str, Field(min_length=1, max_length=256)]


class TokenResponse(BaseModel):
    """RFC 6749, section 5.1. `expires_in` is the access token's lifetime in seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "access_token": "eyJhbGciOiJSUzI1NiIs…",
                "refresh_token": "rt_AZqf…",
                "token_type": "bearer",
                "expires_in": 900,
            }
        }
    )

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # a scheme
    expires_in: int


class SessionRead(BaseModel):
    """`current` marks the session that asks."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": "019ab2c4-8d5e-7c31-9f0a-2b1c3d4e5f60",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/146.0",
                "address": "203.0.113.7",
                "created_at": "2026-11-23T09:30:00Z",
                "last_used_at": "2026-11-23T11:02:00Z",
                "expires_at": "2026-12-23T09:30:00Z",
                "current": True,
            }
        },
    )

    id: UUID
    user_agent: str
    address: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool = False


class JWKS(BaseModel):
    """RFC 7517: the public keys that verify access tokens."""

    keys: list[dict[str, Any]]
