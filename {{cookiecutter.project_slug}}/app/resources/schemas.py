"""The bodies of the resource endpoints."""

from datetime import datetime
from typing import Annotated, Any, Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.core.validation import JsonObject, Name, RequestModel

EXAMPLE: Final[dict[str, JsonValue]] = {"name": "thermostat", "data": {"room": "kitchen", "target": 20.5}}

ResourceName = Annotated[Name, Field(min_length=1, max_length=200)]


class ResourceCreate(RequestModel):
    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    name: ResourceName
    data: JsonObject = Field(default_factory=dict)


class ResourceUpdate(RequestModel):
    """Fields left out stay as they are; `data` is replaced whole."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": {"room": "kitchen", "target": 19}}})

    name: ResourceName | None = None
    data: JsonObject | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.name is None and self.data is None:
            raise ValueError("send `name`, `data` or both")
        return self


class ResourceRead(BaseModel):
    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": "019ab2c4-8d5e-7c31-9f0a-2b1c3d4e5f60",
                **EXAMPLE,
                "owner_id": "019ab2c4-1111-7c31-9f0a-2b1c3d4e5f60",
                "version": 1,
                "created_at": "2026-11-23T09:30:00Z",
                "updated_at": "2026-11-23T09:30:00Z",
            }
        },
    )

    id: UUID
    name: str
    data: dict[str, Any]
    owner_id: UUID | None
    version: int
    created_at: datetime
    updated_at: datetime
