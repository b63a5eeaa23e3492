"""A tenant's schema and role in its database: made, taken apart, given a login of its own."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.citus import INSTALLED as CITUS_INSTALLED
from app.core.citus import is_citus
from app.core.context import DEFAULT_PLACEMENT
from app.core.migrations import GOLDEN_TENANT_SCRIPT
from app.core.provisioning import RUNTIME_ROLE, scram_verifier
from app.core.routing import SCHEMA_PATTERN, RoutingError
from app.tenants.errors import InvalidTenant, SchemaChangeFailed
from app.tenants.isolation import tenant_login_password
from app.tenants.placements import OwnerDatabases

END_MILLISECONDS: Final = 5_000


async def create_schema(connection: AsyncConnection, schema: str, *, tables: str | None = None) -> None:
    """Role, schema, grants and tables in one message; leaves search_path in the new schema.

    `tables` is the script that makes the tables, if not those of head. The role owns nothing: it may read
    and write rows, and the owner login alone may change tables. Does nothing where the schema stands,
    because it was made whole or not at all. On Citus a worker gets it.
    """
    _refuse_foreign(schema)
    query = text(f"SELECT to_regnamespace(:schema) IS NOT NULL AS stands, {CITUS_INSTALLED} AS on_citus")
    found = (await connection.execute(query, {"schema": schema})).one()
    if found.stands:
        await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
        return
    await send_script(
        connection,
        f"""
        {_create_role(schema, on_citus=found.on_citus)}
        GRANT {schema} TO {RUNTIME_ROLE};
        CREATE SCHEMA {schema};
        GRANT USAGE ON SCHEMA {schema} TO {schema};
        ALTER DEFAULT PRIVILEGES IN SCHEMA {schema}
            GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {schema};
        SET LOCAL search_path TO {schema};
        {_golden_script() if tables is None else tables}
        """,
    )
    if found.on_citus:
        await send_script(connection, f"SELECT citus_schema_distribute('{schema}')")


async def drop_schema(connection: AsyncConnection, schema: str) -> None:
    """Schema, tables, rows and role, as far as they exist."""
    _refuse_foreign(schema)
    database = await _quoted_database(connection)
    # A role that has rights elsewhere (in another database of the same cluster) is left standing.
    await send_script(
        connection,
        f"""
        DROP SCHEMA IF EXISTS {schema} CASCADE;
        DO $$ BEGIN
            REVOKE CONNECT ON DATABASE {database} FROM {schema};
        EXCEPTION WHEN undefined_object THEN NULL;
        END $$;
        DO $$ BEGIN
            IF to_regrole('{schema}') IS NOT NULL THEN DROP ROLE {schema}; END IF;
        EXCEPTION WHEN undefined_object OR dependent_objects_still_exist THEN NULL;
        END $$;
        """,
    )


async def refuse_logins(connection: AsyncConnection, schema: str) -> None:
    """Let nobody log in as a tenant any more, from the commit on. Safe to repeat.

    Does nothing on Citus, where none but the cluster itself can.
    """
    _refuse_foreign(schema)
    if await is_citus(connection):
        return
    await send_script(
        connection,
        f"""
        DO $$ BEGIN ALTER ROLE {schema} NOLOGIN PASSWORD NULL;
        EXCEPTION WHEN undefined_object THEN NULL;
        END $$;
        """,
    )


async def end_sessions(connection: AsyncConnection, schema: str) -> None:
    """End every session in this database that is logged in as a tenant, with its transaction.

    A role that is dropped takes none of them along. Refuse logins first, or new ones take their place. Raises
    SchemaChangeFailed.
    """
    _refuse_foreign(schema)
    if not (begun := await _count_sessions(connection, schema)):
        return
    # Who has a role's rights may end its sessions. Creating the role gave us the right to have them, no more.
    try:
        await send_script(
            connection,
            f"""
            GRANT {schema} TO CURRENT_USER;
            SELECT pg_terminate_backend(pid, {END_MILLISECONDS}) FROM pg_stat_activity
                WHERE usename = '{schema}' AND datname = current_database();
            REVOKE {schema} FROM CURRENT_USER;
            """,  # noqa: S608  # The name was checked.
        )
    except SchemaChangeFailed as error:
        raise SchemaChangeFailed(_unended(begun, schema, error.detail)) from error
    if left := await _count_sessions(connection, schema):
        raise SchemaChangeFailed(_unended(left, schema, f"not within {END_MILLISECONDS // 1000} s"))


async def _count_sessions(connection: AsyncConnection, schema: str) -> int:
    # A transaction would see what it saw the first time.
    await connection.execute(text("SELECT pg_stat_clear_snapshot()"))
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = :schema AND datname = current_database()"
    )
    return int(await connection.scalar(query, {"schema": schema}) or 0)


def _unended(count: int, schema: str, reason: str | None) -> str:
    return (
        f"{count} of its sessions could not be ended: {reason}. As a superuser call pg_terminate_backend for"
        f" those that pg_stat_activity shows with usename {schema}, then run this again."
    )


async def exists(connection: AsyncConnection, schema: str) -> bool:
    """True when the schema stands in this database."""
    found = await connection.scalar(text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": schema})
    return bool(found)


async def give_login(connection: AsyncConnection, schema: str, secret_key: str) -> None:
    """Let the role log in itself, and the shared login no longer take it (the dedicated tier).

    Nothing stays of what was set for the role before, in any database: a pooled attacker may take the role
    and choose what its sessions begin with. Raises InvalidTenant on Citus.
    """
    _refuse_foreign(schema)
    await refuse_dedicated_on_citus(connection)
    database = await _quoted_database(connection)
    verifier = scram_verifier(tenant_login_password(schema, secret_key))
    await send_script(
        connection,
        f"""
        REVOKE {schema} FROM {RUNTIME_ROLE};
        ALTER ROLE {schema} LOGIN PASSWORD '{verifier}' CONNECTION LIMIT -1 VALID UNTIL 'infinity';
        {_reset_settings(schema)}
        GRANT CONNECT ON DATABASE {database} TO {schema};
        """,
    )


async def refuse_dedicated_on_citus(connection: AsyncConnection) -> None:
    """Raises InvalidTenant where no tenant may have a login of its own."""
    if await is_citus(connection):
        raise InvalidTenant(
            "isolation: a Citus cluster has no dedicated tier, because no tenant may log in there; a database"
            " of its own (another placement) keeps a tenant further apart."
        )


async def take_login(connection: AsyncConnection, schema: str) -> None:
    """Back to the pooled tier: no login, and the shared one may take the role.

    On Citus nothing changes, for there is no other tier.
    """
    _refuse_foreign(schema)
    if await is_citus(connection):
        return
    database = await _quoted_database(connection)
    await send_script(
        connection,
        f"""
        ALTER ROLE {schema} NOLOGIN PASSWORD NULL;
        REVOKE CONNECT ON DATABASE {database} FROM {schema};
        GRANT {schema} TO {RUNTIME_ROLE};
        """,
    )


@asynccontextmanager
async def in_schema(
    owners: OwnerDatabases, registry: AsyncConnection, placement: str, schema: str
) -> AsyncIterator[AsyncConnection]:
    """A transaction of the owner in a tenant's database, its search_path in the tenant's schema.

    On the default placement it is the caller's own transaction, so that both end together.
    """
    _refuse_foreign(schema)
    if placement == DEFAULT_PLACEMENT:
        await registry.execute(text(f"SET LOCAL search_path TO {schema}"))
        yield registry
        return
    async with owners.of(placement).begin() as connection:
        await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
        yield connection


async def _quoted_database(connection: AsyncConnection) -> str:
    return str(await connection.scalar(text("SELECT quote_ident(current_database())")))


def _create_role(schema: str, *, on_citus: bool) -> str:
    """Roles belong to the cluster: another database of it may have made this one.

    A coordinator logs in at its workers as the tenant, without a password; nobody else is let in as one.
    """
    login = "LOGIN" if on_citus else "NOLOGIN"
    return (
        f"DO $$ BEGIN CREATE ROLE {schema} {login} NOINHERIT;"
        " EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
    )


def _reset_settings(schema: str) -> str:
    """For all databases and for each: `RESET ALL` without a database leaves those of a database."""
    return f"""
        ALTER ROLE {schema} RESET ALL;
        DO $$ DECLARE elsewhere name; BEGIN
            FOR elsewhere IN SELECT datname FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase
                WHERE setrole = to_regrole('{schema}')
            LOOP EXECUTE format('ALTER ROLE {schema} IN DATABASE %I RESET ALL', elsewhere); END LOOP;
        END $$;
    """  # noqa: S608  # The name was checked.


@cache
def _golden_script() -> str:
    return re.sub(r"^--.*\n", "", GOLDEN_TENANT_SCRIPT.read_text(), flags=re.MULTILINE)


def _refuse_foreign(schema: str) -> None:
    """The name is written into SQL, so it must be one that this service makes."""
    if not SCHEMA_PATTERN.fullmatch(schema):
        raise RoutingError(f"not a tenant schema: {schema!r}")


def driver_of(connection: AsyncConnection) -> Any:
    """The asyncpg connection below, in the same transaction.

    SQLAlchemy tells the driver to begin with the first statement it is given, so the caller has run one.
    """
    driver = connection.sync_connection.connection.driver_connection if connection.sync_connection else None
    if driver is None:
        raise RoutingError("the connection was closed")
    return driver


async def send_script(connection: AsyncConnection, script: str) -> None:
    """One message through the simple query protocol, behind `driver_of`'s condition; none if it is empty.

    Raises SchemaChangeFailed with the server's reason.
    """
    driver = driver_of(connection)
    if not script.strip():
        return  # The driver cannot read the answer to an empty query.
    try:
        await driver.execute(script)
    except asyncpg.PostgresError as error:
        raise SchemaChangeFailed(str(error).partition("\n")[0]) from error
