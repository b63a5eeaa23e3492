"""A migration of many tenants, against Alembic on each: `python -m bench.fleet [tenants …]`.

Makes the tenants in a PostgreSQL of its own, adds a column to all of them, and asks for drift. Exit code 1
beyond the budget.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import text

from app.core.context import tenant_schema
from app.core.database import owner_engine
from app.core.ids import new_id
from app.core.migrations import head_revision, upgrade_tenant, versions_folder
from app.embedded.throwaway import throwaway_database
from app.fleet import Fleet
from app.fleet.script import RevisionTree
from app.tenants.schema import create_schema

DEFAULT_SIZES: Final = (1000,)
BUDGET_MS_PER_TENANT: Final = 3.0
# Reading the revisions and connecting cost the same for a few tenants as for many.
SMALLEST_BUDGET_SECONDS: Final = 3.0
SAMPLE: Final = 30
# More would need more lock slots than PostgreSQL has by default.
TENANTS_PER_TRANSACTION: Final = 10
MAKERS: Final = 4
REVISION: Final = """\
import sqlalchemy as sa
from alembic import op

revision = "bench"
down_revision = "{head}"


def upgrade():
    op.add_column("resources", sa.Column("color", sa.String(), server_default="none", nullable=False))


def downgrade():
    op.drop_column("resources", "color")
"""


async def measure(url: str, tree: RevisionTree, size: int) -> bool:
    """Print one size's figures; whether they are within the budget."""
    say(f"{size} tenants")
    started = time.perf_counter()
    schemas = await make_tenants(url, size + SAMPLE)
    say(f"  made                       {time.perf_counter() - started:8.1f} s")
    baseline = await run_alembic(url, tree, schemas[:SAMPLE])
    say(f"  Alembic on each            {baseline * 1000:8.2f} ms a tenant, {SAMPLE} of them")
    fleet = Fleet({"default": url}, tenant=tree)
    started = time.perf_counter()
    report = await fleet.apply()
    seconds = time.perf_counter() - started
    if report.totals != {"migrated": size, "failed": 0, "untouched": 0}:
        raise SystemExit(f"not all were migrated: {report.totals}")
    budget = max(SMALLEST_BUDGET_SECONDS, size * BUDGET_MS_PER_TENANT / 1000)
    say(f"  ADD COLUMN, fleet          {seconds:8.2f} s, budget {budget:.1f} s")
    ratio = baseline * size / seconds
    say(f"  a tenant                   {seconds / size * 1000:8.2f} ms, {ratio:.0f} times less")
    for name, deep in (("names", False), ("every schema", True)):
        started = time.perf_counter()
        status = await fleet.status(deep=deep)
        spent = time.perf_counter() - started
        if status.drifted or status.behind:
            raise SystemExit(f"drift where there is none: {status.as_json()}")
        say(f"  drift check, {name:13} {spent * 1000:8.1f} ms")
    return seconds <= budget


async def make_tenants(url: str, number: int) -> list[str]:
    """As onboarding makes their schemas, some at a time."""
    ids = [new_id() for _ in range(number)]
    chunks = [ids[at : at + TENANTS_PER_TRANSACTION] for at in range(0, number, TENANTS_PER_TRANSACTION)]
    engine = owner_engine(url)

    async def make() -> None:
        while chunks:
            chunk = chunks.pop()
            async with engine.begin() as connection:
                for tenant_id in chunk:
                    await connection.execute(
                        text(
                            "INSERT INTO platform.tenants (id, slug, name, state, revision)"
                            " VALUES (:id, :slug, :slug, 'active', :revision)"
                        ),
                        {"id": tenant_id, "slug": f"b-{tenant_id.hex}", "revision": head_revision("tenant")},
                    )
                    await create_schema(connection, tenant_schema(tenant_id))

    await asyncio.gather(*(make() for _ in range(MAKERS)))
    await engine.dispose()
    return [tenant_schema(tenant_id) for tenant_id in ids]


async def run_alembic(url: str, tree: RevisionTree, schemas: Sequence[str]) -> float:
    """Seconds a tenant, with one connection and a transaction for each, as a loop over tenants does it."""
    engine = owner_engine(url)
    async with engine.connect() as connection:
        started = time.perf_counter()
        for schema in schemas:
            async with connection.begin():
                await upgrade_tenant(connection, schema, versions=tree.versions)
                await connection.execute(
                    text("UPDATE platform.tenants SET revision = :head WHERE id = CAST(:id AS uuid)"),
                    {"head": tree.head, "id": schema.removeprefix("t_")},
                )
        spent = time.perf_counter() - started
    await engine.dispose()
    return spent / len(schemas)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(sizes: Sequence[int]) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        versions = Path(scratch) / "versions"
        shutil.copytree(versions_folder("tenant"), versions, ignore=shutil.ignore_patterns("__pycache__"))
        (versions / "bench_color.py").write_text(REVISION.format(head=head_revision("tenant")))
        tree, within = RevisionTree("tenant", versions), True
        for size in sizes:
            with throwaway_database() as database:
                within = asyncio.run(measure(database.owner_url, tree, size)) and within
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main([int(argument) for argument in sys.argv[1:]] or DEFAULT_SIZES))
