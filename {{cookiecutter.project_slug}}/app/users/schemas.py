"""What the API shows of a person."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict


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
    created_at: datetime
