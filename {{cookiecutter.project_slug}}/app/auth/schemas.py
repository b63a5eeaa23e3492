"""The bodies of the authentication endpoints."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, SecretStr

from app.core.database import utc_now
from app.core.validation import Name, RequestModel, Text, storable_text

DEFAULT_OVERLAP_SECONDS: Final = 24 * 3600
MAX_OVERLAP_SECONDS: Final = 7 * 24 * 3600
API_KEY_EXAMPLE: Final[dict[str, JsonValue]] = {
    "id": "019ab2c4-8d5e-7c31-9f0a-2b1c3d4e5f60",
    "name": "nightly import",
    "display_prefix": "app_live_…x7Kp2Q",
    "role": "developer",
    "scopes": ["resources:read", "resources:create"],
    "created_by": "019ab2c4-1111-7c31-9f0a-2b1c3d4e5f60",
    "created_at": "2026-11-23T09:30:00Z",
    "expires_at": "2027-11-23T09:30:00Z",
    "last_used_at": "2026-11-23T11:02:00Z",
    "revoked_at": None,
    "replaced_by": None,
}
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


def _in_the_future(value: datetime) -> datetime:
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time before the year 10000") from None
    if moment <= utc_now():
        raise ValueError("must be in the future")
    return moment


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


FutureTime = Annotated[AwareDatetime, AfterValidator(_in_the_future)]
Scope = Annotated[str, Field(max_length=127, pattern=r"^(\*|[a-z][a-z_]*):(\*|[a-z][a-z_]*)$")]
Scopes = Annotated[tuple[Scope, ...], Field(min_length=1, max_length=50), AfterValidator(_distinct)]


class APIKeyCreate(RequestModel):
    """The key may do what `role` allows, and with `scopes` only what one of them names too. Scopes are
    spelled `resource:action`; `*` stands for any. Without `expires_at` it works until it is revoked."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "nightly import",
                "role": "developer",
                "scopes": ["resources:read", "resources:create"],
                "expires_at": "2027-11-23T09:30:00Z",
            }
        }
    )

    name: Annotated[Name, Field(min_length=1, max_length=100)]
    role: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,62}$")]
    scopes: Scopes | None = None
    expires_at: FutureTime | None = None


class APIKeyRotate(RequestModel):
    """Without `expires_at` the successor expires when the key would have."""

    model_config = ConfigDict(json_schema_extra={"example": {"overlap_seconds": DEFAULT_OVERLAP_SECONDS}})

    overlap_seconds: Annotated[int, Field(strict=True, ge=0, le=MAX_OVERLAP_SECONDS)] = (
        DEFAULT_OVERLAP_SECONDS
    )
    expires_at: FutureTime | None = None


class APIKeyRead(BaseModel):
    """`display_prefix` is enough to recognize a key, and no part of its secret. `replaced_by` is its
    successor."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": API_KEY_EXAMPLE})

    id: UUID
    name: str
    display_prefix: str
    role: str
    scopes: list[str] | None
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    replaced_by: UUID | None


class APIKeyCreated(APIKeyRead):
    """`api_key` is shown here once."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {**API_KEY_EXAMPLE, "api_key": "app_live_0V9QjYc…_9fWq…"},
        }
    )

    api_key: str


class JWKS(BaseModel):
    """RFC 7517: the public keys that verify access tokens."""

    keys: list[dict[str, Any]]
