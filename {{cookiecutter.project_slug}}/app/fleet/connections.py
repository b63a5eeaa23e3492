"""Connections of the owner login, and the lock that lets one migrator work at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from app.core.context import DEFAULT_PLACEMENT
from app.fleet.errors import MigratorBusy, MigratorLockLost, PlacementUnavailable

# Any fixed number: two migrators must not work on the same database at once.
MIGRATION_LOCK: Final = 7_215_303_112
CONNECT_SECONDS: Final = 10.0
WAIT_SECONDS: Final = 0.5
DATABASE_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
SESSION: Final = {
    "application_name": "app-migrate",
    "timezone": "UTC",
    # A migrator that is killed must not leave a statement running behind it.
    "client_connection_check_interval": "1s",
    # The connection that holds the lock is idle for as long as the fleet takes.
    "tcp_keepalives_idle": "60",
}
HOLDER: Final = """
    SELECT a.pid, a.backend_start FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.database = (
               SELECT oid FROM pg_database WHERE datname = current_database())
       AND (l.classid::bigint << 32) | l.objid::bigint = $1
"""

Connection = Any  # asyncpg ships no types.


async def connect(url: str, placement: str) -> Connection:
    """A connection in autocommit. Raises PlacementUnavailable, without the URL and what is in it."""
    try:
        return await asyncpg.connect(
            url, timeout=CONNECT_SECONDS, statement_cache_size=0, server_settings=SESSION
        )
    except DATABASE_ERRORS as error:
        raise PlacementUnavailable(
            f"placement {placement} ({type(error).__name__}); check its URL"
        ) from error


@asynccontextmanager
async def connected(url: str, placement: str) -> AsyncIterator[Connection]:
    """A connection that is closed at the end."""
    connection = await connect(url, placement)
    try:
        yield connection
    finally:
        await close(connection)


async def close(connection: Connection) -> None:
    """Close politely, or at once when the server does not answer."""
    try:
        await connection.close(timeout=CONNECT_SECONDS)
    except DATABASE_ERRORS:
        connection.terminate()


class Link:
    """A worker's connection, opened again when it broke."""

    def __init__(self, url: str, placement: str) -> None:
        self._url = url
        self._placement = placement
        self._connection: Connection = None

    async def get(self) -> Connection:
        """An open connection. Raises PlacementUnavailable."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, self._placement)
        return self._connection

    async def recover(self) -> None:
        """Leave the transaction that failed, or the connection with it."""
        if self._connection is None or self._connection.is_closed():
            return
        try:
            # The transaction was begun within a message, so asyncpg knows nothing of it.
            await self._connection.execute("ROLLBACK")
        except DATABASE_ERRORS:
            self._connection.terminate()

    async def close(self) -> None:
        if self._connection is not None:
            await close(self._connection)


class Registry:
    """The one connection that holds the migration lock and writes the registry, shared by all workers.

    The lock belongs to the session, so it goes when the process does.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    def assert_locked(self) -> None:
        """Raises MigratorLockLost: another migrator may have begun."""
        if self._connection.is_closed():
            raise MigratorLockLost

    async def fetch(self, query: str, *arguments: object) -> list[Any]:
        """Rows of one statement. Raises MigratorLockLost."""
        async with self._turn:
            self.assert_locked()
            try:
                return list(await self._connection.fetch(query, *arguments))
            except (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError) as error:
                raise MigratorLockLost from error


@asynccontextmanager
async def locked_registry(url: str, *, wait: bool) -> AsyncIterator[Registry]:
    """The registry, locked against other migrators. Raises MigratorBusy, or waits when told to.

    Waiting asks again and again: a statement that waits for the lock would hold a snapshot, and the
    concurrent index build of the one who has the lock would wait for that.
    """
    async with connected(url, DEFAULT_PLACEMENT) as connection:
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK):
            if not wait:
                raise MigratorBusy(await _describe_holder(connection))
            await asyncio.sleep(WAIT_SECONDS)
        yield Registry(connection)


async def _describe_holder(connection: Connection) -> str:
    holder = await connection.fetchrow(HOLDER, MIGRATION_LOCK)
    if holder is None:
        return "It has just ended; run this again."
    since = f" since {holder['backend_start']:%Y-%m-%d %H:%M:%S} UTC" if holder["backend_start"] else ""
    return f"It is PostgreSQL process {holder['pid']}{since}. Wait for it, or use --wait."
