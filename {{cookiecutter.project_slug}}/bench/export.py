"""How fast a tenant is exported, against pg_dump: `python -m bench.export [--rows N] [--tenants N]`.

Starts a PostgreSQL of its own, with other tenants beside the exported one: pg_dump takes longer for each.
"""

import argparse
import asyncio
import os
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import UUID

from sqlalchemy import text

from app.core.context import DEFAULT_PLACEMENT
from app.core.database import owner_engine
from app.embedded.binaries import postgres_bin
from app.embedded.throwaway import throwaway_database
from app.tenants.export import Export
from app.tenants.placements import OwnerDatabases
from bench.fleet import make_tenants, say

REPEATS: Final = 5


async def fill(url: str, schema: str, rows: int) -> None:
    """Give a tenant resources of about 200 bytes."""
    engine = owner_engine(url)
    query = (
        "INSERT INTO resources (id, name, data)"
        " SELECT gen_random_uuid(), 'resource ' || n, jsonb_build_object('text', repeat('x', 100))"
        " FROM generate_series(1, :rows) n"
    )
    async with engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL search_path TO {schema}"))
        await connection.execute(text(query), {"rows": rows})
    await engine.dispose()


async def seconds_of(folder: Path, work: Callable[[Path], Awaitable[object]]) -> tuple[float, int]:
    """The median time of a few files, and the size of one."""
    spent, size = [], 0
    for number in range(REPEATS):
        path = folder / f"{number}.tar"
        started = perf_counter()
        await work(path)
        spent.append(perf_counter() - started)
        size = path.stat().st_size
        path.unlink()
    return median(spent), size


async def dump(url: str, schema: str, path: Path) -> None:
    """pg_dump of one schema; the password goes by the environment."""
    where = urlsplit(url)
    options = ["--host", str(where.hostname), "--port", str(where.port), "--username", str(where.username)]
    process = await asyncio.create_subprocess_exec(
        postgres_bin() / "pg_dump", *options, "--schema", schema, "--format", "tar", "--file", path,
        "--dbname", where.path.removeprefix("/"),
        env={**os.environ, "PGPASSWORD": unquote(where.password or "")},
    )  # fmt: skip
    if await process.wait():
        raise subprocess.CalledProcessError(process.returncode or 1, "pg_dump")


async def measure(url: str, *, rows: int, tenants: int) -> None:
    """Print the figures of an empty tenant and of one with rows."""
    schemas = await make_tenants(url, tenants)
    owners = OwnerDatabases({DEFAULT_PLACEMENT: url}, pool_size=2)
    export = Export(owners)
    say(f"{'tenant':24}{'way':10}{'ms':>9}{'MB':>8}{'time':>9}")
    for name, schema, count in (("empty", schemas[0], 0), (f"{rows} resources", schemas[1], rows)):
        if count:
            await fill(url, schema, count)
        tenant_id = UUID(schema.removeprefix("t_"))
        with tempfile.TemporaryDirectory() as folder:
            baseline, dumped = await seconds_of(Path(folder), partial(dump, url, schema))
            spent, size = await seconds_of(Path(folder), partial(export.run, tenant_id))
        for way, took, written in (("pg_dump", baseline, dumped), ("export", spent, size)):
            ratio = took / baseline
            say(f"{name:24}{way:10}{took * 1000:9.0f}{written / 1e6:8.2f}{ratio:8.2f}x")
    await owners.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.export", description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--tenants", type=int, default=200)
    given = parser.parse_args()
    if given.tenants < 2 or given.rows < 1:
        parser.error("at least 2 tenants and 1 row")
    with throwaway_database() as database:
        asyncio.run(measure(database.owner_url, rows=given.rows, tenants=given.tenants))


if __name__ == "__main__":
    main()
