"""Every tenant reaches head, or is named with the reason; a run that is killed is finished by the next."""

import asyncio
import uuid

import asyncpg
import pytest

from app.core.database import owner_engine
from app.fleet import Fleet
from app.fleet.connections import HOLDER, MIGRATION_LOCK
from app.fleet.errors import MigratorBusy, MigratorLockLost, PlacementUnavailable, UnknownTenant
from app.fleet.report import ApplyReport, Outcome, Progress
from app.fleet.work import Pace
from app.tenants.schema import create_schema
from tests.fleet.conftest import (
    ADD_COLUMN,
    BUILD_INDEX,
    HEAD,
    OF_MIGRATOR,
    FleetDatabase,
    MakeDatabase,
    MakeTree,
    Member,
)

QUICK = Pace(attempts=2)
# A column that takes a moment in each tenant.
SLOW_COLUMN = ADD_COLUMN.replace("def upgrade():", "def upgrade():\n    op.execute('SELECT pg_sleep(0.02)')")
ONLY_EMPTY = """
def upgrade():
    op.create_check_constraint("ck_resources_none", "resources", "false")

def downgrade():
    op.drop_constraint("ck_resources_none", "resources")
"""


def reasons(report: ApplyReport) -> dict[str, str | None]:
    return {tenant.slug: tenant.reason for tenant in report.tenants if tenant.outcome is Outcome.FAILED}


async def add_resource(database: FleetDatabase, member: Member) -> None:
    await database.run(
        f"INSERT INTO {member.schema}.resources (id, name) VALUES (gen_random_uuid(), 'one of a kind')"
    )


async def test_fifty_tenants_reach_head_in_two_messages(
    database: FleetDatabase, make_tree: MakeTree, sent: list[str]
) -> None:
    members = await database.add(50)
    seen: list[Progress] = []
    report = await database.fleet(make_tree(ADD_COLUMN)).apply(watch=seen.append)
    assert report.ok
    assert report.totals == {"migrated": 50, "failed": 0, "untouched": 0}
    messages = [message for message in sent if "ALTER TABLE" in message]
    assert [message.count("SET LOCAL search_path TO t_") for message in messages] == [25, 25]
    assert all(message.startswith("BEGIN;") and message.endswith("COMMIT;") for message in messages)
    assert set(await database.revisions(members)) == {("x1", "x1")}
    assert await database.schemas_with_column("color") == {each.schema for each in members}
    assert (seen[0].done, seen[-1]) == (0, Progress(50, 50, 0))
    assert {tenant.id for tenant in report.tenants} == {each.id for each in members}
    assert all(tenant.seconds > 0 and (tenant.start, tenant.end) == (HEAD, "x1") for tenant in report.tenants)


async def test_applying_again_touches_nobody(database: FleetDatabase, make_tree: MakeTree) -> None:
    await database.add(3)
    fleet = database.fleet(make_tree(ADD_COLUMN))
    assert len((await fleet.apply()).tenants) == 3
    again = await fleet.apply()
    assert again.ok
    assert list(again.tenants) == []


async def test_a_tenant_that_fails_is_named_and_the_others_of_its_batch_go_on(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(8)
    await add_resource(database, members[3])
    report = await database.fleet(make_tree(ONLY_EMPTY)).apply()
    assert not report.ok
    assert report.totals == {"migrated": 7, "failed": 1, "untouched": 0}
    [reason] = reasons(report).values()
    assert reasons(report).keys() == {members[3].slug}
    assert "ck_resources_none" in str(reason)
    # The rows of a tenant are nothing for a log.
    assert "one of a kind" not in report.as_json()
    expected = [("x1", "x1")] * 8
    expected[3] = (HEAD, HEAD)
    assert await database.revisions(members) == expected


async def test_a_failed_canary_leaves_the_others_alone(database: FleetDatabase, make_tree: MakeTree) -> None:
    members = await database.add(6)
    await add_resource(database, members[1])
    fleet = database.fleet(make_tree(ONLY_EMPTY))
    report = await fleet.apply(canary=2)
    assert report.totals == {"migrated": 1, "failed": 1, "untouched": 4}
    assert await database.revisions(members) == [("x1", "x1"), *[(HEAD, HEAD)] * 5]
    await database.run(f"DELETE FROM {members[1].schema}.resources")
    assert (await fleet.apply(canary=2)).totals == {"migrated": 5, "failed": 0, "untouched": 0}
    assert set(await database.revisions(members)) == {("x1", "x1")}


async def test_a_lock_that_is_let_go_is_waited_for_and_one_that_is_not_fails_its_tenant_alone(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(4)
    fleet = database.fleet(make_tree(ADD_COLUMN))
    async with database.connect() as reader:
        await reader.execute(f"BEGIN; SELECT count(*) FROM {members[0].schema}.resources")
        report = await fleet.apply(pace=QUICK)
        assert reasons(report).keys() == {members[0].slug}
        assert "lock timeout" in str(reasons(report)[members[0].slug])
        assert await database.revisions(members) == [(HEAD, HEAD), *[("x1", "x1")] * 3]
        applying = asyncio.create_task(fleet.apply())
        await database.until(f"SELECT count(*) = 1 {OF_MIGRATOR} AND wait_event_type = 'Lock'")
        await database.until(f"SELECT count(*) = 0 {OF_MIGRATOR} AND wait_event_type = 'Lock'")
        await reader.execute("COMMIT")
        report = await applying
    assert report.ok
    assert [tenant.attempts > 1 for tenant in report.tenants] == [True]


async def test_named_tenants_alone_are_migrated(database: FleetDatabase, make_tree: MakeTree) -> None:
    members = await database.add(4)
    fleet = database.fleet(make_tree(ADD_COLUMN))
    report = await fleet.apply([members[0].slug, str(members[2].id)])
    assert {tenant.slug for tenant in report.tenants} == {members[0].slug, members[2].slug}
    assert await database.revisions(members) == [("x1", "x1"), (HEAD, HEAD)] * 2
    with pytest.raises(UnknownTenant, match="no-such-tenant"):
        await fleet.apply([members[1].slug, "no-such-tenant"])
    assert (await database.revisions(members))[1] == (HEAD, HEAD)


async def test_revisions_of_both_kinds_run_in_order_from_wherever_a_tenant_stands(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    early, late = await database.add(2)
    uses_index = """
def upgrade():
    op.execute("ALTER TABLE resources ADD CONSTRAINT uq_color UNIQUE USING INDEX ix_resources_color")

def downgrade():
    op.execute("ALTER TABLE resources DROP CONSTRAINT uq_color")
"""
    unique = BUILD_INDEX.replace('["name"]', '["color"], unique=True').replace(
        "resources_name", "resources_color"
    )
    assert (await database.fleet(make_tree(ADD_COLUMN)).apply([late.slug])).ok
    report = await database.fleet(make_tree(ADD_COLUMN, unique, uses_index)).apply()
    assert report.ok, reasons(report)
    assert await database.revisions([early, late]) == [("x3", "x3")] * 2
    for each in (early, late):
        assert await database.index_is_valid(each, "uq_color") is True


async def test_states_without_a_schema_are_passed_over_and_a_lost_schema_is_reported(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    for state in ("pending", "provisioning", "deleted"):
        await database.add(state=state, revision=None, with_schema=False)
    [deleted] = await database.add(state="deleted", with_schema=False)
    [lost] = await database.add(with_schema=False)
    [unstamped] = await database.add(revision=None)
    [unknown] = await database.add(revision="zzzz")
    [half_made] = await database.add(state="provisioning")
    report = await database.fleet(make_tree(ADD_COLUMN)).apply()
    found = reasons(report)
    assert found.keys() == {lost.slug, unstamped.slug, unknown.slug}
    assert "missing" in str(found[lost.slug])
    assert "--tenant" in str(found[unstamped.slug])
    assert "zzzz" in str(found[unknown.slug])
    assert deleted.slug not in {tenant.slug for tenant in report.tenants}
    assert await database.revisions([half_made]) == [("x1", "x1")]


async def test_a_tenant_that_is_being_moved_is_left_alone_and_reported(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    [moving] = await database.add()
    await database.run("UPDATE platform.tenants SET moving_to = 'second'")
    report = await database.fleet(make_tree(ADD_COLUMN)).apply()
    assert "being moved to second" in str(reasons(report)[moving.slug])
    assert await database.revisions([moving]) == [(HEAD, HEAD)]


async def test_a_schema_that_is_ahead_of_the_registry_is_believed(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(3)
    fleet = database.fleet(make_tree(ADD_COLUMN))
    assert (await fleet.apply()).ok
    # As after a registry that was restored from yesterday.
    await database.run(f"UPDATE platform.tenants SET revision = '{HEAD}' WHERE id = '{members[1].id}'")
    report = await fleet.apply()
    assert report.ok
    assert [(tenant.slug, tenant.corrected) for tenant in report.tenants] == [(members[1].slug, True)]
    assert set(await database.revisions(members)) == {("x1", "x1")}


async def test_a_schema_that_is_behind_the_registry_is_found_when_its_tenant_is_named(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(2)
    await database.run("UPDATE platform.tenants SET revision = 'x1'")
    fleet = database.fleet(make_tree(ADD_COLUMN))
    assert list((await fleet.apply()).tenants) == []
    report = await fleet.apply([members[0].slug])
    assert report.ok
    assert report.tenants[0].corrected
    assert await database.revisions(members) == [("x1", "x1"), ("x1", HEAD)]
    assert await database.schemas_with_column("color") == {members[0].schema}


async def test_two_migrators_never_work_at_once(database: FleetDatabase, make_tree: MakeTree) -> None:
    members = await database.add(2)
    fleet = database.fleet(make_tree(ADD_COLUMN))
    async with database.connect() as other:
        await other.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        pid = await other.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(MigratorBusy, match=rf"process {pid} since .*--wait"):
            await fleet.apply()
        assert set(await database.revisions(members)) == {(HEAD, HEAD)}
        waiting = asyncio.create_task(fleet.apply(wait=True))
        await asyncio.sleep(0.7)
        assert not waiting.done()
        # One that waits must hold no snapshot: a concurrent index build would wait for it, for ever.
        holding = f"SELECT count(*) {OF_MIGRATOR} AND state <> 'idle'"
        assert await other.fetchval(holding) == 0
    assert (await waiting).ok
    assert set(await database.revisions(members)) == {("x1", "x1")}


async def test_a_migrator_that_lost_its_lock_stops(database: FleetDatabase, make_tree: MakeTree) -> None:
    members = await database.add(12)
    applying = asyncio.create_task(
        database.fleet(make_tree(SLOW_COLUMN)).apply(pace=Pace(parallel=1, batch=1))
    )
    await database.until("SELECT count(*) > 1 FROM platform.tenants WHERE revision = 'x1'")
    await database.until(f"SELECT pg_terminate_backend(pid) FROM ({HOLDER}) holder", MIGRATION_LOCK)
    with pytest.raises(MigratorLockLost):
        await applying
    found = await database.revisions(members)
    assert all(registry == own for registry, own in found)
    assert (HEAD, HEAD) in found
    assert (await database.fleet(make_tree(SLOW_COLUMN)).apply()).ok


async def test_a_connection_that_breaks_is_made_again(database: FleetDatabase, make_tree: MakeTree) -> None:
    members = await database.add(30)
    applying = asyncio.create_task(
        database.fleet(make_tree(SLOW_COLUMN)).apply(pace=Pace(parallel=2, batch=5))
    )
    await database.until(f"SELECT pg_terminate_backend(pid) {OF_MIGRATOR} AND wait_event = 'PgSleep' LIMIT 1")
    report = await applying
    assert report.ok, reasons(report)
    assert set(await database.revisions(members)) == {("x1", "x1")}
    assert sum(tenant.attempts for tenant in report.tenants) == 5


async def test_a_platform_revision_that_fails_stops_before_the_tenants(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    members = await database.add(2)
    fails = """
def upgrade():
    op.execute("SELECT 1 / 0")

irreversible = "it never gets that far"
"""
    platform = make_tree(fails, name="platform")
    report = await Fleet(database.owners, platform=platform, tenant=make_tree(ADD_COLUMN)).apply()
    assert not report.ok
    assert "division by zero" in str(report.platform.reason)
    assert list(report.tenants) == []
    assert set(await database.revisions(members)) == {(HEAD, HEAD)}


async def test_a_platform_revision_builds_its_index_beside_the_traffic(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    index = """
def upgrade():
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_tenants_name", "tenants", ["name"], schema="platform", postgresql_concurrently=True
        )

def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_tenants_name", "tenants", schema="platform", postgresql_concurrently=True)
"""
    platform = make_tree(index, name="platform")
    report = await Fleet(database.owners, platform=platform).apply()
    assert report.ok, report.platform.reason
    assert report.platform.end == "x1"
    assert await database.value("SELECT version_num FROM platform.alembic_version") == "x1"
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'platform.ix_tenants_name'::regclass"
    assert await database.value(valid) is True


async def test_a_database_that_is_away_is_said_without_its_password() -> None:
    with pytest.raises(PlacementUnavailable) as caught:
        await Fleet({"default": "postgresql://app_owner:hunter2@127.0.0.1:9/app"}).apply()
    assert "hunter2" not in str(caught.value)


async def test_a_placement_in_another_database_is_migrated_with_the_registry_here(
    database: FleetDatabase, make_database: MakeDatabase, make_tree: MakeTree
) -> None:
    second = await make_database()
    here = await database.add(3)
    there = await database.add(7, placement="second", with_schema=False)
    await create_elsewhere(second, there)
    fleet = database.fleet(make_tree(ADD_COLUMN), second=second.urls.owner)
    # The first was committed there by a run that was killed before it came to the registry.
    await second.run(
        f"SET search_path TO {there[0].schema};"
        " ALTER TABLE resources ADD COLUMN color varchar NOT NULL DEFAULT 'none';"
        " UPDATE alembic_version SET version_num = 'x1'"
    )
    report = await fleet.apply(pace=Pace(parallel=2, batch=4))
    assert report.ok, reasons(report)
    assert {tenant.slug: tenant.corrected for tenant in report.tenants} == {
        each.slug: each is there[0] for each in here + there
    }
    assert set(await database.revisions(here)) == {("x1", "x1")}
    async with second.connect() as connection:
        for each in there:
            assert await connection.fetchval(f"SELECT version_num FROM {each.schema}.alembic_version") == "x1"
    assert await database.value("SELECT count(*) FROM platform.tenants WHERE revision = 'x1'") == 10


async def test_a_placement_without_a_url_or_without_a_server_is_reported_and_the_others_go_on(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    [here] = await database.add()
    [nowhere] = await database.add(placement="nowhere", with_schema=False)
    [away] = await database.add(placement="away", with_schema=False)
    fleet = database.fleet(make_tree(ADD_COLUMN), away="postgresql://app_owner:hunter2@127.0.0.1:9/app")
    report = await fleet.apply()
    found = reasons(report)
    assert found.keys() == {nowhere.slug, away.slug}
    assert "nowhere has no URL" in str(found[nowhere.slug])
    assert "away" in str(found[away.slug])
    assert "hunter2" not in report.as_json()
    assert await database.revisions([here]) == [("x1", "x1")]
    status = await fleet.status()
    assert status.drifted
    assert status.unreachable.keys() == {"nowhere", "away"}


async def create_elsewhere(other: FleetDatabase, members: list[Member]) -> None:
    """The schemas of tenants whose rows are in the registry of another database."""
    engine = owner_engine(other.urls.owner)
    async with engine.begin() as connection:
        for each in members:
            await create_schema(connection, each.schema)
    await engine.dispose()


async def test_a_role_that_is_not_the_owner_changes_nothing(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    """The runtime login, with which requests are served, cannot migrate even when it is told to."""
    members = await database.add(2)
    fleet = Fleet({"default": database.urls.runtime}, tenant=make_tree(ADD_COLUMN))
    with pytest.raises((asyncpg.InsufficientPrivilegeError, PlacementUnavailable)):
        await fleet.apply()
    assert set(await database.revisions(members)) == {(HEAD, HEAD)}


async def test_a_name_of_a_placement_cannot_carry_sql() -> None:
    with pytest.raises(ValueError, match="placements are named"):
        Fleet({"default": "postgresql://x", f"a'; DROP {uuid.uuid4()}": "postgresql://y"})
