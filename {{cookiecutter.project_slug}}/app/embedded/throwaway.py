"""A PostgreSQL that lasts as long as a block: provisioned, at head, deleted at the end."""

import asyncio
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.context import DEFAULT_PLACEMENT
from app.core.provisioning import COMMON_DATABASES, OWNER_ROLE, RUNTIME_ROLE, provision_database
from app.embedded.errors import EmbeddedError
from app.embedded.postgres import remove_postgres, start_postgres
from app.fleet import Fleet

DATABASE: Final = "app"


@dataclass(frozen=True, slots=True)
class ThrowawayDatabase:
    """The same database for each login."""

    superuser_url: str
    owner_url: str
    runtime_url: str


@contextmanager
def throwaway_database() -> Iterator[ThrowawayDatabase]:
    """Make it, lend it, delete it. Call it outside of an event loop. Raises EmbeddedError."""
    owner_password, runtime_password = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    with tempfile.TemporaryDirectory(prefix="throwaway-postgres-") as folder:
        directory = Path(folder) / "postgres"
        try:
            server = start_postgres(directory, durable=False)
            asyncio.run(
                provision_database(
                    server.url("postgres"),
                    database=DATABASE,
                    owner_password=owner_password,
                    runtime_password=runtime_password,
                    close=COMMON_DATABASES,
                )
            )
            database = ThrowawayDatabase(
                server.url(DATABASE),
                server.url(DATABASE, OWNER_ROLE, owner_password),
                server.url(DATABASE, RUNTIME_ROLE, runtime_password),
            )
            report = asyncio.run(Fleet({DEFAULT_PLACEMENT: database.owner_url}).apply())
            if not report.ok:
                raise EmbeddedError("The migrations failed on an empty database.")
            yield database
        finally:
            remove_postgres(directory)
