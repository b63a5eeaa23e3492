"""Sends every transaction to one tenant, or refuses to begin it.

The role and the search path travel in the same message as BEGIN, so routing costs no round trip, and they
are LOCAL to the transaction, so nothing is left on a pooled connection. asyncpg runs a parameterless
`execute` through the simple query protocol, which accepts several statements; `RoutedConnection` relies on
BEGIN arriving that way, and tests/core/test_routing.py holds asyncpg and SQLAlchemy to it.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import asyncpg
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

SCHEMA_PATTERN: Final = re.compile(r"t_[0-9a-f]{32}")
PLATFORM_SCHEMA: Final = "platform"
ROUTE_OPTION: Final = "route"


class RoutingError(RuntimeError):
    """A transaction was about to begin without a valid route; nothing reached the database."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a transaction goes. `statements` follow BEGIN in the same message."""

    name: str
    statements: str


PLATFORM: Final = Route(PLATFORM_SCHEMA, f"SET LOCAL search_path TO {PLATFORM_SCHEMA}, pg_temp;")


def tenant_route(schema: str) -> Route:
    """The route into one tenant's schema, under that tenant's role.

    `pg_temp` stands last so that no temporary table shadows a tenant's table. Raises RoutingError unless
    the name is one that this service makes, because it is written into SQL.
    """
    if not SCHEMA_PATTERN.fullmatch(schema):
        raise RoutingError(f"not a tenant schema: {schema!r}")
    return Route(schema, f"SET LOCAL ROLE {schema}; SET LOCAL search_path TO {schema}, pg_temp;")


class RoutedConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """An asyncpg connection that cannot begin a transaction without a route."""

    __slots__ = ("enforced", "limits", "route")

    # Set once SQLAlchemy has asked the server its version, which it does in a transaction of its own.
    enforced: bool
    # Statements that hold for every transaction, whatever its route.
    limits: str
    route: Route | None

    def forgo_set_config(self) -> None:
        """Look up an unknown type without `set_config`, which asyncpg calls to switch JIT off meanwhile.

        No tenant may call that function (app/core/provisioning.py), and JIT is off anyway.
        """
        self._server_caps = self._server_caps._replace(jit=False)  # type: ignore[misc, has-type]

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """As asyncpg's, with the pending route appended to BEGIN.

        When that message fails or is cancelled the session's state is unknown and asyncpg still believes
        in its transaction, so the connection is ended rather than returned to the pool.
        """
        if args or not query.startswith("BEGIN") or not getattr(self, "enforced", False):
            return str(await super().execute(query, *args, timeout=timeout))
        route, self.route = self.route, None
        if route is None:
            self.terminate()
            raise RoutingError("a transaction began without a route")
        try:
            return str(await super().execute(f"{query} {route.statements}{self.limits}", timeout=timeout))
        except BaseException:
            self.terminate()
            raise


def enforce_routing(engine: AsyncEngine, *, limits: str = "") -> None:
    """Make every transaction of `engine` carry the route of its execution options, or fail closed.

    `limits` are SET LOCAL statements that travel with it.
    """
    event.listen(engine.sync_engine, "connect", partial(_enforce, limits))
    event.listen(engine.sync_engine, "begin", _stash_route)
    event.listen(engine.sync_engine, "checkout", _refuse_closed_connection)


def _enforce(limits: str, dbapi_connection: DBAPIConnection, _record: object) -> None:
    driver_connection = getattr(dbapi_connection, "driver_connection", None)
    # Not isinstance: asyncpg answers yes there for any connection of its own.
    if driver_connection is None or RoutedConnection not in type(driver_connection).__mro__:
        raise RoutingError("the engine was not made with RoutedConnection")
    driver_connection.forgo_set_config()
    driver_connection.limits = limits
    driver_connection.route = None
    driver_connection.enforced = True


def _stash_route(connection: Connection) -> None:
    dbapi_connection = connection.connection.dbapi_connection
    driver_connection = connection.connection.driver_connection
    route = connection.get_execution_options().get(ROUTE_OPTION)
    if not isinstance(route, Route):
        raise RoutingError("a transaction needs a tenant or the platform; use Database.tenant or .platform")
    # In AUTOCOMMIT there is no transaction for SET LOCAL to be local to.
    if getattr(dbapi_connection, "isolation_level", None) == "autocommit":
        raise RoutingError("AUTOCOMMIT cannot be routed to a tenant")
    if driver_connection is None:
        raise RoutingError("the connection is closed")
    driver_connection.route = route


def _refuse_closed_connection(dbapi_connection: DBAPIConnection, _record: object, _proxy: object) -> None:
    """Replace a connection that is known to be dead, without the round trip of a ping."""
    driver_connection = getattr(dbapi_connection, "driver_connection", None)
    if driver_connection is not None and driver_connection.is_closed():
        raise DisconnectionError("the server closed this connection")
