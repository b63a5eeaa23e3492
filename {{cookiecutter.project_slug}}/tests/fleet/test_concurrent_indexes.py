"""An index is built beside the traffic, again after a failure, and never left half made."""

import asyncio

import asyncpg

from app.core.migrations import GOLDEN_TENANT_SCRIPT, render_tenant_script
from app.fleet.work import Pace
from tests.fleet.conftest import ADD_COLUMN, BUILD_INDEX, HEAD, OF_MIGRATOR, FleetDatabase, MakeTree

UNIQUE_INDEX = BUILD_INDEX.replace('["name"]', '["name"], unique=True')


async def test_indexes_are_built_outside_of_a_transaction_and_recorded_afterwards(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(6)
    report = await database.fleet(make_tree(ADD_COLUMN, BUILD_INDEX)).apply()
    assert report.ok
    assert set(await database.revisions(members)) == {("x2", "x2")}
    assert [await database.index_is_valid(each, "ix_resources_name") for each in members] == [True] * 6


async def test_writers_are_not_kept_waiting_by_an_index_build_that_waits_for_a_reader(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    [member] = await database.add()
    insert = f"INSERT INTO {member.schema}.resources (id, name) VALUES (gen_random_uuid(), 'x')"
    async with database.connect() as reader, database.connect() as writer:
        await reader.execute(f"BEGIN; {insert}")
        applying = asyncio.create_task(database.fleet(make_tree(BUILD_INDEX)).apply())
        await database.until(f"SELECT count(*) {OF_MIGRATOR} AND wait_event_type = 'Lock'")
        await asyncio.wait_for(writer.execute(insert), 1)
        assert await database.revisions([member]) == [(HEAD, HEAD)]
        await reader.execute("COMMIT")
    assert (await applying).ok
    assert await database.index_is_valid(member, "ix_resources_name") is True


async def test_a_unique_index_that_fails_is_removed_and_built_when_the_rows_allow(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(3)
    table = f"{members[1].schema}.resources"
    await database.run(
        f"INSERT INTO {table} (id, name) SELECT gen_random_uuid(), 'twin' FROM generate_series(1, 2)"
    )
    fleet = database.fleet(make_tree(UNIQUE_INDEX))
    report = await fleet.apply()
    assert report.totals == {"migrated": 2, "failed": 1, "untouched": 0}
    assert "twin" not in report.as_json()
    # An invalid unique index would go on refusing rows.
    assert await database.index_is_valid(members[1], "ix_resources_name") is None
    await database.run(f"DELETE FROM {table}")
    assert (await fleet.apply()).ok
    assert set(await database.revisions(members)) == {("x1", "x1")}
    assert await database.index_is_valid(members[1], "ix_resources_name") is True


async def test_what_a_killed_build_left_behind_is_replaced(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    invalid, built = await database.add(2)
    for each in (invalid, built):
        await database.run(f"CREATE INDEX ix_resources_name ON {each.schema}.resources (name)")
    await _invalidate(database, f"{invalid.schema}.ix_resources_name")
    assert await database.index_is_valid(invalid, "ix_resources_name") is False
    kept = await database.value("SELECT to_regclass($1)::oid", f"{built.schema}.ix_resources_name")
    assert (await database.fleet(make_tree(BUILD_INDEX)).apply()).ok
    assert await database.revisions([invalid, built]) == [("x1", "x1")] * 2
    assert await database.index_is_valid(invalid, "ix_resources_name") is True
    # One that was finished and not yet recorded is not built twice.
    assert await database.value("SELECT to_regclass($1)::oid", f"{built.schema}.ix_resources_name") == kept


async def _invalidate(database: FleetDatabase, index: str) -> None:
    """What an interrupted CREATE INDEX CONCURRENTLY leaves."""
    connection = await asyncpg.connect(database.urls.superuser)
    await connection.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{index}'::regclass")
    await connection.close()


async def test_dropping_an_index_concurrently_can_be_repeated(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(3)
    drop = """
def upgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_resources_owner_id", table_name="resources", postgresql_concurrently=True)

def downgrade():
    with op.get_context().autocommit_block():
        op.create_index("ix_resources_owner_id", "resources", ["owner_id"], postgresql_concurrently=True)
"""
    await database.run(f"DROP INDEX {members[0].schema}.ix_resources_owner_id")
    report = await database.fleet(make_tree(drop)).apply(pace=Pace(parallel=2))
    assert report.ok
    for each in members:
        assert await database.index_is_valid(each, "ix_resources_owner_id") is None


async def test_a_new_tenant_gets_the_same_indexes_in_its_one_transaction(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    tree = make_tree(ADD_COLUMN, BUILD_INDEX)
    script = render_tenant_script(versions=tree.versions)
    assert "CONCURRENTLY" not in script
    assert "COMMIT" not in script
    assert "CREATE INDEX ix_resources_name ON resources (name);" in script
    assert script.splitlines()[0] != GOLDEN_TENANT_SCRIPT.read_text().splitlines()[0]
    migrated, made = await database.add(2)
    assert (await database.fleet(tree).apply([migrated.slug])).ok
    async with database.connect() as connection:
        await connection.execute(
            f"BEGIN; DROP SCHEMA {made.schema} CASCADE; CREATE SCHEMA {made.schema};"
            f" SET LOCAL search_path TO {made.schema}; {script}; COMMIT"
        )
        shape = """
            SELECT array_agg(replace(indexdef, $1, '') ORDER BY indexdef)
              FROM pg_indexes WHERE schemaname = $1
        """
        found = [await connection.fetchval(shape, each.schema) for each in (migrated, made)]
    assert found[0] == found[1]
    assert await database.value(f"SELECT version_num FROM {made.schema}.alembic_version") == "x2"
