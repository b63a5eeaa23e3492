"""The parameters and answers of the audit endpoints."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    field_serializer,
    model_validator,
)

from app.audit.service import ActorKind, AuditFilter
from app.core.pagination import MAX_CURSOR_LENGTH, PageRequest
from app.core.validation import Text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a moment that UTC can name") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class AuditQuery(BaseModel):
    """Every filter that is given must hold."""

    limit: int = Field(20, ge=1, le=100, description="Items per page.")
    cursor: str | None = Field(
        None, max_length=MAX_CURSOR_LENGTH, description="`next_cursor` of the page before."
    )
    actor_kind: ActorKind | None = None
    actor_id: UUID | None = Field(None, description="The user, API key or operator.")
    action: str | None = Field(
        None,
        max_length=128,
        pattern=r"^[a-z][a-z_]*[.:](\*|[a-z][a-z_]*)$",
        description="As in `resources.update`, or `resources.*` for all that begin so.",
    )
    target_kind: str | None = Field(None, max_length=64, pattern=r"^[a-z][a-z_]*$")
    target_id: Annotated[Text, Field(max_length=200)] | None = Field(
        None, description="Goes with `target_kind`."
    )
    since: Moment | None = Field(
        None, alias="from", description="The first moment, with its offset: 2026-11-23T09:30:00Z."
    )
    until: Moment | None = Field(None, alias="to", description="The first moment that is out again.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.target_id is not None and self.target_kind is None:
            raise ValueError("send `target_kind` with `target_id`")
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("`from` must be before `to`")
        return self

    @property
    def page(self) -> PageRequest:
        return PageRequest(self.limit, self.cursor)

    @property
    def filter(self) -> AuditFilter:
        return AuditFilter(**self.model_dump(exclude={"limit", "cursor"}))


class AuditEntryRead(BaseModel):
    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "sequence": 42,
                "occurred_at": "2026-11-23T09:30:00Z",
                "actor_kind": "user",
                "actor_id": "019ab2c4-1111-7c31-9f0a-2b1c3d4e5f60",
                "action": "resources.update",
                "target_kind": "resource",
                "target_id": "019ab2c4-8d5e-7c31-9f0a-2b1c3d4e5f60",
                "correlation_id": "6f1f7c4e0b1a4f5e9d7c2a3b4c5d6e7f",
                "details": {"before": {"name": "thermostat"}, "after": {"name": "heating"}},
                "previous_hash": "9f" * 32,
                "hash": "3c" * 32,
            }
        },
    )

    sequence: int
    occurred_at: datetime
    actor_kind: ActorKind
    actor_id: UUID | None
    action: str
    target_kind: str
    target_id: str | None
    correlation_id: str | None
    details: dict[str, Any]
    previous_hash: bytes
    hash: bytes

    @field_serializer("previous_hash", "hash")
    def _hex(self, digest: bytes) -> str:
        return digest.hex()
