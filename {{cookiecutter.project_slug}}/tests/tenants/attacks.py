"""The attacks of docs/tenancy.md: each runs inside a tenant's transaction and says if it got its goal."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.chain import GENESIS, Link, follow, next_link
from app.core.database import Database, utc_now
from app.core.ids import new_id
from app.core.provisioning import RUNTIME_ROLE
from app.fleet.connections import MIGRATION_LOCK

SHARED_ID = "00000000-0000-0000-0000-000000000007"
CHANNEL = "attack"
DELIVERY_SECONDS = 0.2
# What a server answers to an attack that it withstands. Anything else is a fault of the test.
REFUSALS = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.PostgresSyntaxError,
)


async def driver_of(session: AsyncSession) -> Any:
    """The driver's own connection, on which several statements may stand in one message.

    SQLAlchemy sends BEGIN, and the route with it, before its first statement.
    """
    await session.execute(text("SELECT 1"))
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection


@dataclass(frozen=True, slots=True)
class Arena:
    """An attacker in a tier, and a pooled victim, who has the next transaction when they share a pool."""

    attacker: str
    victim: str
    database: Database
    victims_pool: Database
    shares_pool: bool = False

    @asynccontextmanager
    async def attacking(self) -> AsyncIterator[Any]:
        async with self.database.tenant(self.attacker) as session:
            yield await driver_of(session)

    @asynccontextmanager
    async def victims_session(self) -> AsyncIterator[Any]:
        async with self.victims_pool.tenant(self.victim) as session:
            yield await driver_of(session)


@dataclass(frozen=True, slots=True)
class SuperuserArena(Arena):
    """For the control: the attacker is a superuser, whom nothing withstands."""

    superuser_url: str = ""

    @asynccontextmanager
    async def attacking(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.superuser_url)
        try:
            await connection.execute(f"BEGIN; SET LOCAL search_path TO {self.attacker}")
            yield connection
        finally:
            await connection.close()


Run = Callable[[Arena, Any], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Attack:
    """`power` is what the attacker can place: a value, an expression in a query, or statements."""

    power: str
    name: str
    run: Run
    pooled: bool
    dedicated: bool
    own_database: bool
    # Whether it must succeed for a superuser, which shows that an attack that fails is not just broken.
    works_for_superuser: bool = True
    # Whether the goal was reached shows only when the attacker's transaction has ended.
    afterwards: Callable[[Arena], Awaitable[bool]] | None = None

    async def succeeds(self, arena: Arena) -> bool:
        """Try it, and undo what it did where it can be undone."""
        try:
            async with arena.attacking() as connection:
                try:
                    reached = await self.run(arena, connection)
                finally:
                    if connection.is_in_transaction():
                        await connection.execute("ROLLBACK")
        except REFUSALS:
            return False
        return await self.afterwards(arena) if self.afterwards else reached


def sql(*statements: str, gets: str | None = None) -> Run:
    """Run statements; the goal is reached when the last one's value is `gets`, or when none is refused."""

    async def run(arena: Arena, connection: Any) -> bool:
        names = {"victim": arena.victim, "attacker": arena.attacker}
        value = None
        for statement in statements:
            value = await connection.fetchval(statement.format(**names))
        return gets is None or str(value) == gets.format(**names)

    return run


async def read_statement_of_another_session(arena: Arena, connection: Any) -> bool:
    async with arena.victims_session() as bystander:
        secret = "SELECT 'a secret of the victim'"
        await bystander.fetchval(secret)
        pid = bystander.get_server_pid()
        return bool(
            await connection.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid) == secret
        )


async def read_statement_after_reset_role(arena: Arena, connection: Any) -> bool:
    await connection.execute("RESET ROLE")
    return await read_statement_of_another_session(arena, connection)


async def see_locks(arena: Arena, connection: Any) -> bool:
    query = (
        "SELECT count(*) > 0 FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'resources'"
    )
    async with arena.victims_session() as bystander:
        await bystander.fetchval("SELECT count(*) FROM resources")
        return bool(await connection.fetchval(query, arena.victim))


async def end_another_session(arena: Arena, connection: Any) -> bool:
    await connection.execute("RESET ROLE")
    with suppress(asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError, DBAPIError):
        async with arena.victims_session() as bystander:
            pid = bystander.get_server_pid()
            # Waits until it is gone, for five seconds at most.
            if not await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid):
                return False
            await bystander.fetchval("SELECT 1")
    return not await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid)


async def forge_notification(arena: Arena, connection: Any) -> bool:
    async with arena.victims_session() as bystander, listening(bystander) as heard:
        await connection.fetchval(f"SELECT pg_notify('{CHANNEL}', 'forged')")
        await connection.execute("COMMIT")
        await asyncio.sleep(DELIVERY_SECONDS)
    return heard == ["forged"]


async def overhear_notification(arena: Arena, connection: Any) -> bool:
    async with listening(connection) as heard, arena.victims_session() as bystander:
        await bystander.execute(f"NOTIFY {CHANNEL}, 'secret'; COMMIT")
        await asyncio.sleep(DELIVERY_SECONDS)
    return heard == ["secret"]


@asynccontextmanager
async def listening(connection: Any) -> AsyncIterator[list[str]]:
    """What arrives while the block runs; listening begins with a commit."""
    heard: list[str] = []

    def hear(*message: str) -> None:
        heard.append(message[-1])

    await connection.add_listener(CHANNEL, hear)
    await connection.execute("COMMIT")
    yield heard
    await connection.remove_listener(CHANNEL, hear)


def block_migrations(*, for_the_session: bool) -> Run:
    async def run(arena: Arena, connection: Any) -> bool:
        await connection.execute("RESET ROLE")
        function = "pg_advisory_lock" if for_the_session else "pg_advisory_xact_lock"
        await connection.execute(f"SELECT {function}({MIGRATION_LOCK})")
        async with arena.victims_session() as bystander:
            free = await bystander.fetchval(f"SELECT pg_try_advisory_xact_lock({MIGRATION_LOCK})")
        return not free

    return run


async def poison_connection(_arena: Arena, connection: Any) -> bool:
    """Outlives the transaction: the pool keeps the connection."""
    await connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; COMMIT")
    return True


async def next_tenant_cannot_write(arena: Arena) -> bool:
    pool = arena.database if arena.shares_pool else arena.victims_pool
    try:
        async with pool.tenant(arena.victim) as session:
            await session.execute(text("UPDATE resources SET version = version + 1"))
    except DBAPIError as error:
        return "read-only" in str(error)
    return False


async def forge_action(arena: Arena, connection: Any) -> bool:
    """As the service writes one, so that the chain stays whole and nothing shows."""
    await connection.execute("RESET ROLE")
    query = "SELECT sequence, hash FROM platform.operator_actions ORDER BY sequence DESC LIMIT 1"
    end = await connection.fetchrow(query)
    previous = Link(*end) if end else GENESIS
    facts = {
        "occurred_at": utc_now(),
        "actor_kind": "operator",
        "operator_id": new_id(),
        "action": "tenants:delete",
        "details": {"tenant": arena.victim},
    }
    link = next_link(previous, facts)
    row = {"sequence": link.sequence, **facts, "previous_hash": previous.hash, "hash": link.hash}
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    insert = f"INSERT INTO platform.operator_actions ({', '.join(row)}) VALUES ({places})"
    await connection.execute(insert, *(row | {"details": json.dumps(facts["details"])}).values())
    written = await connection.fetchrow(
        "SELECT * FROM platform.operator_actions WHERE hash = $1", row["hash"]
    )
    return follow(previous, dict(written)).hash == row["hash"]


async def enter_another_database(arena: Arena, _connection: Any) -> bool:
    """With the login of the attacker's tier, in the databases that every server has."""
    login = arena.database.engine.url
    for database in ("postgres", "template1"):
        url = login.set(drivername="postgresql", database=database)
        elsewhere = await asyncpg.connect(url.render_as_string(hide_password=False))
        try:
            # What the tenants' own database withholds: neither a schema nor a transaction ends these.
            await elsewhere.execute("BEGIN; SELECT lo_create(0); ROLLBACK; SELECT pg_advisory_lock(1)")
        finally:
            await elsewhere.close()
    return True


VALUE, EXPRESSION, STATEMENTS = "a value", "an expression", "statements"
READ_VICTIM = "SELECT name FROM {victim}.resources LIMIT 1"

ATTACKS = (
    Attack(VALUE, "Another tenant's id in a request", sql(
        f"SELECT name FROM resources WHERE id = '{SHARED_ID}'", gets="{victim}"),
        True, True, True, works_for_superuser=False),
    Attack(VALUE, "A query that forgets its filter", sql(
        "SELECT count(*) FILTER (WHERE name = '{victim}') > 0 FROM resources", gets="True"),
        True, True, True, works_for_superuser=False),
    Attack(EXPRESSION, "A second statement behind a semicolon", sql(
        "SELECT 1; SET ROLE {victim}"), True, True, True, works_for_superuser=False),
    Attack(EXPRESSION, "The qualified name of another tenant's table", sql(
        READ_VICTIM, gets="{victim}"), True, True, True),
    Attack(EXPRESSION, "UNION with another tenant's table", sql(
        "SELECT name FROM resources WHERE name = '' UNION " + READ_VICTIM, gets="{victim}"),
        True, True, True),
    Attack(EXPRESSION, "The qualified name of a shared table", sql(
        "SELECT count(*) FROM platform.tenants"), True, True, True),
    Attack(EXPRESSION, "`set_config` of the role, for the queries that follow", sql(
        "SELECT set_config('role', '{victim}', true)", READ_VICTIM, gets="{victim}"), True, True, True),
    Attack(EXPRESSION, "`set_config` of the role, and `ts_stat` to run a query in the same statement", sql(
        "SELECT set_config('role', '{victim}', true) || (SELECT word FROM"
        " ts_stat($q$SELECT to_tsvector('simple', '') || array_to_tsvector(ARRAY[name])"
        " FROM {victim}.resources$q$) LIMIT 1)", gets="{victim}{victim}"), True, True, True),
    Attack(EXPRESSION, "Sampled values of another tenant's columns in `pg_stats`", sql(
        "SELECT count(*) > 0 FROM pg_stats WHERE schemaname = '{victim}'", gets="True"), True, True, True),
    Attack(EXPRESSION, "A large object, outside of every schema", sql("SELECT lo_from_bytea(0, 'x')"),
        True, True, True),
    Attack(EXPRESSION, "A file of the server", sql("SELECT pg_read_file('PG_VERSION')"), True, True, True),
    Attack(EXPRESSION, "Another session's statement in `pg_stat_activity`", read_statement_of_another_session,
        True, True, True),
    Attack(EXPRESSION, "Names of other tenants' schemas and tables in the catalog", sql(
        "SELECT count(*) > 0 FROM pg_tables WHERE schemaname = '{victim}'", gets="True"), False, False, True),
    Attack(EXPRESSION, "The size of another tenant's tables", sql(
        "SELECT sum(pg_relation_size(oid)) > 0 FROM pg_class"
        " WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = '{victim}')", gets="True"),
        False, False, True),
    Attack(EXPRESSION, "Locks on another tenant's tables in `pg_locks`", see_locks, False, False, True),
    Attack(EXPRESSION, "Names of other tenants' roles", sql(
        "SELECT count(*) FROM pg_roles WHERE rolname = '{victim}'", gets="1"), False, False, False),
    Attack(EXPRESSION, "A forged notification with `pg_notify`", forge_notification, False, False, True),
    Attack(STATEMENTS, "`RESET ROLE`, then another tenant's table", sql(
        "RESET ROLE", READ_VICTIM, gets="{victim}"), True, True, True),
    Attack(STATEMENTS, "`SET ROLE` to another tenant", sql(
        "SET ROLE {victim}", READ_VICTIM, gets="{victim}"), False, True, True),
    Attack(STATEMENTS, "`SET SESSION AUTHORIZATION` to another tenant", sql(
        "SET SESSION AUTHORIZATION {victim}", READ_VICTIM, gets="{victim}"), True, True, True),
    Attack(STATEMENTS, "`search_path` to another tenant's schema", sql(
        "SET search_path TO {victim}", "SELECT name FROM resources LIMIT 1", gets="{victim}"),
        True, True, True),
    Attack(STATEMENTS, "A temporary table in place of the tenant's", sql(
        "CREATE TEMP TABLE resources (id int)"), True, True, True),
    Attack(STATEMENTS, "A function in place of a built-in one", sql(
        "CREATE FUNCTION {attacker}.lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'"), True, True, True),
    Attack(STATEMENTS, "Tables made, changed or dropped (DDL)", sql(
        "CREATE TABLE mine (id int)", "ALTER TABLE resources ADD COLUMN extra int", "DROP TABLE resources"),
        True, True, True),
    Attack(STATEMENTS, "A schema of its own", sql("CREATE SCHEMA mine"), True, True, True),
    Attack(STATEMENTS, "History rewritten in the audit log", sql(
        "UPDATE audit_logs SET action = 'x'"), True, True, True),
    Attack(STATEMENTS, "`COPY` to a program", sql(
        "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'"), True, True, True),
    Attack(STATEMENTS, "`COPY` from a file of the server", sql(
        "CREATE TEMP TABLE version (line text)", "COPY version FROM 'PG_VERSION'"), True, True, True),
    Attack(STATEMENTS, "An extension (`dblink`, `postgres_fdw`, …)", sql("CREATE EXTENSION citext"),
        True, True, True),
    Attack(STATEMENTS, "A role of its own, or membership in another", sql(
        "CREATE ROLE accomplice", "GRANT {victim} TO accomplice"), True, True, True),
    Attack(STATEMENTS, "A lock of the session that stops migrations", block_migrations(for_the_session=True),
        True, True, True),
    Attack(STATEMENTS, "The registry of tenants, after `RESET ROLE`", sql(
        "RESET ROLE", "SELECT count(*) > 0 FROM platform.tenants", gets="True"), False, True, True),
    Attack(STATEMENTS, "Usage written for another tenant, after `RESET ROLE`", sql(
        "RESET ROLE", "INSERT INTO platform.usage_metrics SELECT * FROM platform.usage_metrics WHERE false"),
        False, True, True),
    Attack(STATEMENTS, "Operators' email addresses, after `RESET ROLE`", sql(
        "RESET ROLE", "SELECT count(email) FROM platform.operators"), False, True, True),
    Attack(STATEMENTS, "Operators' password hashes, after `RESET ROLE`", sql(
        "RESET ROLE", "SELECT count(password_hash) FROM platform.operators"), False, True, True),
    Attack(STATEMENTS, "The operators' trail read, after `RESET ROLE`", sql(
        "RESET ROLE", "SELECT count(details) FROM platform.operator_actions"), False, True, True),
    Attack(STATEMENTS, "An operator's action forged in their trail, after `RESET ROLE`", forge_action,
        False, True, True),
    Attack(STATEMENTS, "The operators' trail rewritten, after `RESET ROLE`", sql(
        "RESET ROLE", "UPDATE platform.operator_actions SET action = 'x:y'"), True, True, True),
    Attack(STATEMENTS, "An operator made, or given another password, after `RESET ROLE`", sql(
        "RESET ROLE", "UPDATE platform.operators SET password_hash = 'x'"), True, True, True),
    Attack(STATEMENTS, "Another session's statement, after `RESET ROLE`", read_statement_after_reset_role,
        False, True, True),
    Attack(STATEMENTS, "Another tenant's session ended, after `RESET ROLE`", end_another_session,
        False, True, True),
    Attack(STATEMENTS, "The password of the victim's login changed", sql(
        "RESET ROLE", f"ALTER ROLE {RUNTIME_ROLE} PASSWORD 'stolen'"), False, True, True),
    Attack(STATEMENTS, "What the victim's sessions begin with, changed for good", sql(
        "SET ROLE {victim}", "ALTER ROLE CURRENT_USER SET default_transaction_read_only = on"),
        False, True, True),
    Attack(STATEMENTS, "What the shared login's sessions begin with, changed for good", sql(
        "RESET ROLE", f"ALTER ROLE {RUNTIME_ROLE} SET default_transaction_read_only = on"),
        False, True, True),
    Attack(STATEMENTS, "A session setting left for the next tenant on the connection", poison_connection,
        False, True, True, afterwards=next_tenant_cannot_write),
    Attack(STATEMENTS, "Large objects and session locks in other databases of the server, with the login",
        enter_another_database, False, False, False),
    Attack(STATEMENTS, "A lock of the transaction that stops migrations", block_migrations(
        for_the_session=False), False, False, True),
    Attack(STATEMENTS, "Other tenants' notifications with `LISTEN`", overhear_notification,
        False, False, True),
    Attack(STATEMENTS, "`statement_timeout` lifted", sql(
        "SET LOCAL statement_timeout = 0", "SHOW statement_timeout", gets="0"), False, False, False),
)  # fmt: skip
