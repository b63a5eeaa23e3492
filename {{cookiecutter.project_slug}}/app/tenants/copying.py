"""Rows of a tenant in bulk: which tables, in which order, and through COPY from one place to another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.tenants.errors import CopyFailed
from app.tenants.manifest import shown
from app.tenants.schema import driver_of

VERSION_TABLE: Final = "alembic_version"
# Chunks on their way from one database to the other, of some hundred kilobytes each.
MAX_QUEUED_CHUNKS: Final = 4
# How values are written, whatever a role or a database has set.
_TEXT_FORM: Final = """
    SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'; SET LOCAL TimeZone = 'UTC';
    SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 3;
"""
_COLUMNS: Final = text(
    "SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c"
    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " AND a.attgenerated = ''"
    " WHERE c.relnamespace = to_regnamespace(:schema) AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    " AND c.relname <> :version_table GROUP BY c.relname ORDER BY c.relname"
)
_REFERENCES: Final = text(
    "SELECT child.relname AS child, parent.relname AS parent, f.conname AS name,"
    " pg_get_constraintdef(f.oid) AS definition FROM pg_constraint f"
    " JOIN pg_class child ON child.oid = f.conrelid JOIN pg_class parent ON parent.oid = f.confrelid"
    " WHERE f.contype = 'f' AND f.connamespace = to_regnamespace(:schema) AND child.oid <> parent.oid"
    # What a partition has of its table follows it.
    " AND f.conparentid = 0 ORDER BY child.relname, f.conname"
)
_SEQUENCES: Final = text(
    "SELECT s.relname, t.relname, a.attname FROM pg_depend d"
    " JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'"
    " JOIN pg_class t ON t.oid = d.refobjid"
    " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid"
    " WHERE d.classid = CAST('pg_class' AS regclass) AND d.refclassid = d.classid"
    " AND d.deptype IN ('a', 'i') AND t.relnamespace = to_regnamespace(:schema)"
)

# Gets a table's name and how many bytes of it have passed.
Progress = Callable[[str, int], None]
Sink = Callable[[bytes], Awaitable[None]]


def unseen(_table: str, _passed: int) -> None:
    """The progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some columns of a table; of the whole table, or of one tenant's part of a shared one."""

    schema: str
    table: str
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The qualified table, as SQL."""
        return f"{quote(self.schema)}.{quote(self.table)}"

    @property
    def query(self) -> str:
        return f"SELECT {', '.join(map(quote, self.columns))} FROM {self.name}"  # noqa: S608  # quoted


def quote(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


async def tables_of(connection: AsyncConnection, schema: str) -> list[Rows]:
    """Every table of a tenant but Alembic's, each after those that it refers to, as far as that can be."""
    columns = await columns_of(connection, schema)
    parents: dict[str, set[str]] = {name: set() for name in columns}
    for reference in await connection.execute(_REFERENCES, {"schema": schema}):
        if reference.child in parents and reference.parent in parents:
            parents[reference.child].add(reference.parent)
    return [Rows(schema, name, columns[name]) for name in load_order(parents)]


async def columns_of(connection: AsyncConnection, schema: str) -> dict[str, tuple[str, ...]]:
    """The columns that can be written, of every table but Alembic's."""
    parameters = {"schema": schema, "version_table": VERSION_TABLE}
    return {name: tuple(found) for name, found in await connection.execute(_COLUMNS, parameters)}


def load_order(parents: Mapping[str, Iterable[str]]) -> list[str]:
    """Tables with each after its parents, the same for the same tables; a circle begins somewhere."""
    left = {name: sorted(parents[name]) for name in sorted(parents)}
    while True:
        try:
            return list(TopologicalSorter(left).static_order())
        except CycleError as error:
            # Each is a parent of the next one.
            parent, child, *_ = error.args[1]
            left[child].remove(parent)


@asynccontextmanager
async def loading(connection: AsyncConnection, schema: str, order: Sequence[str]) -> AsyncIterator[None]:
    """While it lasts, tables that nobody uses yet can be filled in this order.

    A foreign key to a table that comes later, as in a circle, is dropped, and added when all are full: every
    row is checked then. The caller's transaction makes it all or nothing. Raises CopyFailed.
    """
    position = {table: number for number, table in enumerate(order)}
    later = [
        reference
        for reference in (await connection.execute(_REFERENCES, {"schema": schema})).all()
        if position.get(reference.child, 0) < position.get(reference.parent, 0)
    ]
    driver = driver_of(connection)
    for each in later:
        table = Rows(schema, each.child, ()).name
        await driver.execute(f"ALTER TABLE {table} DROP CONSTRAINT {quote(each.name)}")
    yield
    with _refusals():
        if later:
            # A check that waits for the commit keeps its table from being altered.
            await driver.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for each in later:
            table = Rows(schema, each.child, ()).name
            await driver.execute(f"ALTER TABLE {table} ADD CONSTRAINT {quote(each.name)} {each.definition}")


async def fix_text_form(connection: AsyncConnection) -> None:
    """Make COPY write values the same way everywhere, until the transaction ends."""
    await driver_of(connection).execute(_TEXT_FORM)


async def copy_out(
    connection: AsyncConnection, rows: Rows, sink: Sink, *, csv: bool = False, where: str = ""
) -> int:
    """Send the rows to `sink` chunk by chunk; returns how many they were. Raises CopyFailed."""
    options = {"format": "csv", "header": True} if csv else {}
    with _refusals():
        status = await driver_of(connection).copy_from_query(f"{rows.query} {where}", output=sink, **options)
    return _count(status)


async def copy_in(
    connection: AsyncConnection, rows: Rows, source: AsyncIterator[bytes], *, csv: bool = False
) -> int:
    """Load rows, of a temporary table when the schema is `pg_temp`; returns how many. Raises CopyFailed."""
    options = {"format": "csv", "header": True} if csv else {}
    with _refusals():
        status = await driver_of(connection).copy_to_table(
            rows.table, schema_name=rows.schema, columns=rows.columns, source=source, **options
        )
    return _count(status)


async def pipe(source: AsyncConnection, target: AsyncConnection, rows: Rows, progress: Progress) -> int:
    """Copy a table from one database to the other without ever holding it; returns how many rows.

    Raises CopyFailed.
    """
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_QUEUED_CHUNKS)

    async def send() -> int:
        sent = await copy_out(source, rows, queue.put)
        await queue.put(None)
        return sent

    async def chunks() -> AsyncIterator[bytes]:
        passed = 0
        while (chunk := await queue.get()) is not None:
            passed += len(chunk)
            progress(rows.table, passed)
            yield chunk

    try:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(send())
            loading = group.create_task(copy_in(target, rows, chunks()))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if sending.result() != loading.result():
        raise CopyFailed(f"{rows.table}: {sending.result()} rows were sent, {loading.result()} arrived.")
    return loading.result()


async def count(connection: AsyncConnection, rows: Rows) -> int:
    """How many rows the table has."""
    # Not as text(), to which a colon in a name would begin a parameter.
    counted = await connection.exec_driver_sql(f"SELECT count(*) FROM {rows.name}")  # noqa: S608  # quoted
    return int(counted.scalar_one())


async def restart_sequences(connection: AsyncConnection, schema: str) -> None:
    """Let identity columns go on behind the largest loaded value."""
    for sequence, table, column in (await connection.execute(_SEQUENCES, {"schema": schema})).all():
        largest = f"SELECT max({quote(column)}) FROM {quote(schema)}.{quote(table)}"  # noqa: S608  # quoted
        await connection.exec_driver_sql(
            f"SELECT setval(CAST(CAST($1 AS text) AS regclass), ({largest}))",
            (f"{quote(schema)}.{quote(sequence)}",),
        )


def refuse_differences(expected: Sequence[Rows], found: Sequence[Rows]) -> None:
    """Raises CopyFailed unless both have the same tables with the same columns, in whatever order."""
    wanted = {rows.table: sorted(rows.columns) for rows in expected}
    present = {rows.table: sorted(rows.columns) for rows in found}
    differing = sorted(name for name in {*wanted, *present} if wanted.get(name) != present.get(name))
    if differing:
        raise CopyFailed(
            f"These tables are not what their revision says: {', '.join(map(shown, differing))}."
        )


def _count(status: str) -> int:
    return int(status.removeprefix("COPY "))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CopyFailed(str(error).partition("\n")[0]) from error
