"""The databases that tenants live on, as the logins that own them."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.citus import is_citus, refuse_unready
from app.core.context import DEFAULT_PLACEMENT
from app.core.database import NoMigrationDatabase, owner_engine
from app.core.settings import Settings
from app.tenants.errors import InvalidTenant

MAX_LISTED: Final = 20


class OwnerDatabases:
    """One small pool per placement, connected on first use. Close it when done.

    The registry is on the default placement; a tenant's schema and role are on its own.
    """

    def __init__(self, urls: Mapping[str, str], *, pool_size: int) -> None:
        self._engines = {name: owner_engine(url, pool_size=pool_size) for name, url in urls.items()}
        self._ready: set[str] = set()

    @classmethod
    def from_settings(cls, settings: Settings) -> "OwnerDatabases":
        """Those that this process has the owner's URL of; none is needed to serve requests."""
        return cls(settings.owner_urls, pool_size=settings.owner_pool_size)

    @property
    def registry(self) -> AsyncEngine:
        """The database of the registry. Raises NoMigrationDatabase."""
        try:
            return self._engines[DEFAULT_PLACEMENT]
        except KeyError:
            raise NoMigrationDatabase from None

    def of(self, placement: str) -> AsyncEngine:
        """The database of a placement. Raises InvalidTenant for one that this process cannot change."""
        if placement not in self._engines:
            known = ", ".join(sorted(self._engines)[:MAX_LISTED]) or "none"
            raise InvalidTenant(
                f"placement: {placement!r} has no owner's URL here (APP_PLACEMENTS); known: {known}."
            )
        return self._engines[placement]

    async def refuse_unready(self, placement: str) -> None:
        """Look once whether tenants can be made there. Raises InvalidTenant, ClusterNotReady."""
        engine = self.of(placement)
        if placement in self._ready:
            return
        async with engine.connect() as connection:
            if await is_citus(connection):
                await refuse_unready(connection)
        self._ready.add(placement)

    async def close(self) -> None:
        """Close every pool."""
        for engine in self._engines.values():
            await engine.dispose()
