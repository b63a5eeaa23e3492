"""Requests that a client may repeat without doing twice what they do (`Idempotency-Key`).

As draft-ietf-httpapi-idempotency-key-header has it: the key is the client's own, and the answer is kept in
the transaction that did what was asked, so there is never one without the other. Refusals undo the
transaction, so they are not kept: the repeated request is judged anew. What is kept is sealed with the key
itself, of which only a digest is stored: an answer may hold what is shown once.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import CheckConstraint, Index, SmallInteger, and_, delete, func, literal, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column
from starlette.requests import Request
from starlette.responses import Response

from app.core.context import Principal, TenantRef
from app.core.database import TenantBase, utc_now
from app.core.errors import BadRequest, Conflict, Unprocessable

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
MAX_LENGTH: Final = 255
KEY_PATTERN: Final = re.compile(rf"[!-~]{{1,{MAX_LENGTH}}}")
KEPT_FOR: Final = timedelta(hours=24)
# Each request with a key removes so many of those that are old: more than it adds.
SWEPT_AT_ONCE: Final = 20
KEPT_HEADERS: Final = ("content-type", "location", "etag", "cache-control")
NONCE_BYTES: Final = 12
_PENDING: Final = "idempotent_request"


class InvalidIdempotencyKey(BadRequest):
    slug = "invalid-idempotency-key"
    title = f"{HEADER} holds 1 to {MAX_LENGTH} visible ASCII characters"


class IdempotencyKeyInUse(Conflict):
    slug = "idempotency-key-in-use"
    title = f"A request with this {HEADER} is under way"


class IdempotencyKeyReused(Unprocessable):
    slug = "idempotency-key-reused"
    title = f"This {HEADER} was sent with another request"


class IdempotencyKey(TenantBase):
    """A request of one principal, and what it was answered: written in the transaction of its effects."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("octet_length(key_hash) = 32", name="key_hash_is_sha256"),
        CheckConstraint("octet_length(request_hash) = 32", name="request_hash_is_sha256"),
        Index("ix_idempotency_keys_created_at", "created_at"),
    )

    principal_id: Mapped[UUID] = mapped_column(primary_key=True)
    key_hash: Mapped[bytes] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, Any]]
    sealed_body: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Replay(Exception):
    """No error: ends a request whose answer is known."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request that is being answered for the first time."""

    session: AsyncSession
    principal_id: UUID
    key_hash: bytes
    request_hash: bytes
    seal: AESGCM


class IdempotentRequests:
    """Keeps the answers of requests with a key for a day."""

    def __init__(self, secret_key: str) -> None:
        self._secret = hmac.digest(secret_key.encode(), b"answers of idempotent requests", "sha256")

    async def begin(
        self, session: AsyncSession, request: Request, tenant: TenantRef, principal: Principal
    ) -> None:
        """As the first thing of its transaction. Raises Replay when it was answered before;
        InvalidIdempotencyKey, IdempotencyKeyInUse, IdempotencyKeyReused.
        """
        key = request.headers.get(HEADER)
        if key is None or request.method != "POST":
            return
        if not KEY_PATTERN.fullmatch(key):
            raise InvalidIdempotencyKey
        owner = tenant.id.bytes + principal.subject.bytes
        pending = _Pending(
            session,
            principal.subject,
            hmac.digest(self._secret, b"name" + owner + key.encode(), "sha256"),
            await _request_hash(request),
            AESGCM(hmac.digest(self._secret, b"seal" + owner + key.encode(), "sha256")),
        )
        await _lock(pending)
        kept = await _kept(pending)
        if kept is not None:
            raise Replay(kept)
        request.scope["state"][_PENDING] = pending


async def keep_answer(request: Request, response: Response) -> None:
    """Keep the answer of a request that began with a key, before its transaction is committed."""
    pending: _Pending | None = request.scope["state"].pop(_PENDING, None)
    if pending is None:
        return
    nonce = secrets.token_bytes(NONCE_BYTES)
    values = {
        "request_hash": pending.request_hash,
        "status": response.status_code,
        "headers": {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers},
        "sealed_body": nonce + pending.seal.encrypt(nonce, bytes(response.body), pending.request_hash),
    }
    await pending.session.execute(
        insert(IdempotencyKey).values(
            principal_id=pending.principal_id, key_hash=pending.key_hash, created_at=utc_now(), **values
        )
    )


async def _lock(pending: _Pending) -> None:
    """Held until the transaction ends. Raises IdempotencyKeyInUse."""
    name = func.current_schema() + literal(".idempotency." + pending.key_hash.hex())
    if not await pending.session.scalar(
        select(func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0)))
    ):
        raise IdempotencyKeyInUse("Try again in a moment.", headers={"Retry-After": "1"})


async def _kept(pending: _Pending) -> Response | None:
    """The answer that was given before, once those that are too old are gone. Raises IdempotencyKeyReused."""
    oldest = utc_now() - KEPT_FOR
    old = select(IdempotencyKey.principal_id, IdempotencyKey.key_hash).where(
        IdempotencyKey.created_at < oldest
    )
    identity = tuple_(IdempotencyKey.principal_id, IdempotencyKey.key_hash)
    await pending.session.execute(
        delete(IdempotencyKey).where(
            or_(
                identity.in_(old.limit(SWEPT_AT_ONCE).with_for_update(skip_locked=True)),
                and_(
                    IdempotencyKey.principal_id == pending.principal_id,
                    IdempotencyKey.key_hash == pending.key_hash,
                    IdempotencyKey.created_at < oldest,
                ),
            )
        )
    )
    row = await pending.session.get(IdempotencyKey, (pending.principal_id, pending.key_hash))
    if row is None:
        return None
    if not hmac.compare_digest(row.request_hash, pending.request_hash):
        raise IdempotencyKeyReused("Send another key with another request.")
    nonce, sealed = row.sealed_body[:NONCE_BYTES], row.sealed_body[NONCE_BYTES:]
    body = pending.seal.decrypt(nonce, sealed, row.request_hash)
    return Response(body, row.status, headers={**row.headers, REPLAYED: "true"})


async def _request_hash(request: Request) -> bytes:
    target = f"{request.method} {request.scope['path']}?".encode() + request.scope.get("query_string", b"")
    return hashlib.sha256(hashlib.sha256(target).digest() + await request.body()).digest()
