"""Whether each login reaches each database, is what it should be, and sees the same clock."""

import asyncio
import socket
from collections.abc import Awaitable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar

from asyncpg.exceptions import (
    InvalidAuthorizationSpecificationError,
    InvalidCatalogNameError,
    TooManyConnectionsError,
)
from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError

from app.auth.tokens import LEEWAY
from app.core.database import Database, utc_now
from app.core.problems import root_cause
from app.core.settings import Pooler
from app.doctor.report import Finding, fail, ok, warn
from app.fleet.connections import connected
from app.fleet.errors import PlacementUnavailable

Answer = TypeVar("Answer")
CHECK_SECONDS: Final = 5.0
OLDEST: Final = 15
NOTICEABLE: Final = timedelta(seconds=2)
# A superuser is a member of every role, of the database's owner too.
WHO: Final = """
    SELECT current_setting('server_version_num')::int / 10000 AS major,
           current_setting('server_version') AS version,
           session_user::text AS login, r.rolsuper, r.rolbypassrls, r.rolcreaterole,
           pg_has_role(session_user, d.datdba, 'MEMBER') AS owns,
           clock_timestamp() AS now
      FROM pg_roles r, pg_database d
     WHERE r.rolname = session_user AND d.datname = current_database()
"""


class Login(StrEnum):
    RUNTIME = "runtime"
    OWNER = "owner"


async def look_at_runtime(place: str, url: str, pooler: Pooler) -> list[Finding]:
    """The login that serves: through the service's own pool, in a transaction of its kind."""
    check = f"database {place} ({Login.RUNTIME})"
    if not is_readable(url):
        return [unreadable(check)]
    database = Database(url, pool_size=1, pooler=pooler)

    async def ask() -> tuple[Any, timedelta]:
        async with database.platform() as session:
            asked = utc_now()
            row = (await session.execute(text(WHO))).one()
            return row, skew(row.now, asked, utc_now())

    try:
        row, off = await within(ask())
    except Exception as error:  # noqa: BLE001  # whatever it is, it is what this check is for
        return [unreachable(check, url, error)]
    finally:
        await database.close()
    return [version(check, url, row), rights(place, row), clock(place, off)]


async def look_at_owner(place: str, url: str) -> list[Finding]:
    """The login that migrates."""
    check = f"database {place} ({Login.OWNER})"
    if not is_readable(url):
        return [unreadable(check)]

    async def ask() -> Any:
        async with connected(url, place) as connection:
            return await connection.fetchrow(WHO)

    try:
        row = await within(ask())
    except Exception as error:  # noqa: BLE001  # as above
        return [unreachable(check, url, error)]
    reached = ok(check, f"{where(url)} answers")
    lacking = [
        what
        for what, held in {
            "own the database": row["owns"],
            "create roles": row["rolcreaterole"] or row["rolsuper"],
        }.items()
        if not held
    ]
    if lacking:
        found = f"{row['login']} does not {' and does not '.join(lacking)}"
        return [reached, fail(f"rights of the {Login.OWNER} ({place})", found, "run `app migrate provision`")]
    return [reached]


async def within(asked: Awaitable[Answer]) -> Answer:
    """Raises TimeoutError for a server that takes no notice."""
    async with asyncio.timeout(CHECK_SECONDS):
        return await asked


def version(check: str, url: str, row: Any) -> Finding:
    if row.major < OLDEST:
        return fail(
            check,
            f"{where(url)} is PostgreSQL {row.version}",
            f"upgrade: it must be {OLDEST} or newer",
        )
    return ok(check, f"{where(url)} answers, PostgreSQL {row.version}")


def rights(place: str, row: Any) -> Finding:
    """Whatever this login may, an injected statement may."""
    check = f"rights of the {Login.RUNTIME} ({place})"
    much = [
        what
        for what, held in {
            "is a superuser": row.rolsuper,
            "passes row security by": row.rolbypassrls,
            "may create roles": row.rolcreaterole,
            "owns the database": row.owns,
        }.items()
        if held
    ]
    if much:
        todo = "serve with the login that `app migrate provision` makes"
        return fail(check, f"{row.login} {', '.join(much)}", todo)
    return ok(check, f"{row.login} is no superuser, no owner, and passes no row security by")


def skew(theirs: datetime, asked: datetime, answered: datetime) -> timedelta:
    """By how much the server's clock is ahead of ours, or behind it when negative; the way is not counted."""
    if asked <= theirs <= answered:
        return timedelta(0)
    return theirs - answered if theirs > answered else theirs - asked


def clock(place: str, off: timedelta) -> Finding:
    """Tokens of one machine are checked on others, which allow for a few seconds."""
    check, seconds = f"clock ({place})", f"{abs(off.total_seconds()):.1f} s"
    side = "ahead of" if off > timedelta(0) else "behind"
    found = f"the database is {seconds} {side} this machine"
    if abs(off) > LEEWAY:
        return fail(check, found, "synchronize both with NTP")
    if abs(off) > NOTICEABLE:
        return warn(check, found, "synchronize both with NTP")
    return ok(check, f"within {NOTICEABLE.seconds} s of this machine's")


def unreachable(check: str, url: str, error: Exception) -> Finding:
    """The kind of a fault only: messages of drivers repeat what they were given."""
    cause = error.__cause__ if isinstance(error, PlacementUnavailable) else root_cause(error)
    for kinds, found, todo in REASONS:
        if isinstance(cause, kinds):
            return fail(check, f"{where(url)}: {found}", todo)
    return fail(check, f"{where(url)}: {type(cause).__name__}", "look into the server's log")


RESOLVE: Final = "correct the host in the URL"
START: Final = "start the server, or correct host and port in the URL"
REASONS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, str], ...]] = (
    (TimeoutError, f"no answer in {CHECK_SECONDS:.0f} s", "look at routes, firewalls and security groups"),
    (socket.gaierror, "the host's name is not known", RESOLVE),
    (ConnectionRefusedError, "nothing listens there", START),
    (
        InvalidAuthorizationSpecificationError,
        "the login was refused",
        "correct the password in the URL, or run `app migrate provision`",
    ),
    (InvalidCatalogNameError, "there is no such database", "run `app migrate provision`"),
    (TooManyConnectionsError, "it takes no further connection", "close some, or raise max_connections"),
    (OSError, "the connection failed", START),
)


def is_readable(url: str) -> bool:
    """Not where a part of a password would be taken for the host, which is shown."""
    try:
        return "@" not in (make_url(url).host or "")
    except (ArgumentError, ValueError):
        return False


def unreadable(check: str) -> Finding:
    """A password with an @ in it looks like this."""
    return fail(check, "its URL cannot be read", "percent-encode user and password in it")


def where(url: str) -> str:
    """The URL without its password and options."""
    parsed = make_url(url)
    return (
        f"{parsed.username or ''}@{parsed.host or 'localhost'}:{parsed.port or 5432}/{parsed.database or ''}"
    )
