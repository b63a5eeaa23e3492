"""What the API shows of a person, and what of it can be changed."""

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, model_validator

from app.access import RoleName
from app.core.validation import RequestModel


class UserRead(BaseModel):
    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": "019ab2c4-8d5e-7c31-9f0a-2b1c3d4e5f60",
                "email": "ada@acme.test",
                "full_name": "Ada Lovelace",
                "role": "admin",
                "state": "active",
                "last_login_at": "2026-11-23T09:30:00Z",
                "version": 1,
                "created_at": "2026-11-01T12:00:00Z",
            }
        },
    )

    id: UUID
    email: str
    full_name: str
    role: str
    state: str
    last_login_at: datetime | None
    version: int
    created_at: datetime


class UserUpdate(RequestModel):
    """What is left out stays as it is. Who is disabled is logged out, and cannot log in."""

    model_config = ConfigDict(json_schema_extra={"example": {"role": "developer"}})

    role: RoleName | None = None
    state: Literal["active", "disabled"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.role is None and self.state is None:
            raise ValueError("send `role`, `state` or both")
        return self
