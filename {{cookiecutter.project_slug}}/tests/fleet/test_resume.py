"""A migrator that is killed leaves every tenant whole, lets go of the lock, and is finished by the next."""

import asyncio
import os

import pytest

from app.fleet.script import RevisionTree
from tests.commands import ROOT, Command, of_the_project
from tests.fleet.conftest import ADD_COLUMN, BUILD_INDEX, HEAD, OF_MIGRATOR, FleetDatabase, MakeTree

SLOW_COLUMN = ADD_COLUMN.replace("def upgrade():", "def upgrade():\n    op.execute('SELECT pg_sleep(0.01)')")
MIGRATOR = """
import asyncio, os, sys
from pathlib import Path
from app.fleet import Fleet
from app.fleet.script import RevisionTree
from app.fleet.work import Pace

tree = RevisionTree("tenant", Path(sys.argv[1]))
asyncio.run(Fleet({"default": os.environ["OWNER"]}, tenant=tree).apply(pace=Pace(parallel=2, batch=4)))
"""


def start(database: FleetDatabase, tree: RevisionTree) -> Command:
    """A migrator; SIGKILL ends it when the block is left."""
    environment = os.environ | {"OWNER": database.urls.owner}
    return of_the_project().start("-c", MIGRATOR, str(tree.folder), cwd=ROOT, environment=environment)


async def test_killed_in_the_middle_it_is_finished_by_the_next_run(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(30)
    tree = make_tree(SLOW_COLUMN)
    for done in (4, 12):
        with start(database, tree):
            await database.until("SELECT count(*) >= $1 FROM platform.tenants WHERE revision = 'x1'", done)
        # What it had sent is rolled back or committed by the server, whole.
        found = await database.revisions(members)
        assert (HEAD, HEAD) in found
        assert set(found) <= {(HEAD, HEAD), ("x1", "x1")}
    # The lock went with the process: this does not wait for it.
    report = await database.fleet(tree).apply()
    assert report.ok, report.as_json()
    assert 0 < report.totals["migrated"] < 30
    assert set(await database.revisions(members)) == {("x1", "x1")}
    assert await database.schemas_with_column("color") == {each.schema for each in members}


async def test_what_a_killed_run_had_begun_is_rolled_back_soon_and_keeps_nobody_waiting(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(4)
    with start(
        database,
        make_tree(
            ADD_COLUMN.replace("\ndef downgrade", "    op.execute('SELECT pg_sleep(30)')\n\ndef downgrade")
        ),
    ):
        await database.until(f"SELECT count(*) {OF_MIGRATOR} AND wait_event = 'PgSleep'")
    # The server notices that nobody is there, long before the statement would end.
    await database.until(f"SELECT count(*) = 0 {OF_MIGRATOR}")
    assert set(await database.revisions(members)) == {(HEAD, HEAD)}
    assert await database.schemas_with_column("color") == set()
    assert (await database.fleet(make_tree(ADD_COLUMN)).apply()).ok
    assert await database.schemas_with_column("color") == {each.schema for each in members}


async def test_killed_while_it_builds_indexes_it_is_finished_by_the_next_run(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(6)
    tree = make_tree(BUILD_INDEX)
    async with database.connect() as writer:
        # The build in this tenant waits, half made.
        await writer.execute(
            f"BEGIN; INSERT INTO {members[3].schema}.resources (id, name) VALUES (gen_random_uuid(), 'x')"
        )
        with start(database, tree):
            await database.until(
                "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)",
                f"{members[3].schema}.ix_resources_name",
            )
        assert (await database.revisions(members))[3] == (HEAD, HEAD)
        applying = asyncio.create_task(database.fleet(tree).apply())
        await asyncio.sleep(0.5)
        await writer.execute("COMMIT")
    report = await applying
    assert report.ok, report.as_json()
    assert set(await database.revisions(members)) == {("x1", "x1")}
    assert [await database.index_is_valid(each, "ix_resources_name") for each in members] == [True] * 6


@pytest.mark.nightly
async def test_a_thousand_tenants_reach_head_through_kills(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(1000)
    tree = make_tree(ADD_COLUMN, BUILD_INDEX)
    for share in (200, 600):
        with start(database, tree):
            await database.until(
                f"SELECT count(*) >= $1 FROM platform.tenants WHERE revision <> '{HEAD}'", share
            )
    report = await database.fleet(tree).apply()
    assert report.ok, report.as_json()
    assert set(await database.revisions(members)) == {("x2", "x2")}
    assert await database.schemas_with_column("color") == {each.schema for each in members}
    valid = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE indisvalid"
    assert await database.value(f"{valid} AND relname = 'ix_resources_name'") == 1000
    status = await database.fleet(tree).status(deep=True)
    assert (status.drifted, status.behind) == (False, 0)
    assert status.revisions == {"default": {"x2": 1000}}
