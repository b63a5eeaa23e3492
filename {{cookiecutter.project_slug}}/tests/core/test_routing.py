"""Transactions go to their tenant or nowhere: the contract with asyncpg, and the leak proof."""

import asyncio
import uuid
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from app.core.database import Database, async_url, owner_engine
from app.core.routing import (
    PLATFORM,
    ROUTE_OPTION,
    RoutingError,
    enforce_routing,
    tenant_route,
)
from app.resources.models import Resource
from tests.conftest import DatabaseURLs, MakeTenant

SHARED_ID = uuid.UUID(int=7)


@pytest.fixture
async def twins(make_tenant: MakeTenant, database: Database) -> tuple[str, str]:
    """Two tenants that each hold a row with the same id."""
    schemas = ((await make_tenant()).schema, (await make_tenant()).schema)
    for schema in schemas:
        async with database.tenant(schema) as session:
            session.add(Resource(id=SHARED_ID, name=schema, data={}))
    return schemas


async def whoami(session: AsyncSession) -> tuple[str, str, str]:
    row = (
        await session.execute(
            text("SELECT current_user, current_schema(), (SELECT name FROM resources WHERE id = :id)"),
            {"id": SHARED_ID},
        )
    ).one()
    return (row[0], row[1], row[2])


async def test_each_tenant_sees_its_own_row_under_the_same_id(
    database: Database, twins: tuple[str, str]
) -> None:
    for schema in twins * 3:
        async with database.tenant(schema) as session:
            assert await whoami(session) == (schema, schema, schema)


async def test_nothing_is_left_on_the_connection_after_a_transaction(
    database: Database, twins: tuple[str, str]
) -> None:
    async with database.tenant(twins[0]) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
    async with database.platform() as session:
        row = (
            await session.execute(text("SELECT pg_backend_pid(), current_user, current_setting('role')"))
        ).one()
    assert tuple(row) == (pid, "app_runtime", "none")


@pytest.mark.parametrize("savepoint", [False, True])
async def test_rollback_and_savepoint_keep_the_route(
    database: Database, twins: tuple[str, str], savepoint: bool
) -> None:
    class Abandoned(Exception):
        pass

    async def abandon(session: AsyncSession) -> None:
        session.add(Resource(name="abandoned", data={}))
        await session.flush()
        raise Abandoned

    if savepoint:
        async with database.tenant(twins[0]) as session:
            with pytest.raises(Abandoned):
                async with session.begin_nested():
                    await abandon(session)
            assert (await whoami(session))[0] == twins[0]
    else:
        with pytest.raises(Abandoned):
            async with database.tenant(twins[0]) as session:
                await abandon(session)
    for schema in reversed(twins):
        async with database.tenant(schema) as session:
            assert await whoami(session) == (schema, schema, schema)
            assert await session.scalar(text("SELECT count(*) FROM resources WHERE name = 'abandoned'")) == 0


async def test_a_failed_statement_leaves_the_next_tenant_alone(
    database: Database, twins: tuple[str, str]
) -> None:
    with pytest.raises(ProgrammingError):
        async with database.tenant(twins[0]) as session:
            await session.execute(text("SELECT nonsense"))
    async with database.tenant(twins[1]) as session:
        assert await whoami(session) == (twins[1], twins[1], twins[1])


async def test_cancelled_transactions_leave_the_next_tenant_alone(
    database: Database, twins: tuple[str, str]
) -> None:
    async def slow(schema: str) -> None:
        async with database.tenant(schema) as session:
            await session.execute(text("SELECT pg_sleep(5)"))

    for attempt in range(12):
        task = asyncio.create_task(slow(twins[attempt % 2]))
        # From "not begun" over "in the BEGIN message" to "in the statement".
        await asyncio.sleep(attempt * 0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        other = twins[(attempt + 1) % 2]
        async with database.tenant(other) as session:
            assert await whoami(session) == (other, other, other)


async def test_begin_role_and_path_travel_in_one_message(
    database_urls: DatabaseURLs, twins: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted where asyncpg sends them: routing adds nothing to BEGIN, statement, COMMIT."""
    messages: list[str] = []
    original = asyncpg.Connection.execute

    async def recording(self: Any, query: str, *args: object, timeout: float | None = None) -> Any:
        messages.append(query)
        return await original(self, query, *args, timeout=timeout)

    database = Database(database_urls.runtime, pool_size=1)
    try:
        async with database.platform() as session:
            await session.execute(text("SELECT 1"))  # The first connection asks for the server's version.
        monkeypatch.setattr(asyncpg.Connection, "execute", recording)
        async with database.tenant(twins[0]) as session:
            await session.execute(text("SELECT 1"))
    finally:
        await database.close()
    assert messages == [f"BEGIN; {tenant_route(twins[0]).statements}", "COMMIT;"]


async def test_a_transaction_without_a_route_is_refused(database: Database) -> None:
    with pytest.raises(RoutingError):
        async with AsyncSession(database.engine) as session:
            await session.execute(text("SELECT 1"))


@pytest.mark.parametrize("option", ["t_" + "0" * 32, None, object()])
async def test_a_route_of_the_wrong_type_is_refused(database: Database, option: object) -> None:
    engine = database.engine.execution_options(**{ROUTE_OPTION: option})
    with pytest.raises(RoutingError):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))


async def test_autocommit_is_refused(database: Database) -> None:
    engine = database.engine.execution_options(**{ROUTE_OPTION: PLATFORM}, isolation_level="AUTOCOMMIT")
    with pytest.raises(RoutingError, match="AUTOCOMMIT"):
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))


async def test_an_engine_with_plain_connections_is_refused(database_urls: DatabaseURLs) -> None:
    engine = create_async_engine(async_url(database_urls.runtime), pool_size=1)
    enforce_routing(engine)
    try:
        with pytest.raises(RoutingError, match="RoutedConnection"):
            async with engine.execution_options(**{ROUTE_OPTION: PLATFORM}).connect() as connection:
                await connection.execute(text("SELECT 1"))
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    "name", ["public", "platform", "t_1", "t_" + "0" * 32 + "; DROP TABLE users", "T_" + "0" * 32, ""]
)
def test_a_malformed_schema_never_reaches_sql(name: str) -> None:
    with pytest.raises(RoutingError):
        tenant_route(name)


async def test_an_unknown_tenant_fails_closed_and_the_pool_recovers(
    database: Database, twins: tuple[str, str]
) -> None:
    with pytest.raises(DBAPIError):
        async with database.tenant("t_" + "f" * 32) as session:
            await session.execute(text("SELECT count(*) FROM resources"))
    async with database.tenant(twins[0]) as session:
        assert (await whoami(session))[0] == twins[0]


async def test_a_tenant_role_reaches_no_other_schema(database: Database, twins: tuple[str, str]) -> None:
    for forbidden in (
        f"SELECT * FROM {twins[1]}.resources",
        f"INSERT INTO {twins[1]}.resources (id, name) VALUES (gen_random_uuid(), 'x')",
        "SELECT * FROM platform.tenants",
        "CREATE TABLE mine (id int)",
        "DROP TABLE resources",
        "DELETE FROM audit_logs",
        "UPDATE audit_logs SET action = 'x'",
        "SELECT * FROM alembic_version",
        "CREATE TEMP TABLE resources (id int)",
    ):
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
            async with database.tenant(twins[0]) as session:
                await session.execute(text(forbidden))


async def test_the_runtime_login_alone_reaches_no_tenant(database: Database, twins: tuple[str, str]) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.platform() as session:
            await session.execute(text(f"SELECT * FROM {twins[0]}.resources"))


async def test_the_runtime_login_cannot_change_the_registry(database: Database) -> None:
    for forbidden in ("UPDATE tenants SET plan = 'enterprise'", "DELETE FROM tenants"):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with database.platform() as session:
                await session.execute(text(forbidden))


async def test_what_the_role_does_not_withstand_is_known(database: Database, twins: tuple[str, str]) -> None:
    """Arbitrary SQL with a second statement can take another tenant's role: pooled tenants share a login.

    The docs say so; a login or database of its own is what withstands it.
    """
    async with database.tenant(twins[0]) as session:
        await session.execute(text("RESET ROLE"))
        await session.execute(text(f"SET LOCAL ROLE {twins[1]}"))
        leaked = await session.scalar(text(f"SELECT name FROM {twins[1]}.resources"))
    assert leaked == twins[1]


async def test_types_of_our_own_are_read_without_set_config(
    database: Database, twins: tuple[str, str]
) -> None:
    """asyncpg would call the function, which no tenant may, to look up a type that it does not know."""
    async with database.tenant(twins[0]) as session:
        row = await session.scalar(text("SELECT r FROM resources r"))
    assert row["name"] == twins[0]


async def test_a_connection_killed_by_the_server_is_replaced(
    database: Database, database_urls: DatabaseURLs, twins: tuple[str, str]
) -> None:
    async with database.tenant(twins[0]) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
    admin = owner_engine(database_urls.superuser)
    async with admin.connect() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    await admin.dispose()
    await asyncio.sleep(0.1)
    async with database.tenant(twins[1]) as session:
        assert (await whoami(session))[0] == twins[1]
