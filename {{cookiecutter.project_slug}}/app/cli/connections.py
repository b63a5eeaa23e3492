"""The database as a command sees it."""

from app.core.database import Database
from app.core.settings import load_settings


def runtime_database() -> Database:
    """One connection of the login that serves requests, through the pooler if there is one."""
    settings = load_settings()
    return Database(settings.database_url.get_secret_value(), pool_size=1, pooler=settings.database_pooler)
