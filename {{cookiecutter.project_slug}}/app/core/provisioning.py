"""Prepares a PostgreSQL for the service: two logins, one database, nothing left to the public.

`app_owner` owns the database and may create roles, for migrations and onboarding; `app_runtime` serves
requests with the least grants and reaches a tenant only by `SET LOCAL ROLE`. docs/tenancy.md lists what
that withstands.
"""

import hashlib
import hmac
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import owner_engine
from app.core.errors import Unprocessable

OWNER_ROLE = "app_owner"
RUNTIME_ROLE = "app_runtime"

# Kept from every role but those named. `set_config` makes another tenant's role out of one injected
# expression, where SET needs a statement of its own. Large objects lie outside of any schema. A lock of the
# session outlives its transaction on a pooled connection, so no request may take one.
WITHHELD_FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "set_config(text, text, boolean)": (OWNER_ROLE,),
    "lo_creat(integer)": (),
    "lo_create(oid)": (),
    "lo_from_bytea(oid, bytea)": (),
    **{
        f"{name}({arguments})": (OWNER_ROLE,)
        for name in (
            "pg_advisory_lock",
            "pg_advisory_lock_shared",
            "pg_try_advisory_lock",
            "pg_try_advisory_lock_shared",
        )
        for arguments in ("bigint", "integer, integer")
    },
}
# Nothing depends on a session's own choice, also behind a pooler that refuses such choices.
RUNTIME_DEFAULTS: Final = {"search_path": "pg_catalog", "jit": "off"}
# Every server has these, and lets everybody in: there nothing is withheld from a login.
COMMON_DATABASES: Final = ("postgres", "template1")


class UnknownDatabase(Unprocessable):
    slug = "unknown-database"
    title = "The server has no such database"


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """What provisioning found and left as it is.

    `functions` could not be withheld from the tenants, which takes a real superuser. `databases` are others
    of the server that let every login in. `settings` undo what sessions of the runtime login begin with and
    provisioning did not choose: an attacker may have, since a role can set them for itself.
    """

    functions: Sequence[str] = ()
    databases: Sequence[str] = ()
    settings: Sequence[str] = ()


async def provision_database(
    superuser_url: str,
    *,
    database: str,
    owner_password: str,
    runtime_password: str,
    public_may_connect: bool = False,
    close: Sequence[str] = (),
) -> LeftOpen:
    """Create or repair logins and database. Idempotent; sets both passwords each time.

    `superuser_url` names any existing database of the cluster, with a login that may create roles and
    databases (RDS: the master user). `public_may_connect` leaves it to pg_hba.conf who does. Other databases
    may have other users, so only those in `close` are closed to the public. Raises UnknownDatabase.
    """
    engine = owner_engine(superuser_url)
    try:
        async with engine.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await _refuse_unknown(autocommit, close)
            await _ensure_login(autocommit, OWNER_ROLE, "CREATEROLE INHERIT", owner_password)
            await _ensure_login(autocommit, RUNTIME_ROLE, "NOCREATEROLE NOINHERIT", runtime_password)
            await _set_runtime_defaults(autocommit)
            await _ensure_database(autocommit, database, public_may_connect=public_may_connect)
            for other in close:
                await _close_database(autocommit, other)
            databases = await _open_databases(autocommit, but=database)
            settings = await _strange_settings(autocommit)
    finally:
        await engine.dispose()
    return LeftOpen(await _close_to_public(superuser_url, database), databases, settings)


async def _refuse_unknown(connection: AsyncConnection, databases: Sequence[str]) -> None:
    for name in databases:
        if not await _exists(connection, "SELECT 1 FROM pg_database WHERE datname = :name", name):
            raise UnknownDatabase(f"{name!r}; nothing was changed.")


async def _ensure_login(connection: AsyncConnection, role: str, attributes: str, password: str) -> None:
    if not await _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = :name", role):
        await connection.execute(text(f"CREATE ROLE {role}"))
    # Only a superuser may say NOSUPERUSER, even where it changes nothing, and RDS has none to lend.
    if await _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = :name AND rolsuper", role):
        await connection.exec_driver_sql(f"ALTER ROLE {role} NOSUPERUSER")
    await connection.exec_driver_sql(
        f"ALTER ROLE {role} LOGIN {attributes} PASSWORD '{scram_verifier(password)}'"
    )


async def _set_runtime_defaults(connection: AsyncConnection) -> None:
    for name, value in RUNTIME_DEFAULTS.items():
        await connection.exec_driver_sql(f"ALTER ROLE {RUNTIME_ROLE} SET {name} = '{value}'")


async def _ensure_database(connection: AsyncConnection, database: str, *, public_may_connect: bool) -> None:
    identifier = await connection.scalar(text("SELECT quote_ident(:name)"), {"name": database})
    # A master user that is no superuser must be a member of the role it gives the database to.
    await connection.execute(text(f"GRANT {OWNER_ROLE} TO CURRENT_USER"))
    if not await _exists(connection, "SELECT 1 FROM pg_database WHERE datname = :name", database):
        await connection.exec_driver_sql(f"CREATE DATABASE {identifier} OWNER {OWNER_ROLE}")
    await connection.exec_driver_sql(f"ALTER DATABASE {identifier} OWNER TO {OWNER_ROLE}")
    # Never revoked to be granted again, or a worker would refuse its tenants for that moment.
    withheld = "CREATE, TEMPORARY" if public_may_connect else "ALL"
    await connection.exec_driver_sql(f"REVOKE {withheld} ON DATABASE {identifier} FROM PUBLIC")
    if public_may_connect:
        await connection.exec_driver_sql(f"GRANT CONNECT ON DATABASE {identifier} TO PUBLIC")
    await connection.exec_driver_sql(f"GRANT CONNECT ON DATABASE {identifier} TO {RUNTIME_ROLE}")


async def _close_database(connection: AsyncConnection, database: str) -> None:
    """Only its owner, superusers and whom it was granted to by name get in."""
    identifier = await connection.scalar(text("SELECT quote_ident(:name)"), {"name": database})
    await connection.exec_driver_sql(f"REVOKE ALL ON DATABASE {identifier} FROM PUBLIC")


async def _open_databases(connection: AsyncConnection, *, but: str) -> list[str]:
    """Those that pg_hba.conf alone may keep a login out of."""
    query = text(
        "SELECT datname FROM pg_database,"
        " LATERAL aclexplode(coalesce(datacl, acldefault('d', datdba))) AS held"
        " WHERE datallowconn AND datname <> :but AND held.grantee = 0 AND held.privilege_type = 'CONNECT'"
        " ORDER BY 1"
    )
    return list(await connection.scalars(query, {"but": but}))


async def _strange_settings(connection: AsyncConnection) -> list[str]:
    """Statements that take back what is set for the runtime login beyond its defaults."""
    query = text(
        "SELECT split_part(setting, '=', 1) AS name, quote_ident(datname) AS database"
        " FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase,"
        " unnest(setconfig) AS setting WHERE setrole = to_regrole(:role)"
        " AND (setdatabase <> 0 OR split_part(setting, '=', 1) <> ALL (:known)) ORDER BY 2, 1"
    )
    rows = await connection.execute(query, {"role": RUNTIME_ROLE, "known": list(RUNTIME_DEFAULTS)})
    return [
        f"ALTER ROLE {RUNTIME_ROLE} {f'IN DATABASE {row.database} ' if row.database else ''}RESET {row.name}"
        for row in rows
    ]


async def _close_to_public(superuser_url: str, database: str) -> list[str]:
    url = make_url(superuser_url).set(database=database).render_as_string(hide_password=False)
    engine = owner_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
            return await _withhold_functions(connection)
    finally:
        await engine.dispose()


async def _withhold_functions(connection: AsyncConnection) -> list[str]:
    """Those that stay open: PostgreSQL warns, and revokes nothing, when the login does not own them."""
    for function, roles in WITHHELD_FUNCTIONS.items():
        await connection.exec_driver_sql(f"REVOKE EXECUTE ON FUNCTION pg_catalog.{function} FROM PUBLIC")
        for role in roles:
            await connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {role}")
    still_open = text(
        "SELECT p.oid::regprocedure::text FROM pg_proc p, LATERAL aclexplode(coalesce(p.proacl,"
        " acldefault('f', p.proowner))) AS held"
        # By way of text[]: to learn what a regprocedure[] is, the driver searches the whole catalog.
        " WHERE p.oid = ANY (CAST(CAST(:functions AS text[]) AS regprocedure[]))"
        " AND held.grantee = 0 AND held.privilege_type = 'EXECUTE' ORDER BY 1"
    )
    functions = [f"pg_catalog.{function}" for function in WITHHELD_FUNCTIONS]
    return list(await connection.scalars(still_open, {"functions": functions}))


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
