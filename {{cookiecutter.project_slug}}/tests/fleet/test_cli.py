"""`python -m app migrate` as a person uses it, on a copy of the project that has one revision more."""

import asyncio
import io
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import text

from app.cli.migrate_views import ProgressView
from app.core.context import tenant_schema
from app.core.database import Database
from app.core.settings import Settings
from app.fleet.connections import MIGRATION_LOCK
from app.fleet.report import Progress
from tests.commands import ROOT, Commands
from tests.fleet.conftest import ADD_COLUMN, BUILD_INDEX, HEAD, FleetDatabase, MakeDatabase

CACHES = shutil.ignore_patterns("__pycache__")
HEADER = "import sqlalchemy as sa\nfrom alembic import op\nrevision = '{id}'\ndown_revision = '{down}'\n"

# A key of the database's own making, and one that is added to a table with rows.
IDENTITIES = """
def upgrade():
    op.create_table(
        "notes",
        sa.Column("id", sa.Integer(), sa.Identity(), primary_key=True),
        sa.Column("serial", sa.String(), nullable=False),
    )
    op.add_column("resources", sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False))

def downgrade():
    op.drop_column("resources", "number")
    op.drop_table("notes")
"""

# A circle of foreign keys, and names that need quotes.
CIRCLE = r"""
def upgrade():
    favourite = sa.ForeignKey("resources.id", name="favourite")
    op.add_column("users", sa.Column("favourite_id", sa.Uuid(), favourite))
    op.add_column("users", sa.Column("displayName", sa.Text()))
    op.execute('CREATE TABLE "Odd/\:one, näme" ("a, ""b""\:c" bigint GENERATED ALWAYS AS IDENTITY, "D" text)')

def downgrade():
    op.execute('DROP TABLE "Odd/\:one, näme"')
    op.drop_column("users", "displayName")
    op.drop_column("users", "favourite_id")
"""
ODD_TABLE = '"Odd/:one, näme"'


class Project:
    """A copy of the program with revisions of its own, which a test may add to."""

    def __init__(self, folder: Path, commands: Commands, database: FleetDatabase, settings: Settings) -> None:
        self.folder = folder
        self._commands = commands
        shutil.rmtree(folder / "migrations", ignore_errors=True)
        shutil.copytree(ROOT / "migrations", folder / "migrations", ignore=CACHES)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
        self._environment = inherited | {
            "PYTHONPATH": str(folder),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "APP_ENVIRONMENT": "test",
            "APP_DATABASE_URL": database.urls.runtime,
            "APP_MIGRATION_DATABASE_URL": database.urls.owner,
            "APP_REDIS_URL": settings.redis_url.get_secret_value(),
            "APP_SECRET_KEY": settings.secret_key.get_secret_value(),
            "APP_JWT_KEYS_DIR": str(settings.jwt_keys_dir),
        }

    def add(self, revision: str, body: str, down: str = HEAD) -> None:
        source = HEADER.format(id=revision, down=down) + body
        (self.folder / "migrations/tenant/versions" / f"{revision}_added.py").write_text(source)

    def migrate(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return self.run("migrate", *arguments, **environment)

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        given = self._environment | environment
        return self._commands.run("-m", "app", *arguments, cwd=self.folder, environment=given)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Commands]]:
    """A copy of the program, and its commands."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "app", folder / "app", ignore=CACHES)
    commands = Commands(folder)
    yield folder, commands
    commands.close()


@pytest.fixture
def project(copied: tuple[Path, Commands], database: FleetDatabase, settings: Settings) -> Project:
    return Project(*copied, database, settings)


async def test_a_fleet_is_planned_migrated_and_checked(project: Project, database: FleetDatabase) -> None:
    first, *others = await database.add(4)
    project.add("x1", ADD_COLUMN)
    project.add("x2", BUILD_INDEX, down="x1")
    planned = project.migrate("plan", "--sql")
    assert planned.returncode == 0, planned.stderr
    assert f"4 tenants: {HEAD} -> x2" in planned.stdout
    assert "outside of a transaction: CREATE INDEX CONCURRENTLY" in planned.stdout
    assert "ALTER TABLE resources ADD COLUMN color" in planned.stdout
    as_json = json.loads(project.migrate("plan", "--json").stdout)
    assert [(path["start"], path["end"], path["tenants"]) for path in as_json["tenants"]] == [(HEAD, "x2", 4)]

    one = project.migrate("apply", "--tenant", first.slug, "--json")
    assert one.returncode == 0, one.stderr
    report = json.loads(one.stdout)
    assert report["ok"] is True
    assert report["totals"] == {"migrated": 1, "failed": 0, "untouched": 0}
    assert [(each["slug"], each["outcome"]) for each in report["tenants"]] == [(first.slug, "migrated")]
    assert report["tenants"][0]["seconds"] > 0

    rest = project.migrate("apply", "--canary", "1", "--parallel", "2", "--batch", "2")
    assert (rest.returncode, rest.stdout) == (0, ""), rest.stderr
    assert "3 tenants at x2, 0 failed" in rest.stderr
    assert set(await database.revisions([first, *others])) == {("x2", "x2")}

    status = project.migrate("status", "--deep")
    assert status.returncode == 0, status.stderr
    assert "x2 (head)" in status.stdout
    assert "no drift" in status.stdout


async def test_identity_columns_circles_and_odd_names_are_kept_wherever_a_tenant_lives(
    project: Project, database: FleetDatabase, make_database: MakeDatabase, tmp_path: Path
) -> None:
    """Old tenants and new, copied and moved ones, as the tenant's role, which owns nothing."""
    second = await make_database()
    urls = {"database_url": second.urls.runtime, "migration_database_url": second.urls.owner}

    def ran(*arguments: str) -> str:
        finished = project.run(*arguments, APP_PLACEMENTS=json.dumps({"second": urls}))
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    [old] = await database.add()
    project.add("x1", IDENTITIES)
    project.add("x2", CIRCLE, down="x1")
    for command in ("golden", "apply"):
        ran("migrate", command)
    assert await noted(database, old.schema) == (1, 1)

    new = ("tenants", "create", "--name", "New", "--slug", "new", "--admin-email", "ada@new.test", "--json")
    schema = schema_of(json.loads(ran(*new))["tenant_id"])
    assert [await noted(database, schema) for _ in range(2)] == [(1, 1), (2, 2)]

    await database.run(
        f"UPDATE {schema}.users SET \"displayName\" = 'Ada',"
        f" favourite_id = (SELECT id FROM {schema}.resources LIMIT 1);"
        f"UPDATE {schema}.resources SET owner_id = (SELECT id FROM {schema}.users LIMIT 1);"
        f"INSERT INTO {schema}.{ODD_TABLE} (\"D\") VALUES ('d')"
    )
    archive = tmp_path / "new.tar.gz"
    ran("tenants", "export", "new", "--to", str(archive))
    ran("tenants", "import", str(archive), "--slug", "copy", "--new-id")
    copied = await database.value("SELECT id FROM platform.tenants WHERE slug = 'copy'")
    assert await noted(database, schema_of(copied)) == (3, 3)
    assert await knotted(database, schema_of(copied)) == ("Ada", 2, "d", True)

    ran("tenants", "move", "new", "--to", "second")
    assert await noted(second, schema) == (3, 3)
    assert await knotted(second, schema) == ("Ada", 2, "d", True)
    ran("tenants", "move", "new", "--to", "default")
    assert await noted(database, schema) == (4, 4)


def schema_of(tenant_id: object) -> str:
    return tenant_schema(uuid.UUID(str(tenant_id)))


async def noted(database: FleetDatabase, schema: str) -> tuple[int, int]:
    """The numbers that a note and a resource get when the tenant's own session inserts them."""
    routed = Database(database.urls.runtime, pool_size=1)
    async with routed.tenant(schema) as session:
        note = await session.scalar(text("INSERT INTO notes (serial) VALUES ('a') RETURNING id"))
        resource = await session.scalar(
            text("INSERT INTO resources (id, name) VALUES (gen_random_uuid(), 'a') RETURNING number")
        )
    await routed.close()
    return note, resource


async def knotted(database: FleetDatabase, schema: str) -> tuple[str, int, str, bool]:
    """A user's name, how many resources the circle reaches, the odd row, whether the key was checked."""
    async with database.connect() as connection:
        found = await connection.fetchrow(
            f"""
            SELECT u."displayName", (SELECT count(*) FROM {schema}.resources WHERE owner_id = u.id),
                   (SELECT "D" FROM {schema}.{ODD_TABLE}),
                   (SELECT convalidated FROM pg_constraint
                     WHERE conname = 'favourite' AND connamespace = CAST($1 AS regnamespace))
              FROM {schema}.users u JOIN {schema}.resources r ON r.id = u.favourite_id
            """,
            schema,
        )
    return tuple(found)


async def test_failures_and_drift_are_exit_code_one(project: Project, database: FleetDatabase) -> None:
    member, fine = await database.add(2)
    project.add("x1", ADD_COLUMN)
    await database.run(f"ALTER TABLE {member.schema}.resources ADD COLUMN color text")
    failed = project.migrate("apply", "--json")
    assert failed.returncode == 1
    assert f'{member.slug}: column "color"' in failed.stderr
    assert json.loads(failed.stdout)["totals"] == {"migrated": 1, "failed": 1, "untouched": 0}
    assert await database.revisions([member, fine]) == [(HEAD, HEAD), ("x1", "x1")]
    await database.run(f"UPDATE {member.schema}.alembic_version SET version_num = 'x1'")
    assert project.migrate("status").returncode == 0
    drifted = project.migrate("status", "--deep")
    assert drifted.returncode == 1
    assert f"{member.slug}: registry says {HEAD}, schema x1" in drifted.stdout


async def test_a_refused_revision_is_named_and_nothing_runs(
    project: Project, database: FleetDatabase
) -> None:
    members = await database.add(1)
    project.add("x1", "\ndef upgrade():\n    op.get_bind().execute(sa.text('SELECT 1'))\n")
    for command in ("plan", "apply", "golden"):
        finished = project.migrate(command)
        assert finished.returncode == 1
        assert "tenant revision x1 (x1_added.py): it asks for get_bind" in finished.stderr
        assert "it has no downgrade" in finished.stderr
        assert "Traceback" not in finished.stderr
    assert await database.revisions(members) == [(HEAD, HEAD)]


async def test_a_revision_that_exits_or_prints_neither_hides_nor_spoils_the_answer(
    project: Project, database: FleetDatabase
) -> None:
    await database.add(1)
    project.add("x1", "print('loaded')" + ADD_COLUMN.replace("():", "():\n    print('rendered')", 1))
    planned = project.migrate("plan", "--json")
    assert json.loads(planned.stdout)["tenants"][0]["end"] == "x1"
    assert "loaded" in planned.stderr
    assert "rendered" in planned.stderr
    project.add("x1", "import sys; sys.exit(0)")
    exited = project.migrate("plan")
    assert exited.returncode == 1
    assert "(x1_added.py): SystemExit" in exited.stderr
    for command in (("revision", "tenant", "more"), ("status",)):
        finished = project.migrate(*command)
        assert finished.returncode == 1
        assert "Traceback" not in finished.stderr
    assert project.migrate("revision", "tenant", " _ ").returncode == 2


async def test_a_purged_tenant_counts_no_more(database: FleetDatabase) -> None:
    await database.add(1)
    await database.run(
        "INSERT INTO platform.tenants (id, slug, name, state, placement)"
        " VALUES (gen_random_uuid(), 'gone', 'Gone', 'deleted', 'default')"
    )
    assert (await database.fleet().status()).revisions == {"default": {HEAD: 1}}


async def test_a_second_migrator_says_so_and_leaves(project: Project, database: FleetDatabase) -> None:
    async with database.connect() as other:
        await other.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        finished = await asyncio.to_thread(project.migrate, "apply")
        assert finished.returncode == 1
        assert "Another migrator is at work" in finished.stderr
        waiting = asyncio.create_task(asyncio.to_thread(project.migrate, "apply", "--wait"))
        await asyncio.sleep(0.5)
        assert not waiting.done()
    assert (await waiting).returncode == 0


async def test_an_unknown_tenant_and_a_wrong_number_are_refused(project: Project) -> None:
    unknown = project.migrate("apply", "--tenant", "nobody")
    assert unknown.returncode == 1
    assert "There is no such tenant: nobody" in unknown.stderr
    assert project.migrate("apply", "--batch", "0").returncode == 2
    assert project.migrate("apply", "--canary", "-1").returncode == 2


async def test_a_login_that_may_not_migrate_is_one_line(project: Project, database: FleetDatabase) -> None:
    for command in ("status", "plan", "apply"):
        finished = project.migrate(command, APP_MIGRATION_DATABASE_URL=database.urls.runtime)
        assert finished.returncode == 1
        assert "InsufficientPrivilege" in finished.stderr
        assert "Traceback" not in finished.stderr


def test_progress_is_a_bar_on_a_terminal_and_a_line_now_and_then_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressView(terminal) as view:
        view.show(Progress(total=10, done=7, failed=2))
    assert "7/10" in terminal.file.getvalue()
    assert "2 failed" in terminal.file.getvalue()
    assert "/s" in terminal.file.getvalue()
    log = Console(file=io.StringIO(), width=120)
    with ProgressView(log) as view:
        view.show(Progress(total=10, done=3, failed=0))
        assert log.file.getvalue() == ""
        monkeypatch.setattr("app.cli.migrate_views.QUIET_SECONDS", 0.0)
        view.show(Progress(total=10, done=7, failed=2))
    assert log.file.getvalue().startswith("7 of 10 tenants, 2 failed, ")
    assert len(log.file.getvalue().splitlines()) == 1


async def test_further_placements_come_from_the_settings(project: Project, database: FleetDatabase) -> None:
    await database.add(placement="second", with_schema=False)
    places = {"second": {"database_url": database.urls.runtime}}
    finished = project.migrate("status", APP_PLACEMENTS=json.dumps(places))
    assert finished.returncode == 1
    assert "placement second: 1 tenants are on it, and it has no URL here" in finished.stdout
    places["second"]["migration_database_url"] = database.urls.owner
    finished = project.migrate("status", APP_PLACEMENTS=json.dumps(places))
    assert "missing schema" in finished.stdout
    assert "has no URL" not in finished.stdout
