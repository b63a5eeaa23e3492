"""Makes a Citus cluster of PostgreSQL servers that have the extension, and tries what tenants need of it."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy import make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.citus import SETUP, ClusterNotReady, is_citus, refuse_unready
from app.core.database import owner_engine
from app.core.provisioning import OWNER_ROLE, RUNTIME_ROLE, provision_database

# Shards are hidden by a function that runs for each row of pg_class: with 200 tenants, drivers that look up a
# type, and Alembic, wait for minutes. A coordinator has none to hide.
OWNER_DEFAULTS: Final = {"citus.show_shards_for_app_name_prefixes": "*"}
# Else each backend keeps a connection to a worker for every tenant it ever served; docs/citus.md has the sum.
RUNTIME_DEFAULTS: Final = {**OWNER_DEFAULTS, "citus.max_cached_conns_per_worker": "0"}


async def provision_cluster(
    coordinator_url: str,
    worker_urls: Sequence[str],
    *,
    database: str,
    owner_password: str,
    runtime_password: str,
) -> None:
    """Prepare every server and join the workers to the coordinator. Idempotent; sets both passwords.

    The URLs name any existing database, with a superuser's login; their hosts and ports are those by which
    the nodes reach each other. Raises ClusterNotReady where a server lacks the extension.
    """
    for url in (coordinator_url, *worker_urls):
        await provision_database(
            url, database=database, owner_password=owner_password, runtime_password=runtime_password
        )
        async with _connected(make_url(url).set(database=database)) as connection:
            await _create_extension(connection)
    for url in worker_urls:
        async with _connected(make_url(url).set(database=database)) as connection:
            await _open_to_tenants(connection)
    async with _connected(make_url(coordinator_url).set(database=database)) as connection:
        await _join(connection, make_url(coordinator_url), [make_url(url) for url in worker_urls])
        await _set_defaults(connection, OWNER_ROLE, OWNER_DEFAULTS)
        await _set_defaults(connection, RUNTIME_ROLE, RUNTIME_DEFAULTS)


async def check_cluster(owner_url: str, runtime_url: str) -> None:
    """Try with a role like a tenant's what tenants will do. Raises ClusterNotReady with what to do."""
    role = f"t_{secrets.token_hex(16)}"
    async with _connected(make_url(owner_url)) as owner:
        if not await is_citus(owner):
            raise ClusterNotReady(f"The database has no extension citus. {SETUP}")
        await refuse_unready(owner)
        await owner.execute(text(f"CREATE ROLE {role} LOGIN NOINHERIT"))
        try:
            await owner.execute(text(f"GRANT {role} TO {RUNTIME_ROLE}"))
            await _refuse_closed_workers(runtime_url, role)
            await _refuse_open_coordinator(runtime_url, role)
        finally:
            await owner.execute(text(f"DROP ROLE {role}"))


async def _create_extension(connection: AsyncConnection) -> None:
    try:
        await connection.execute(text("CREATE EXTENSION IF NOT EXISTS citus"))
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        where = f"{connection.engine.url.host}:{connection.engine.url.port}"
        raise ClusterNotReady(f"{where}: the extension citus cannot be created ({reason}). {SETUP}") from None


async def _open_to_tenants(connection: AsyncConnection) -> None:
    """On a worker, where pg_hba.conf lets tenants in from the coordinator only."""
    database = await connection.scalar(text("SELECT quote_ident(current_database())"))
    await connection.execute(text("SET citus.enable_ddl_propagation TO off"))
    await connection.execute(text(f"GRANT CONNECT ON DATABASE {database} TO PUBLIC"))


async def _join(connection: AsyncConnection, coordinator: URL, workers: Sequence[URL]) -> None:
    await connection.execute(text("SELECT citus_set_coordinator_host(:host, :port)"), _address(coordinator))
    takes_no_tenants = text("SELECT citus_set_node_property(:host, :port, 'shouldhaveshards', false)")
    await connection.execute(takes_no_tenants, _address(coordinator))
    for worker in workers:
        await connection.execute(text("SELECT citus_add_node(:host, :port)"), _address(worker))
    # A grant that is sent to the workers makes the login one that Citus keeps the same everywhere.
    await connection.execute(text(f"GRANT {OWNER_ROLE} TO CURRENT_USER"))


async def _set_defaults(connection: AsyncConnection, role: str, defaults: Mapping[str, str]) -> None:
    """What the role's sessions in this database begin with; what somebody has set before stays."""
    database = await connection.scalar(text("SELECT quote_ident(current_database())"))
    chosen = text(
        "SELECT EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS setting"
        " WHERE setrole = CAST(:role AS regrole) AND starts_with(setting, :name || '='))"
    )
    for name, value in defaults.items():
        if not await connection.scalar(chosen, {"role": role, "name": name}):
            await connection.exec_driver_sql(
                f"ALTER ROLE {role} IN DATABASE {database} SET {name} TO '{value}'"
            )


async def _refuse_closed_workers(runtime_url: str, role: str) -> None:
    async with _connected(make_url(runtime_url)) as runtime:
        await runtime.execute(text(f"SET ROLE {role}"))
        query = text(
            "SELECT nodename || ':' || nodeport AS worker, result FROM run_command_on_workers('SELECT 1')"
            " WHERE NOT success"
        )
        for worker in await runtime.execute(query):
            raise ClusterNotReady(
                f"{worker.worker} does not let tenants in from the coordinator: {worker.result.strip()}."
                f" See pg_hba.conf in {SETUP}"
            )


async def _refuse_open_coordinator(runtime_url: str, role: str) -> None:
    url = make_url(runtime_url).set(username=role, password=None)
    try:
        async with _connected(url):
            pass
    except (DBAPIError, asyncpg.PostgresError):
        return
    raise ClusterNotReady(f"The coordinator lets tenants log in without a password. {SETUP}")


def _address(url: URL) -> dict[str, str | int | None]:
    return {"host": url.host, "port": url.port or 5432}


@asynccontextmanager
async def _connected(url: URL) -> AsyncIterator[AsyncConnection]:
    """A connection on which each statement is its own transaction."""
    engine = owner_engine(url.render_as_string(hide_password=False))
    try:
        async with engine.connect() as connection:
            yield await connection.execution_options(isolation_level="AUTOCOMMIT")
    finally:
        await engine.dispose()
