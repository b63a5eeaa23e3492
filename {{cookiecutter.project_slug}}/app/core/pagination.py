"""Pages by cursor: signed, bound to one tenant and one collection, stable while rows are added."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Protocol, TypeVar
from uuid import UUID

from fastapi import Query
from itsdangerous import BadData, URLSafeSerializer
from pydantic import BaseModel
from sqlalchemy import Select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import BadRequest

MAX_CURSOR_LENGTH = 400

ItemT = TypeVar("ItemT")


class InvalidCursor(BadRequest):
    slug = "invalid-cursor"
    title = "The cursor is not one that this collection gave out"


class Page(BaseModel, Generic[ItemT]):
    """One page. Send `next_cursor` back as `cursor` for the next; null means that this is the last."""

    items: Sequence[ItemT]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    limit: int
    cursor: str | None


def page_request(
    limit: Annotated[int, Query(ge=1, le=100, description="Items per page.")] = 20,
    cursor: Annotated[
        str | None, Query(max_length=MAX_CURSOR_LENGTH, description="`next_cursor` of the page before.")
    ] = None,
) -> PageRequest:
    """The paging parameters of a list endpoint."""
    return PageRequest(limit, cursor)


class CursorCodec:
    """Signs positions so that a client can neither make one up nor carry one to another tenant."""

    def __init__(self, secret_key: str) -> None:
        self._secret_key = secret_key

    def encode(self, tenant_id: UUID, collection: str, position: tuple[datetime, UUID]) -> str:
        moment, row_id = position
        return str(self._serializer(tenant_id, collection).dumps([moment.isoformat(), row_id.hex]))

    def decode(self, tenant_id: UUID, collection: str, cursor: str) -> tuple[datetime, UUID]:
        """Raises InvalidCursor for anything but a cursor of this tenant and collection."""
        try:
            moment, row_id = self._serializer(tenant_id, collection).loads(cursor)
            return datetime.fromisoformat(moment), UUID(hex=row_id)
        except (BadData, ValueError, TypeError) as error:
            raise InvalidCursor("Start again without `cursor`.") from error

    def encode_sequence(self, collection: str, sequence: int) -> str:
        """A position in a numbered collection of the platform."""
        return str(self._serializer(None, collection).dumps(sequence))

    def decode_sequence(self, collection: str, cursor: str) -> int:
        """Raises InvalidCursor for anything but a cursor of this collection."""
        try:
            return int(self._serializer(None, collection).loads(cursor))
        except (BadData, ValueError, TypeError) as error:
            raise InvalidCursor("Start again without `cursor`.") from error

    def _serializer(self, tenant_id: UUID | None, collection: str) -> URLSafeSerializer:
        owner = tenant_id.hex if tenant_id else "platform"
        return URLSafeSerializer(
            self._secret_key,
            salt=f"cursor:{owner}:{collection}",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )


class _Positioned(Protocol):
    created_at: Any
    id: Any


RowT = TypeVar("RowT", bound=_Positioned)


async def fetch_page(
    session: AsyncSession,
    query: Select[RowT],
    model: type[RowT],
    request: PageRequest,
    *,
    cursors: CursorCodec,
    tenant_id: UUID,
    collection: str,
) -> tuple[Sequence[RowT], str | None]:
    """Newest first by (created_at, id), in one query: a row more than asked tells if a page follows."""
    position = tuple_(model.created_at, model.id)
    if request.cursor is not None:
        query = query.where(position < cursors.decode(tenant_id, collection, request.cursor))
    query = query.order_by(model.created_at.desc(), model.id.desc()).limit(request.limit + 1)
    rows = (await session.scalars(query)).all()
    if len(rows) <= request.limit:
        return rows, None
    page = rows[: request.limit]
    return page, cursors.encode(tenant_id, collection, (page[-1].created_at, page[-1].id))
