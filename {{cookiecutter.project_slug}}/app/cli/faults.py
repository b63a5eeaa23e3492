"""What a person can mend, in one line."""

from typing import Final

from asyncpg import InterfaceError, InvalidAuthorizationSpecificationError, PostgresError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.auth.key_ring import KeyRingError
from app.core.errors import AppError
from app.core.problems import is_outage, root_cause
from app.core.settings import SettingsError

MENDABLE: Final = (
    AppError,
    SettingsError,
    KeyRingError,
    SQLAlchemyError,
    PostgresError,
    InterfaceError,
    RedisError,
    OSError,
)


def in_one_line(error: Exception) -> str:
    """What is wrong; of a database the kind only, since its messages repeat statements and values."""
    if isinstance(error, AppError):
        return f"{error.title}: {error.detail}" if error.detail else error.title
    if isinstance(error, SettingsError | KeyRingError):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    cause = root_cause(error)
    kind = type(cause).__name__
    if is_outage(error) and not isinstance(cause, InvalidAuthorizationSpecificationError):
        return f"PostgreSQL or Redis did not answer ({kind}); does it run, and are the URLs right?"
    return f"PostgreSQL refused ({kind}); its own log says why"
