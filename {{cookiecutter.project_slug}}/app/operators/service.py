"""The accounts of operators, kept by the login that owns the database: the service itself makes none."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.auth.passwords import PasswordHasher, WeakPassword, validate_password
from app.core.database import NoMigrationDatabase, owner_engine
from app.core.ids import new_id
from app.core.settings import Settings
from app.operators.errors import InvalidOperator, OperatorExists, OperatorNotFound
from app.operators.models import Operator, OperatorState
from app.operators.trail import record_action
from app.users.service import normalize_email

GENERATED_PASSWORD_BYTES: Final = 18


class OperatorAccounts:
    """Each change is one transaction with its row in the trail."""

    def __init__(self, owner_url: str, *, hasher: PasswordHasher) -> None:
        self._url = owner_url
        self._hasher = hasher

    async def create(self, email: str, password: str) -> UUID:
        """Raises InvalidOperator and OperatorExists."""
        email = _checked_email(email)
        password_hash = await self._hash(email, password)
        query = (
            insert(Operator)
            .values(id=new_id(), email=email, password_hash=password_hash)
            .on_conflict_do_nothing(index_elements=[Operator.email])
            .returning(Operator.id)
        )
        async with self._transaction() as connection:
            operator_id = await connection.scalar(query)
            if operator_id is None:
                raise OperatorExists(
                    f"{email} is one already; `operators reset-password` gives a new password."
                )
            await record_action(
                connection, "operators:create", target=str(operator_id), details={"email": email}
            )
        return operator_id

    async def reset_password(self, email: str, password: str) -> None:
        """Ends the operator's tokens; does not enable one who is disabled.

        Raises InvalidOperator and OperatorNotFound.
        """
        email = normalize_email(email)
        password_hash = await self._hash(email, password)
        async with self._transaction() as connection:
            operator_id = await _change(connection, email, password_hash=password_hash)
            await record_action(connection, "operators:reset_password", target=str(operator_id))

    async def set_state(self, email: str, state: OperatorState) -> None:
        """Ends the operator's tokens. Raises OperatorNotFound."""
        verb = "disable" if state is OperatorState.DISABLED else "enable"
        async with self._transaction() as connection:
            operator_id = await _change(connection, normalize_email(email), state=state)
            await record_action(connection, f"operators:{verb}", target=str(operator_id))

    async def _hash(self, email: str, password: str) -> str:
        try:
            validate_password(password, context=[email])
        except WeakPassword as error:
            raise InvalidOperator(f"The password {error}.") from None
        return await self._hasher.hash(password)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        engine = owner_engine(self._url)
        try:
            async with engine.begin() as connection:
                yield connection
        finally:
            await engine.dispose()


def operator_accounts_from(settings: Settings) -> OperatorAccounts:
    """The accounts as the settings describe them. Raises NoMigrationDatabase."""
    if settings.migration_database_url is None:
        raise NoMigrationDatabase
    hasher = PasswordHasher(rounds=settings.bcrypt_rounds, workers=1)
    return OperatorAccounts(settings.migration_database_url.get_secret_value(), hasher=hasher)


def generate_password() -> str:
    """144 random bits."""
    return secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)


async def list_operators(session: AsyncSession) -> Sequence[Operator]:
    """Oldest first."""
    return (await session.scalars(select(Operator).order_by(Operator.created_at, Operator.id))).all()


async def get_operator(session: AsyncSession, operator_id: UUID) -> Operator:
    """Raises OperatorNotFound."""
    operator = await session.get(Operator, operator_id)
    if operator is None:
        raise OperatorNotFound
    return operator


async def _change(connection: AsyncConnection, email: str, **values: str) -> UUID:
    query = (
        update(Operator)
        .where(Operator.email == email)
        .values(**values, epoch=Operator.epoch + 1)
        .returning(Operator.id)
    )
    operator_id: UUID | None = await connection.scalar(query)
    if operator_id is None:
        raise OperatorNotFound(f"{email} is none; `operators list` shows who is.")
    return operator_id


def _checked_email(email: str) -> str:
    try:
        # `test_environment` lets the reserved domain .test pass, which cannot receive mail anyway.
        checked = validate_email(email.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise InvalidOperator(f"email: {error}") from None
    return normalize_email(checked.normalized)
