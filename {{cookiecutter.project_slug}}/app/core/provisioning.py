"""Prepares a PostgreSQL for the service: two logins, one database, nothing left to the public.

`app_owner` owns the database and may create roles, for migrations and onboarding; `app_runtime` serves
requests with the least grants and reaches a tenant only by `SET LOCAL ROLE`.
"""

import hashlib
import hmac
import secrets
from base64 import b64encode

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import owner_engine

OWNER_ROLE = "app_owner"
RUNTIME_ROLE = "app_runtime"


async def provision_database(
    superuser_url: str, *, database: str, owner_password: str, runtime_password: str
) -> None:
    """Create or repair logins and database. Idempotent; sets both passwords each time.

    `superuser_url` names any existing database of the cluster, with a login that may create roles and
    databases (RDS: the master user).
    """
    engine = owner_engine(superuser_url)
    try:
        async with engine.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await _ensure_login(autocommit, OWNER_ROLE, "CREATEROLE NOSUPERUSER INHERIT", owner_password)
            await _ensure_login(
                autocommit, RUNTIME_ROLE, "NOCREATEROLE NOSUPERUSER NOINHERIT", runtime_password
            )
            await _ensure_database(autocommit, database)
    finally:
        await engine.dispose()
    await _close_to_public(superuser_url, database)


async def _ensure_login(connection: AsyncConnection, role: str, attributes: str, password: str) -> None:
    if not await _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = :name", role):
        await connection.execute(text(f"CREATE ROLE {role}"))
    await connection.exec_driver_sql(
        f"ALTER ROLE {role} LOGIN {attributes} PASSWORD '{scram_verifier(password)}'"
    )


async def _ensure_database(connection: AsyncConnection, database: str) -> None:
    identifier = await connection.scalar(text("SELECT quote_ident(:name)"), {"name": database})
    # A master user that is no superuser must be a member of the role it gives the database to.
    await connection.execute(text(f"GRANT {OWNER_ROLE} TO CURRENT_USER"))
    if not await _exists(connection, "SELECT 1 FROM pg_database WHERE datname = :name", database):
        await connection.exec_driver_sql(f"CREATE DATABASE {identifier} OWNER {OWNER_ROLE}")
    await connection.exec_driver_sql(f"ALTER DATABASE {identifier} OWNER TO {OWNER_ROLE}")
    await connection.exec_driver_sql(f"REVOKE ALL ON DATABASE {identifier} FROM PUBLIC")
    await connection.exec_driver_sql(f"GRANT CONNECT ON DATABASE {identifier} TO {RUNTIME_ROLE}")


async def _close_to_public(superuser_url: str, database: str) -> None:
    url = make_url(superuser_url).set(database=database).render_as_string(hide_password=False)
    engine = owner_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
    finally:
        await engine.dispose()


async def _exists(connection: AsyncConnection, query: str, name: str) -> bool:
    return await connection.scalar(text(query), {"name": name}) is not None


def scram_verifier(password: str, *, salt: bytes | None = None, iterations: int = 4096) -> str:
    """What PostgreSQL stores for a password (RFC 5803), so that the password itself never meets its log."""
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [b64encode(part).decode() for part in (salt, hashlib.sha256(client_key).digest(), server_key)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"
