"""The databases as a command sees them: with the logins that serve requests."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.context import DEFAULT_PLACEMENT, TenantRef
from app.core.database import Database, UnknownPlacement
from app.core.settings import Settings, load_settings
from app.tenants.isolation import tenant_login_url


def runtime_database() -> Database:
    """One connection of the login that serves requests, through the pooler if there is one."""
    settings = load_settings()
    return _database(settings, settings.database_url.get_secret_value())


class ServingConnections:
    """One connection per placement, and one for as long as it is needed of a dedicated tenant's own login."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._placements = {name: _database(settings, url) for name, url in settings.runtime_urls.items()}

    @asynccontextmanager
    async def tenant(self, tenant: TenantRef) -> AsyncIterator[AsyncSession]:
        """One transaction under the role of a tenant. Raises UnknownPlacement."""
        async with AsyncExitStack() as stack:
            if tenant.placement not in self._placements:
                raise UnknownPlacement
            database = self._placements[tenant.placement]
            if tenant.dedicated:
                database = self._dedicated(tenant)
                stack.push_async_callback(database.close)
            yield await stack.enter_async_context(database.tenant(tenant.schema))

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[AsyncSession]:
        """One transaction on the shared tables."""
        async with self._placements[DEFAULT_PLACEMENT].platform() as session:
            yield session

    async def close(self) -> None:
        """Close every connection."""
        for database in self._placements.values():
            await database.close()

    def _dedicated(self, tenant: TenantRef) -> Database:
        url = self._settings.runtime_urls[tenant.placement]
        secret_key = self._settings.secret_key.get_secret_value()
        return _database(self._settings, tenant_login_url(url, tenant.schema, secret_key))


def _database(settings: Settings, url: str) -> Database:
    return Database(url, pool_size=1, pooler=settings.database_pooler)
