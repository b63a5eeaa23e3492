"""Keeps a tenant's role from writing, or from reading too, and puts its rights back as they were.

The rights are the database's own, so they bind every process, whatever it remembers of the tenant.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.tenants.copying import Rows, quote
from app.tenants.schema import send_script

LOCK_TIMEOUT: Final = "20s"
_GRANTS: Final = text(
    "SELECT c.relname, NULL, g.privilege_type FROM pg_class c, aclexplode(c.relacl) g"
    " WHERE c.relnamespace = to_regnamespace(:schema) AND c.relkind IN ('r', 'p')"
    " AND g.grantee = (SELECT oid FROM pg_roles WHERE rolname = :schema)"
    " UNION ALL"
    " SELECT c.relname, a.attname, g.privilege_type FROM pg_class c"
    " JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped, aclexplode(a.attacl) g"
    " WHERE c.relnamespace = to_regnamespace(:schema) AND c.relkind IN ('r', 'p')"
    " AND g.grantee = (SELECT oid FROM pg_roles WHERE rolname = :schema)"
    " ORDER BY 1, 2, 3"
)

# Table, column or None, privilege: as JSON keeps it.
Grant = Sequence[Any]


async def grants_of(connection: AsyncConnection, schema: str) -> list[list[str | None]]:
    """What the role may do with the tables of its schema; not every table is granted alike."""
    return [list(row) for row in await connection.execute(_GRANTS, {"schema": schema})]


async def forbid_writes(connection: AsyncConnection, schema: str) -> None:
    """Refuse every statement that writes, from the commit on. Safe to repeat."""
    await send_script(
        connection,
        f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {schema} FROM {schema}",
    )


async def forbid_all(connection: AsyncConnection, schema: str) -> None:
    """Refuse every statement, from the commit on. Safe to repeat."""
    await send_script(connection, f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {schema}")


async def await_writers(connection: AsyncConnection, tables: Iterable[str]) -> None:
    """Wait until every transaction that has written to one of the tables has ended.

    A statement locks its table before its rights are checked. So, once writes are forbidden, whoever passed
    the check before holds the lock that is waited for here, and whoever comes later is refused. One table at
    a time: a writer of two could otherwise wait for us while we wait for it.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    for table in tables:
        async with connection.begin_nested() as savepoint:
            await connection.exec_driver_sql(f"LOCK TABLE {table} IN SHARE MODE")
            await savepoint.rollback()


async def restore_grants(connection: AsyncConnection, schema: str, grants: Sequence[Grant]) -> None:
    """Give back exactly what `grants_of` found. Safe to repeat."""
    statements = [
        f"GRANT {privilege}{'' if column is None else f' ({quote(column)})'}"
        f" ON {Rows(schema, table, ()).name} TO {schema};"
        for table, column, privilege in grants
    ]
    await send_script(connection, "\n".join(statements))
