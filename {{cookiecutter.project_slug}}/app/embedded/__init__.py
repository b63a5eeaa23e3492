"""PostgreSQL and Valkey for development and tests: from wheels, else from the system; loopback only.

Nothing here is imported by the service itself: it connects to URLs, wherever they lead.
"""

from app.embedded.errors import EmbeddedError
from app.embedded.postgres import PostgresServer, remove_postgres, start_postgres, stop_postgres
from app.embedded.valkey import ValkeyServer, start_valkey, stop_valkey

__all__ = [
    "EmbeddedError",
    "PostgresServer",
    "ValkeyServer",
    "remove_postgres",
    "start_postgres",
    "start_valkey",
    "stop_postgres",
    "stop_valkey",
]
