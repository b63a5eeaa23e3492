"""The bodies of the tenant endpoints."""

from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.auth.schemas import SLUG_PATTERN, LoginEmail, LoginPassword
from app.core.context import DEFAULT_PLACEMENT
from app.core.validation import Name, RequestModel
from app.tenants.creation import MAX_PER_MINUTE
from app.tenants.models import Isolation, Plan, TenantState

NEW_TENANT: Final[dict[str, JsonValue]] = {
    "name": "Globex",
    "slug": "globex",
    "admin_email": "hank@globex.test",
}
EXAMPLE_ID: Final = "019ab2c4-8d5e-7c31-9f0a-2b1c3d4e5f60"

TenantName = Annotated[Name, Field(min_length=1, max_length=200)]
TenantSlug = Annotated[str, Field(pattern=SLUG_PATTERN)]


class TenantCreate(RequestModel):
    """Without `slug` one is made from the name. `requests_per_minute` stands instead of the plan's."""

    model_config = ConfigDict(json_schema_extra={"example": {**NEW_TENANT, "plan": "pro"}})

    name: TenantName
    slug: TenantSlug | None = None
    admin_email: LoginEmail
    plan: Plan = Plan.FREE
    placement: Annotated[str, Field(max_length=40)] = DEFAULT_PLACEMENT
    requests_per_minute: Annotated[int, Field(ge=1, le=MAX_PER_MINUTE, strict=True)] | None = None


class SignUp(RequestModel):
    """A tenant on the free plan, with the caller as its admin."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "Globex",
                "slug": "globex",
                "email": "hank@globex.test",
                "password": "correct horse battery",
            }
        }
    )

    name: TenantName
    slug: TenantSlug | None = None
    email: LoginEmail
    password: LoginPassword


class TenantUpdate(RequestModel):
    """Fields left out stay as they are."""

    model_config = ConfigDict(json_schema_extra={"example": {"plan": "enterprise"}})

    name: TenantName | None = None
    plan: Plan | None = None
    isolation: Isolation | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if sum(value is not None for value in (self.name, self.plan, self.isolation)) != 1:
            raise ValueError("send one of `name`, `plan` and `isolation`: each is a change of its own")
        return self


class OperationRead(BaseModel):
    """`step` is the next to be done. One that failed can be resumed; so can one whose process is gone."""

    model_config = ConfigDict(from_attributes=True)

    kind: str
    state: str
    step: str | None
    attempts: int
    error: str | None
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class TenantRead(BaseModel):
    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": EXAMPLE_ID,
                "slug": "globex",
                "name": "Globex",
                "state": "active",
                "plan": "pro",
                "placement": "default",
                "isolation": "pooled",
                "revision": "0001",
                "moving_to": None,
                "purge_after": None,
                "created_at": "2026-11-01T12:00:00Z",
                "state_changed_at": "2026-11-01T12:00:00Z",
                "operation": None,
            }
        },
    )

    id: UUID
    slug: str
    name: str
    state: TenantState
    plan: Plan
    placement: str
    isolation: Isolation
    revision: str | None
    moving_to: str | None
    purge_after: datetime | None
    created_at: datetime
    state_changed_at: datetime
    operation: OperationRead | None = None


class TenantCreated(BaseModel):
    """The credentials of the new admin, shown once: only hashes are stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "tenant_id": EXAMPLE_ID,
                "tenant": "globex",
                "email": "hank@globex.test",
                "password": "r8zR…",
                "api_key": "acme_test_0O0X…",
            }
        }
    )

    tenant_id: UUID
    tenant: str
    email: str
    password: str | None
    api_key: str
