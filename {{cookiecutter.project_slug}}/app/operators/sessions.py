"""Operators log in, and each of their requests asks the database whether they still may."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.errors import InvalidAccessToken
from app.auth.passwords import PasswordHasher
from app.auth.tokens import InvalidToken, RejectionReason
from app.core.context import OperatorRef
from app.core.database import Database, utc_now
from app.operators.errors import InvalidOperatorCredentials
from app.operators.models import Operator, OperatorState
from app.operators.tokens import OperatorTokenCodec
from app.operators.trail import record_action
from app.users.service import normalize_email

LOGIN: Final = "operators:log_in"
LOGIN_REFUSED: Final = "operators:refuse_login"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OperatorToken:
    access_token: str
    expires_in: int


class OperatorSessions:
    """The login service of operators. No connection is held while a password is being hashed."""

    def __init__(
        self,
        *,
        database: Database,
        hasher: PasswordHasher,
        codec: OperatorTokenCodec,
        ttl_seconds: int,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._codec = codec
        self._ttl_seconds = ttl_seconds

    async def log_in(self, email: str, password: str, *, correlation_id: str | None) -> OperatorToken:
        """Raises InvalidOperatorCredentials, after the same work, whatever did not match."""
        email = normalize_email(email)
        async with self._database.platform() as session:
            operator: Operator | None = await session.scalar(select(Operator).where(Operator.email == email))
        usable = operator is not None and operator.state == OperatorState.ACTIVE
        stored = operator.password_hash if operator is not None and usable else None
        result = await self._hasher.verify(password, stored)
        async with self._database.platform() as session:
            accepted = (
                operator is not None
                and result.valid
                and await self._accept(session, operator, correlation_id)
            )
            if not accepted:
                # An unknown email may be a password typed into the wrong field, so it is not kept.
                target = str(operator.id) if operator is not None else None
                await record_action(session, LOGIN_REFUSED, target=target, correlation_id=correlation_id)
        # Refused after the block, so that the row of the trail is committed.
        if operator is None or not accepted:
            log.info("operator_login_refused", known=operator is not None)
            raise InvalidOperatorCredentials
        return OperatorToken(self._codec.issue(operator.id, operator.epoch), self._ttl_seconds)

    async def authenticate(self, token: str) -> OperatorRef:
        """The operator of a token. Raises InvalidAccessToken."""
        try:
            claims = self._codec.verify(token, datetime.now(UTC))
        except InvalidToken as error:
            expired = error.reason is RejectionReason.EXPIRED
            raise _invalid("It has expired; log in again." if expired else None) from None
        operator = await self.confirm(claims.operator_id, claims.epoch)
        if operator is None:
            raise _invalid("The operator is disabled, or has a new password.")
        return operator

    async def confirm(self, operator_id: UUID, epoch: int) -> OperatorRef | None:
        """The operator, unless disabled or given a new epoch. Asks the database each time."""
        query = select(Operator.id, Operator.email, Operator.epoch).where(
            Operator.id == operator_id, Operator.state == OperatorState.ACTIVE, Operator.epoch == epoch
        )
        async with self._database.platform() as session:
            row = (await session.execute(query)).one_or_none()
        return None if row is None else OperatorRef(row.id, row.email, row.epoch)

    async def _accept(self, session: AsyncSession, operator: Operator, correlation_id: str | None) -> bool:
        """Note the login. False when the operator changed while the password was being checked."""
        updated = await session.scalar(
            update(Operator)
            .where(
                Operator.id == operator.id,
                Operator.state == OperatorState.ACTIVE,
                Operator.epoch == operator.epoch,
            )
            .values(last_login_at=utc_now())
            .returning(Operator.id)
        )
        if updated is None:
            return False
        await record_action(session, LOGIN, operator_id=operator.id, correlation_id=correlation_id)
        return True


def _invalid(detail: str | None) -> InvalidAccessToken:
    return InvalidAccessToken(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
