"""Schemas on a Citus cluster are migrated with the others, each on its worker."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import owner_engine
from app.core.provisioning import OWNER_ROLE
from app.fleet.work import Pace
from app.tenants.schema import create_schema, drop_schema
from tests.citus import CITUS_PLACEMENT, CitusCluster
from tests.fleet.conftest import ADD_COLUMN, BUILD_INDEX, HEAD, FleetDatabase, MakeTree, Member

ADD_TABLE = """
def upgrade():
    op.create_table(
        "labels",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("resource_id", sa.Uuid(), sa.ForeignKey("resources.id"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
    )
    op.create_index("ix_labels_resource_id", "labels", ["resource_id"])
    op.create_index("uq_labels_name", "labels", ["name"], unique=True)
    op.execute("INSERT INTO labels (id, resource_id, name) SELECT id, id, 'of ' || name FROM resources")

def downgrade():
    op.drop_table("labels")
"""
BREAK = """
def upgrade():
    op.create_unique_constraint("uq_resources_name", "resources", ["name"])

def downgrade():
    op.drop_constraint("uq_resources_name", "resources")
"""


@pytest.fixture
async def owner(citus: CitusCluster) -> AsyncIterator[AsyncEngine]:
    engine = owner_engine(citus.url(OWNER_ROLE))
    yield engine
    await engine.dispose()


@pytest.fixture
async def members(database: FleetDatabase, owner: AsyncEngine) -> AsyncIterator[list[Member]]:
    """Four tenants on Citus, with a row each."""
    made = await database.add(4, placement=CITUS_PLACEMENT, with_schema=False)
    for each in made:
        async with owner.begin() as connection:
            await create_schema(connection, each.schema)
            insert = "INSERT INTO resources (id, name) VALUES (gen_random_uuid(), 'one')"
            await connection.execute(text(insert))
    yield made
    for each in made:
        async with owner.begin() as connection:
            await drop_schema(connection, each.schema)


async def versions(owner: AsyncEngine, members: list[Member]) -> list[str]:
    async with owner.connect() as connection:
        return [
            str(await connection.scalar(text(f"SELECT version_num FROM {each.schema}.alembic_version")))
            for each in members
        ]


async def indexes_of_shards(citus: CitusCluster, member: Member) -> int:
    """How many of the new indexes are valid on the workers, where the rows are."""
    query = (
        "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND i.indisvalid"
        " AND c.relname ~ '^(ix_resources_name|ix_labels_resource_id|uq_labels_name)_[0-9]+$'"
    )
    held = 0
    for port in citus.workers:
        worker = await asyncpg.connect(citus.url(port=port))
        await worker.execute("SET citus.override_table_visibility TO off")
        held += await worker.fetchval(query, member.schema)
        await worker.close()
    return held


@pytest.mark.parametrize("batch", [1, 4])
async def test_tenants_on_citus_and_plain_ones_reach_the_same_head(  # noqa: PLR0917
    database: FleetDatabase,
    citus: CitusCluster,
    owner: AsyncEngine,
    members: list[Member],
    make_tree: MakeTree,
    batch: int,
) -> None:
    """Columns, tables with indexes and rows in one transaction, and indexes built concurrently."""
    plain = await database.add(2)
    fleet = database.fleet(make_tree(ADD_COLUMN, ADD_TABLE, BUILD_INDEX), citus=citus.url(OWNER_ROLE))
    report = await fleet.apply(pace=Pace(batch=batch, parallel=2))
    assert report.ok, report
    assert await versions(owner, members) == ["x3"] * 4
    assert set(await database.revisions(plain)) == {("x3", "x3")}
    registered = await database.value(
        "SELECT array_agg(DISTINCT revision) FROM platform.tenants WHERE placement = 'citus'"
    )
    assert registered == ["x3"]
    async with owner.connect() as connection:
        for each in members:
            label = text(
                f"SELECT l.name, r.color FROM {each.schema}.labels l JOIN {each.schema}.resources r"
                " ON r.id = l.resource_id"
            )
            assert (await connection.execute(label)).all() == [("of one", "none")]
    assert [await indexes_of_shards(citus, each) for each in members] == [3] * 4
    status = await fleet.status(deep=True)
    assert (status.behind, status.missing_schemas, status.mismatches) == (0, [], [])


async def test_a_tenant_that_fails_is_left_as_it_was_and_the_others_go_on(
    database: FleetDatabase,
    citus: CitusCluster,
    owner: AsyncEngine,
    members: list[Member],
    make_tree: MakeTree,
) -> None:
    async with owner.begin() as connection:
        twice = f"INSERT INTO {members[1].schema}.resources (id, name) VALUES (gen_random_uuid(), 'one')"
        await connection.execute(text(twice))
    fleet = database.fleet(make_tree(ADD_COLUMN, BREAK), citus=citus.url(OWNER_ROLE))
    report = await fleet.apply()
    assert not report.ok
    assert await versions(owner, members) == ["x2", HEAD, "x2", "x2"]
    [failed] = [tenant for tenant in report.tenants if tenant.reason]
    assert failed.slug == members[1].slug
    assert "could not create unique index" in failed.reason
