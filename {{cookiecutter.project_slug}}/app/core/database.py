"""The connection pool, the sessions bound to one tenant or to the platform, and the two model bases."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import DateTime, MetaData, make_url
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import NullPool

from app.core.context import TenantRef
from app.core.errors import ServiceUnavailable
from app.core.pools import BudgetedPool, ConnectionBudget
from app.core.routing import (
    PLATFORM,
    PLATFORM_SCHEMA,
    ROUTE_OPTION,
    Route,
    RoutedConnection,
    enforce_routing,
    tenant_route,
)
from app.core.settings import Pooler

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
# insufficient_privilege, invalid_schema_name, undefined_table, "role does not exist" of SET ROLE; and the two
# with which a login is refused whose role lost it (28000) or is gone (28P01).
_ROUTE_IS_GONE: Final = frozenset({"42501", "3F000", "42P01", "22023", "28000", "28P01"})
COLUMN_TYPES: dict[Any, Any] = {
    datetime: DateTime(timezone=True),
    dict[str, Any]: JSONB(none_as_null=True),
    list[Any]: JSONB(none_as_null=True),
}
IDLE_IN_TRANSACTION_TIMEOUT = "60s"
_ON_COMMIT: Final = "on_commit"
_RECORDED: Final = "recorded"
# More pools than this are not kept without a connection: what an engine has compiled takes memory.
MAX_DEDICATED_POOLS: Final = 256


class UnknownPlacement(ServiceUnavailable):
    slug = "unknown-placement"
    title = "The database of this tenant is not known to this process"


class NoMigrationDatabase(ServiceUnavailable):
    slug = "no-migration-database"
    title = "APP_MIGRATION_DATABASE_URL is not set: this needs the login that owns the database"


class TenantChanged(ServiceUnavailable):
    slug = "tenant-changed"
    title = "The tenant was changed while this request was under way"

    def __init__(self) -> None:
        super().__init__("Try again in a moment.", headers={"Retry-After": "1"})


class PlatformBase(DeclarativeBase):
    """Tables shared by all tenants, in the schema `platform`."""

    metadata = MetaData(schema=PLATFORM_SCHEMA, naming_convention=NAMING_CONVENTION)
    type_annotation_map = COLUMN_TYPES


class TenantBase(DeclarativeBase):
    """Tables that each tenant has its own copy of; unqualified, found through the search path."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = COLUMN_TYPES


class Database:
    """One pool for all tenants. Every session is one transaction, committed on leaving the block."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 16,
        pool_timeout_seconds: float = 10.0,
        statement_timeout_seconds: int = 15,
        pooler: Pooler = Pooler.NONE,
        budget: ConnectionBudget | None = None,
    ) -> None:
        """With a `budget` the pool shares its bound with all others that were given it."""
        limits = {
            "statement_timeout": f"{statement_timeout_seconds}s",
            "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT,
        }
        # A pooler's server connection is not this session's to configure, so there they go with each BEGIN.
        session_limits, local_limits = (limits, {}) if pooler is Pooler.NONE else ({}, limits)
        pooling: dict[str, Any] = (
            {"max_overflow": 0} if budget is None else {"poolclass": BudgetedPool, "budget": budget}
        )
        self._engine = create_async_engine(
            async_url(url),
            **pooling,
            pool_size=pool_size,
            pool_timeout=pool_timeout_seconds,
            pool_recycle=1800,
            hide_parameters=True,
            json_serializer=_dump_json,
            json_deserializer=orjson.loads,
            connect_args={
                "connection_class": RoutedConnection,
                "timeout": 5,
                "command_timeout": statement_timeout_seconds + 5,
                **pooler_arguments(pooler, session_limits),
            },
        )
        enforce_routing(
            self._engine,
            limits="".join(f" SET LOCAL {name} = '{value}';" for name, value in local_limits.items()),
        )

    @property
    def engine(self) -> AsyncEngine:
        """The engine without a route: it can connect, but any transaction on it is refused."""
        return self._engine

    @property
    def is_idle(self) -> bool:
        """True when a pool of a budget holds no connection."""
        pool = self._engine.pool
        return isinstance(pool, BudgetedPool) and not pool.open

    @asynccontextmanager
    async def tenant(self, schema: str) -> AsyncIterator[AsyncSession]:
        """One transaction under the role of one tenant. Raises RoutingError for a malformed name."""
        async with self._session(tenant_route(schema)) as session:
            yield session

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[AsyncSession]:
        """One transaction on the shared tables."""
        async with self._session(PLATFORM) as session:
            yield session

    async def close(self) -> None:
        """Close the pool; connections in use are closed when they come back."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _session(self, route: Route) -> AsyncIterator[AsyncSession]:
        engine = self._engine.execution_options(**{ROUTE_OPTION: route})
        async with AsyncSession(engine, expire_on_commit=False) as session:
            async with session.begin():
                yield session
            for tell in session.info.get(_ON_COMMIT, ()):
                await tell()


class TenantDatabases:
    """Where each tenant's transactions go: its placement's pool, or a pool that logs in as the tenant."""

    def __init__(
        self,
        placements: Mapping[str, Database],
        *,
        dedicated: Callable[[TenantRef], Database],
        has_changed: Callable[[TenantRef], Awaitable[bool]],
    ) -> None:
        self._placements = dict(placements)
        self._has_changed = has_changed
        self._make_dedicated = dedicated
        # By schema, then by placement.
        self._dedicated: dict[str, dict[str, Database]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def tenant(self, tenant: TenantRef) -> AsyncIterator[AsyncSession]:
        """One transaction under the role of one tenant. Raises UnknownPlacement, RoutingError.

        Raises TenantChanged when the database refused because the tenant was moved, isolated or purged
        after this copy of it was read.
        """
        try:
            async with self._of(tenant).tenant(tenant.schema) as session:
                yield session
        except DBAPIError as error:
            refused = getattr(error.orig, "sqlstate", None) in _ROUTE_IS_GONE
            # While it moves its tables take no writes, which a copy as new as the move does not explain.
            if refused and (tenant.moving or await self._has_changed(tenant)):
                raise TenantChanged from error
            raise

    def retire(self, schema: str, *, but: str | None) -> None:
        """Close the pools that log in as a tenant, except for that to the placement `but`.

        What is in use there is closed when it comes back. Nobody waits for that.
        """
        pools = self._dedicated.get(schema)
        if pools is None or pools.keys() == {but}:
            return
        for placement in pools.keys() - {but}:
            task = asyncio.get_running_loop().create_task(pools.pop(placement).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        if not pools:
            del self._dedicated[schema]

    async def close(self) -> None:
        """Close every pool."""
        for database in self._placements.values():
            await database.close()
        for schema in list(self._dedicated):
            self.retire(schema, but=None)
        await asyncio.gather(*self._closing)

    def _of(self, tenant: TenantRef) -> Database:
        if not tenant.dedicated:
            try:
                return self._placements[tenant.placement]
            except KeyError:
                raise UnknownPlacement from None
        try:
            return self._dedicated[tenant.schema][tenant.placement]
        except KeyError:
            pass
        database = self._make_dedicated(tenant)
        if len(self._dedicated) >= MAX_DEDICATED_POOLS:
            self._drop_idle()
        self._dedicated.setdefault(tenant.schema, {})[tenant.placement] = database
        return database

    def _drop_idle(self) -> None:
        """Whoever has such a pool in hand can still connect with it, within the same budget."""
        for schema, pools in list(self._dedicated.items()):
            if all(database.is_idle for database in pools.values()):
                del self._dedicated[schema]


def on_commit(session: AsyncSession, tell: Callable[[], Awaitable[None]]) -> None:
    """Call `tell` when the session's transaction is committed, before its block ends; never after a rollback.

    It must not raise: what it would report was done.
    """
    session.info.setdefault(_ON_COMMIT, []).append(tell)


def mark_recorded(executor: AsyncSession | AsyncConnection) -> None:
    """Say that the transaction tells a trail what it changes, or changes nothing."""
    if isinstance(executor, AsyncSession):  # A connection's `info` outlives the transaction.
        executor.info[_RECORDED] = True


def is_recorded(session: AsyncSession) -> bool:
    """Whether somebody said so."""
    return session.info.get(_RECORDED) is True


def pooler_arguments(pooler: Pooler, session_settings: Mapping[str, str]) -> dict[str, Any]:
    """The driver's arguments for what stands before PostgreSQL.

    PgBouncer in transaction mode hands each transaction another server connection: it refuses session
    settings that it cannot carry over, and a named statement would be missing on the next connection, or
    stay behind on the last. So nothing is cached and the unnamed statement serves for all. `search_path`
    stands in the role's own settings there (app/core/provisioning.py).
    """
    carried = {"application_name": "app", "timezone": "UTC"}
    if pooler is Pooler.NONE:
        return {"server_settings": {**carried, "search_path": "pg_catalog", **session_settings}}
    return {
        "server_settings": carried,
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
    }


def owner_engine(url: str, *, pool_size: int = 0) -> AsyncEngine:
    """An unrouted engine for migrations and provisioning, which name their schemas themselves.

    Unpooled unless `pool_size` says how many connections may be kept.
    """
    pooling: dict[str, Any] = (
        {"pool_size": pool_size, "max_overflow": 0} if pool_size else {"poolclass": NullPool}
    )
    return create_async_engine(
        async_url(url),
        **pooling,
        hide_parameters=True,
        connect_args={"timeout": 10, "server_settings": {"application_name": "app-owner"}},
    )


def async_url(url: str) -> str:
    """A libpq-style URL as SQLAlchemy's asyncpg dialect wants it (`sslmode` is spelled `ssl` there)."""
    parsed = make_url(url).set(drivername="postgresql+asyncpg")
    query = dict(parsed.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return parsed.set(query=query).render_as_string(hide_password=False)


def utc_now() -> datetime:
    """The current time, aware and in UTC, as every stored time is."""
    return datetime.now(UTC)


def _dump_json(value: Any) -> str:
    return orjson.dumps(value).decode()
