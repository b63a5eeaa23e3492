"""Status finds where registry and databases disagree; plan says what would run and touches nothing."""

import json
import uuid

from app.fleet.report import Mismatch
from tests.fleet.conftest import ADD_COLUMN, BUILD_INDEX, HEAD, FleetDatabase, MakeDatabase, MakeTree
from tests.fleet.test_apply import create_elsewhere


async def test_a_healthy_fleet_shows_no_drift(database: FleetDatabase, make_tree: MakeTree) -> None:
    await database.add(3)
    await database.add(state="pending", revision=None, with_schema=False)
    for deep in (False, True):
        status = await database.fleet().status(deep=deep)
        assert not status.drifted
        assert status.revisions == {"default": {HEAD: 3, "none": 1}}
        assert (status.behind, status.head, status.platform) == (0, HEAD, status.platform_head)
    # Being behind is no drift.
    behind = await database.fleet(make_tree(ADD_COLUMN)).status(deep=True)
    assert (behind.behind, behind.drifted) == (3, False)


async def test_drift_is_found_by_name_and_in_depth(database: FleetDatabase) -> None:
    ahead, bare, _ = await database.add(3)
    [lost] = await database.add(with_schema=False)
    stray = f"t_{uuid.uuid4().hex}"
    await database.run(
        f"CREATE SCHEMA {stray}; CREATE SCHEMA t_of_somebody_else;"
        f" UPDATE {ahead.schema}.alembic_version SET version_num = 'zzzz';"
        f" DROP TABLE {bare.schema}.alembic_version"
    )
    status = await database.fleet().status()
    assert status.drifted
    assert list(status.missing_schemas) == [f"{lost.slug} ({lost.schema} on default)"]
    assert list(status.stray_schemas) == [f"{stray} on default"]
    assert list(status.mismatches) == []
    deep = await database.fleet().status(deep=True)
    assert list(deep.mismatches) == [Mismatch(ahead.slug, HEAD, "zzzz"), Mismatch(bare.slug, HEAD, None)]
    assert json.loads(deep.as_json())["mismatches"][0] == {
        "tenant": ahead.slug,
        "registry": HEAD,
        "schema": "zzzz",
    }


async def test_drift_is_checked_in_as_many_queries_for_many_tenants_as_for_few(
    database: FleetDatabase, sent: list[str]
) -> None:
    counts = []
    for number in (2, 20):
        await database.add(number)
        for deep in (False, True):
            sent.clear()
            assert not (await database.fleet().status(deep=deep)).drifted
            counts.append(len(sent))
    # The platform's revision and the registry, each asked whether it is there; names; in depth two more.
    assert counts == [5, 7, 5, 7]


async def test_a_schema_on_the_wrong_placement_is_a_stray_unless_its_tenant_is_moving_there(
    database: FleetDatabase, make_database: MakeDatabase
) -> None:
    second = await make_database()
    [member] = await database.add()
    await create_elsewhere(second, [member])
    fleet = database.fleet(second=second.urls.owner)
    assert list((await fleet.status()).stray_schemas) == [f"{member.schema} on second"]
    await database.run("UPDATE platform.tenants SET moving_to = 'second'")
    assert not (await fleet.status()).drifted


async def test_a_database_that_was_never_migrated_has_a_status_and_a_plan(
    database: FleetDatabase,
) -> None:
    await database.run("DROP SCHEMA platform CASCADE")
    status = await database.fleet().status()
    assert (status.platform, status.revisions, status.drifted) == (None, {"default": {}}, False)
    plan = await database.fleet().plan()
    assert plan.platform is not None
    assert plan.platform.revisions[0].id == "0001"
    assert "CREATE TABLE platform.tenants" in plan.platform.sql
    assert await database.value("SELECT to_regnamespace('platform')") is None
    assert (await database.fleet().apply()).ok


async def test_a_plan_counts_tenants_by_where_they_start_and_shows_what_is_outside_of_a_transaction(
    database: FleetDatabase, make_tree: MakeTree
) -> None:
    late, *early = await database.add(3)
    [lost] = await database.add(with_schema=False)
    assert (await database.fleet(make_tree(ADD_COLUMN)).apply([late.slug])).ok
    plan = await database.fleet(make_tree(ADD_COLUMN, BUILD_INDEX)).plan()
    assert plan.platform is None
    assert {path.start: path.tenants for path in plan.tenants} == {"x1": 1, HEAD: 2}
    whole = next(path for path in plan.tenants if path.start == HEAD)
    assert [revision.file for revision in whole.revisions] == ["x1_added.py", "x2_added.py"]
    index = "CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_resources_name ON resources (name)"
    assert [list(revision.concurrent) for revision in whole.revisions] == [[], [index]]
    assert "ALTER TABLE resources ADD COLUMN color" in whole.sql
    assert f"{index};" in whole.sql
    assert [problem.tenant for problem in plan.problems] == [lost.slug]
    assert await database.revisions(early) == [(HEAD, HEAD)] * 2
