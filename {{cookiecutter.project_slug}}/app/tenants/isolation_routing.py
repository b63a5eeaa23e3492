"""The two ways of reaching a tenant that the isolation proof compares: the service's own, and a naive one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app.core.database import Database, async_url, pooler_arguments
from app.core.routing import tenant_route
from app.core.settings import Pooler

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]

POOL_TIMEOUT_SECONDS = 60.0
FORGET_ROUNDS = 3


class Routing(Protocol):
    """A pool, and how a request on it reaches its tenant."""

    @property
    def takes_role(self) -> bool:
        """Whether a transaction runs under the tenant's own role."""

    def request(self, schema: str) -> AbstractAsyncContextManager[Transaction]:
        """Serve one request of a tenant, which may begin several transactions one after the other."""

    async def close(self) -> None:
        """Close the pool."""


class ServiceRouting:
    """As every request of the service: each transaction takes role and search path with its BEGIN."""

    takes_role = True

    def __init__(self, url: str, *, pool_size: int, pooler: Pooler) -> None:
        self._database = Database(
            url, pool_size=pool_size, pool_timeout_seconds=POOL_TIMEOUT_SECONDS, pooler=pooler
        )

    @asynccontextmanager
    async def request(self, schema: str) -> AsyncIterator[Transaction]:
        yield partial(self._database.tenant, schema)

    async def close(self) -> None:
        await self._database.close()


class NaiveRouting:
    """The control: `SET search_path` once per request, for the session, under the shared login.

    It looks right in every test with one request at a time. But the next transaction may get another
    connection, with the path of another tenant's request. It must leak.
    """

    takes_role = False

    def __init__(self, url: str, *, pool_size: int, pooler: Pooler) -> None:
        self._pool_size = pool_size
        self._pooler = pooler
        self._engine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            connect_args=pooler_arguments(pooler, {}),
        )

    @asynccontextmanager
    async def request(self, schema: str) -> AsyncIterator[Transaction]:
        async with AsyncSession(self._engine, expire_on_commit=False) as session:
            await session.execute(text(f"SET search_path TO {tenant_route(schema).name}"))
            await session.commit()
            yield partial(self._transaction, session)

    async def close(self) -> None:
        if self._pooler is not Pooler.NONE:
            await self._forget_paths()
        await self._engine.dispose()

    async def _forget_paths(self) -> None:
        """The pooler keeps its server connections, and with them what was set there: the very leak.

        Short transactions at the same time reach as many of these connections as the requests did.
        """
        for _ in range(FORGET_ROUNDS):
            await asyncio.gather(*(self._forget_path() for _ in range(self._pool_size)))

    async def _forget_path(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(text("RESET search_path"))
            await connection.execute(text("SELECT pg_sleep(0.02)"))

    @asynccontextmanager
    async def _transaction(self, session: AsyncSession) -> AsyncIterator[AsyncSession]:
        try:
            yield session
        except BaseException:
            await session.rollback()
            raise
        await session.commit()
