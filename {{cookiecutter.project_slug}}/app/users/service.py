"""The people of one tenant: look up, list, create, and what the login needs to know."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import utc_now
from app.core.ids import new_id
from app.core.pagination import CursorCodec, PageRequest, fetch_page
from app.users.errors import EmailTaken, UserNotFound
from app.users.models import User, UserState


@dataclass(frozen=True, slots=True)
class LoginCredentials:
    id: UUID
    role: str
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class ActiveUser:
    id: UUID
    role: str


@dataclass(frozen=True, slots=True)
class Account:
    email: str
    full_name: str
    password_hash: str | None


def normalize_email(email: str) -> str:
    """The form in which an email is stored and compared."""
    return email.strip().lower()


async def find_credentials(session: AsyncSession, email: str) -> LoginCredentials | None:
    """What logging in needs of an active user."""
    row = (
        await session.execute(
            select(User.id, User.role, User.password_hash).where(
                User.email == normalize_email(email), User.state == UserState.ACTIVE
            )
        )
    ).one_or_none()
    return None if row is None else LoginCredentials(row.id, row.role, row.password_hash)


async def record_login(session: AsyncSession, credentials: LoginCredentials, *, new_hash: str | None) -> bool:
    """Note the time, and the stronger hash if there is one. False when the user changed meanwhile."""
    values: dict[str, object] = {"last_login_at": utc_now()}
    if new_hash is not None:
        values["password_hash"] = new_hash
    updated = await session.scalar(
        update(User)
        .where(
            User.id == credentials.id,
            User.state == UserState.ACTIVE,
            User.password_hash == credentials.password_hash,
        )
        .values(**values)
        .returning(User.id)
    )
    return updated is not None


async def find_active(session: AsyncSession, user_id: UUID) -> ActiveUser | None:
    """The user, unless disabled or gone."""
    query = select(User.id, User.role).where(User.id == user_id, User.state == UserState.ACTIVE)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else ActiveUser(row.id, row.role)


async def find_active_by_email(session: AsyncSession, email: str) -> ActiveUser | None:
    """The user, unless disabled or gone."""
    query = select(User.id, User.role).where(
        User.email == normalize_email(email), User.state == UserState.ACTIVE
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else ActiveUser(row.id, row.role)


async def get_user(session: AsyncSession, user_id: UUID) -> User:
    """Raises UserNotFound."""
    user = await session.get(User, user_id)
    if user is None:
        raise UserNotFound
    return user


async def list_users(
    session: AsyncSession, request: PageRequest, *, cursors: CursorCodec, tenant_id: UUID
) -> tuple[Sequence[User], str | None]:
    """Newest first."""
    return await fetch_page(
        session, select(User), User, request, cursors=cursors, tenant_id=tenant_id, collection="users"
    )


async def create_user(
    session: AsyncSession, *, email: str, role: str, password_hash: str, full_name: str = ""
) -> User:
    """Raises EmailTaken. The caller hashes the password, off the event loop."""
    user = User(email=normalize_email(email), role=role, password_hash=password_hash, full_name=full_name)
    try:
        # A savepoint, so that the caller's transaction outlives the refusal.
        async with session.begin_nested():
            session.add(user)
    except IntegrityError as error:
        if "uq_users_email" in str(error.orig):
            raise EmailTaken from error
        raise
    return user


async def put_user(session: AsyncSession, *, email: str, role: str, password_hash: str) -> ActiveUser:
    """Create a user, or give the one with this email the role and the password."""
    values = {"role": role, "password_hash": password_hash, "state": UserState.ACTIVE}
    statement = insert(User).values(id=new_id(), email=normalize_email(email), **values)
    user_id = await session.scalar(
        statement.on_conflict_do_update(index_elements=["email"], set_=values).returning(User.id)
    )
    if user_id is None:
        raise UserNotFound
    return ActiveUser(user_id, role)


async def find_id(session: AsyncSession, email: str, *, role: str) -> UUID | None:
    """The user with this role, disabled or not."""
    query = select(User.id).where(User.email == normalize_email(email), User.role == role)
    user_id: UUID | None = await session.scalar(query)
    return user_id


async def find_account(session: AsyncSession, user_id: UUID) -> Account | None:
    """What changing the password needs of an active user."""
    query = select(User.email, User.full_name, User.password_hash).where(
        User.id == user_id, User.state == UserState.ACTIVE
    )
    row = (await session.execute(query)).one_or_none()
    return None if row is None else Account(row.email, row.full_name, row.password_hash)


async def replace_password(session: AsyncSession, user_id: UUID, *, old_hash: str, new_hash: str) -> bool:
    """False when the user has another password by now, or is not active. Whoever logs in meanwhile waits."""
    replaced = await session.scalar(
        update(User)
        .where(User.id == user_id, User.state == UserState.ACTIVE, User.password_hash == old_hash)
        .values(password_hash=new_hash)
        .returning(User.id)
    )
    return replaced is not None


async def set_password(session: AsyncSession, user_id: UUID, *, password_hash: str) -> None:
    """Replace the password of a user, who is then active."""
    await session.execute(
        update(User).where(User.id == user_id).values(password_hash=password_hash, state=UserState.ACTIVE)
    )
