"""`audit` on the command line: whatever the superuser of the database does to a trail is found."""

import json
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.audit.chain import LINK_COLUMNS, Link, append, next_link
from app.audit.checkpoints import CheckpointCodec
from app.audit.models import AuditLog
from app.auth.key_folder import generate_key_pair
from app.auth.key_ring import KeyRing
from app.core.database import owner_engine
from app.core.provisioning import provision_database
from app.core.settings import Settings
from app.fleet.service import Fleet
from app.main import create_app
from app.operators import record_action
from app.tenants.models import Isolation
from tests.commands import ROOT, run_command
from tests.conftest import (
    DatabaseURLs,
    MakeTenant,
    TestTenant,
    command_environment,
    tenant_maker,
)

ROWS = 6


@pytest.fixture(scope="module")
async def urls(superuser_url: str, database_urls: DatabaseURLs) -> DatabaseURLs:
    """A database of their own, for all its trails are verified; the logins are those of the whole server."""
    name = f"audit_{uuid.uuid4().hex[:12]}"
    owner, runtime = make_url(database_urls.owner), make_url(database_urls.runtime)
    await provision_database(
        superuser_url,
        database=name,
        owner_password=str(owner.password),
        runtime_password=str(runtime.password),
    )
    made = [
        url.set(database=name).render_as_string(hide_password=False)
        for url in (make_url(superuser_url), owner, runtime)
    ]
    urls = DatabaseURLs(superuser=made[0], owner=made[1], runtime=made[2])
    assert (await Fleet({"default": urls.owner}).apply()).ok
    return urls


@pytest.fixture(scope="module")
def own_settings(
    settings: Settings, urls: DatabaseURLs, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    keys = tmp_path_factory.mktemp("audit-keys")
    generate_key_pair(keys)
    update = {"database_url": urls.runtime, "migration_database_url": urls.owner, "jwt_keys_dir": keys}
    return Settings.model_validate({**settings.model_dump(), **update})


@pytest.fixture(scope="module")
async def service(own_settings: Settings) -> AsyncIterator[FastAPI]:
    application = create_app(own_settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def make(service: FastAPI) -> AsyncIterator[MakeTenant]:
    async with tenant_maker(service) as make:
        yield make


@pytest.fixture
async def victim(make: MakeTenant) -> TestTenant:
    return await with_rows(await make())


@pytest.fixture
async def superuser(urls: DatabaseURLs) -> AsyncIterator[AsyncEngine]:
    engine = owner_engine(urls.superuser)
    yield engine
    await engine.dispose()


async def with_rows(tenant: TestTenant) -> TestTenant:
    for number in range(ROWS):
        answer = await tenant.client.post("/v1/resources", json={"name": f"{tenant.schema} {number}"})
        assert answer.status_code == 201
    return tenant


@pytest.fixture
def run(own_settings: Settings, tmp_path: Path) -> Any:
    def run(*arguments: str, **environment: str) -> Any:
        given = command_environment(own_settings) | environment
        return run_command("audit", *arguments, cwd=tmp_path, **given)

    return run


async def last(connection: AsyncConnection, tenant: TestTenant) -> int:
    return int(await connection.scalar(text(f"SELECT max(sequence) FROM {tenant.schema}.audit_logs")) or 0)


async def rehash(connection: AsyncConnection, tenant: TestTenant, start: int, end: int) -> None:
    """What somebody would do who knows how the chain is made."""
    await connection.execute(text(f"SET LOCAL search_path TO {tenant.schema}"))
    table = AuditLog.__table__
    rows = (await connection.execute(table.select().order_by(table.c.sequence))).mappings().all()
    by_sequence = {row["sequence"]: dict(row) for row in rows}
    link = Link(start - 1, by_sequence[start - 1]["hash"] if start > 1 else bytes(32))
    for sequence in range(start, end + 1):
        facts = {name: value for name, value in by_sequence[sequence].items() if name not in LINK_COLUMNS}
        previous, link = link, next_link(link, facts)
        await connection.execute(
            table.update()  # type: ignore[attr-defined]
            .where(table.c.sequence == sequence)
            .values(previous_hash=previous.hash, hash=link.hash)
        )


async def test_the_commands_of_the_docs_do_what_they_say(
    run: Any, victim: TestTenant, tmp_path: Path
) -> None:
    """Before any test of this module tampers with a trail."""
    page = (ROOT / "docs" / "audit.md").read_text()
    told = re.findall(
        r"^\.venv/bin/python -m app audit ([^#>\n]+)(?:> (\S+))?|^curl -s (\S+) > (\S+)", page, re.MULTILINE
    )
    assert len(told) == 8
    for arguments, into, url, kept in told:
        if url:
            (tmp_path / kept).write_text((await victim.client.get(url.removeprefix("localhost:8000"))).text)
            continue
        done = run(*arguments.replace("acme", victim.credentials.tenant).split())
        assert done.returncode == 0, done.stdout + done.stderr
        assert "unbroken" in done.stdout or into or json.loads(done.stdout)["ok"]
        if into:
            (tmp_path / into).write_text(done.stdout)


# With the place at which each shows, counted from the place at which it was done.
TAMPERING = {
    "changed": (["UPDATE {t} SET action = 'resources.read' WHERE sequence = :at"], 0),
    "changed actor": (["UPDATE {t} SET actor_id = gen_random_uuid() WHERE sequence = :at"], 0),
    "changed time": (["UPDATE {t} SET occurred_at = occurred_at - interval '1 us' WHERE sequence = :at"], 0),
    "changed within": (["UPDATE {t} SET details = details || '{{\"n\": 1}}' WHERE sequence = :at"], 0),
    "changed into what no row holds": (
        ["UPDATE {t} SET details = '{{\"n\": 99999999999999999999}}' WHERE sequence = :at"], 0),
    "filled in": (["UPDATE {t} SET target_id = 'x', correlation_id = NULL WHERE sequence = :at"], 0),
    "changed hash": (["UPDATE {t} SET hash = decode(repeat('00', 32), 'hex') WHERE sequence = :at"], 0),
    "removed": (["DELETE FROM {t} WHERE sequence = :at"], 0),
    "removed and numbered anew": (
        ["DELETE FROM {t} WHERE sequence = :at",
         "UPDATE {t} SET sequence = sequence + 1000 WHERE sequence > :at",
         "UPDATE {t} SET sequence = sequence - 1001 WHERE sequence > 1000"], 0),
    "inserted": (
        ["UPDATE {t} SET sequence = sequence + 1000 WHERE sequence > :at",
         "UPDATE {t} SET sequence = sequence - 999 WHERE sequence > 1000",
         "INSERT INTO {t} SELECT :at + 1, now(), 'user', NULL, 'x.y', 'x', NULL, NULL, '{{}}', hash,"
         " sha256(hash) FROM {t} WHERE sequence = :at"], 1),
    "reordered": (
        ["UPDATE {t} SET sequence = 1000 WHERE sequence = :at",
         "UPDATE {t} SET sequence = :at WHERE sequence = :at + 1",
         "UPDATE {t} SET sequence = :at + 1 WHERE sequence = 1000"], 0),
    "first removed": (["DELETE FROM {t} WHERE sequence < :at"], None),
}  # fmt: skip


@pytest.fixture(scope="module")
async def tampered(
    service: FastAPI, urls: DatabaseURLs, own_settings: Settings
) -> dict[str, tuple[int, str]]:
    """For each way, where it was done and what one command said of the tenant."""
    engine = owner_engine(urls.superuser)
    done: dict[str, tuple[int, str]] = {}
    async with tenant_maker(service) as make:
        for how, (statements, _) in TAMPERING.items():
            tenant = await with_rows(await make())
            async with engine.begin() as connection:
                at = await last(connection, tenant) - 3
                for statement in statements:
                    sql = text(statement.format(t=f"{tenant.schema}.audit_logs"))
                    await connection.execute(sql, {"at": at})
            done[how] = (at, tenant.credentials.tenant)
    await engine.dispose()
    told = run_command("audit", "verify", "--all", **command_environment(own_settings))
    assert (told.returncode, told.stderr.strip()) == (1, "")
    lines = dict(line.split(": ", 1) for line in told.stdout.splitlines() if ": " in line)
    return {how: (at, lines[slug]) for how, (at, slug) in done.items()}


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_is_found_and_named(tampered: dict[str, tuple[int, str]], how: str) -> None:
    at, told = tampered[how]
    offset = TAMPERING[how][1]
    assert told.startswith(f"broken at {1 if offset is None else at + offset}: ")


async def test_what_nobody_touched_is_unbroken(run: Any, victim: TestTenant, superuser: AsyncEngine) -> None:
    async with superuser.connect() as connection:
        rows = await last(connection, victim)
    sound = run("verify", "--tenant", victim.credentials.tenant)
    assert (sound.returncode, sound.stdout) == (0, f"{victim.credentials.tenant}: {rows} rows, unbroken\n")


async def test_who_hashes_a_changed_row_anew_breaks_the_next(
    run: Any, victim: TestTenant, superuser: AsyncEngine
) -> None:
    async with superuser.begin() as connection:
        at = await last(connection, victim) - 3
        change = text(f"UPDATE {victim.schema}.audit_logs SET action = 'x.y' WHERE sequence = :at")
        await connection.execute(change, {"at": at})
        await rehash(connection, victim, at, at)
    found = run("verify", "--tenant", victim.credentials.tenant)
    assert found.returncode == 1
    assert f"broken at {at + 1}: it does not follow the row before" in found.stdout


async def test_a_row_of_another_tenant_does_not_fit(
    run: Any, make: MakeTenant, victim: TestTenant, superuser: AsyncEngine
) -> None:
    other = await with_rows(await make())
    async with superuser.begin() as connection:
        at = await last(connection, victim) - 3
        for mine, theirs in ((victim, other), (other, victim)):
            table, stash = f"{mine.schema}.audit_logs", f"stash_{mine.schema}"
            await connection.execute(
                text(f"CREATE TEMP TABLE {stash} AS SELECT * FROM {theirs.schema}.audit_logs")
            )
        for mine in (victim, other):
            table, stash = f"{mine.schema}.audit_logs", f"stash_{mine.schema}"
            await connection.execute(text(f"DELETE FROM {table} WHERE sequence = :at"), {"at": at})
            put = text(f"INSERT INTO {table} SELECT * FROM {stash} WHERE sequence = :at")
            await connection.execute(put, {"at": at})
    for each in (victim, other):
        found = run("verify", "--tenant", each.credentials.tenant)
        assert (found.returncode, f"broken at {at}: " in found.stdout) == (1, True)


def noted(run: Any, tmp_path: Path, *arguments: str) -> str:
    written = run("checkpoint", *arguments)
    assert written.returncode == 0, written.stderr
    path = tmp_path / f"{uuid.uuid4().hex}.checkpoint"
    path.write_text(written.stdout)
    return str(path)


@pytest.mark.parametrize("keep", ["some", "none"])
async def test_a_cut_off_end_is_found_against_a_checkpoint_only(
    run: Any, victim: TestTenant, superuser: AsyncEngine, tmp_path: Path, keep: str
) -> None:
    file, slug = noted(run, tmp_path, "--tenant", victim.credentials.tenant), victim.credentials.tenant
    assert run("verify", "--tenant", slug, "--checkpoint", file).returncode == 0
    async with superuser.begin() as connection:
        end = await last(connection, victim)
        kept = 0 if keep == "none" else end - 2
        cut = text(f"DELETE FROM {victim.schema}.audit_logs WHERE sequence > :kept")
        await connection.execute(cut, {"kept": kept})
    assert run("verify", "--tenant", slug).stdout == f"{slug}: {kept} rows, unbroken\n"
    found = run("verify", "--tenant", slug, "--checkpoint", file)
    assert found.returncode == 1
    assert found.stdout == f"{slug}: broken at {kept + 1}: the end is cut off, for {end} was there\n"


async def test_a_trail_that_was_written_anew_is_found_against_a_checkpoint_only(
    run: Any, victim: TestTenant, superuser: AsyncEngine, tmp_path: Path
) -> None:
    file, slug = noted(run, tmp_path, "--tenant", victim.credentials.tenant), victim.credentials.tenant
    async with superuser.begin() as connection:
        end = await last(connection, victim)
        await connection.execute(text(f"UPDATE {victim.schema}.audit_logs SET action = 'x.y'"))
        await rehash(connection, victim, 1, end)
        facts = {"actor_kind": "system", "action": "x.y", "target_kind": "x", "details": {}}
        for _ in range(2):
            await append(connection, AuditLog, facts)
    assert run("verify", "--tenant", slug).returncode == 0
    found = run("verify", "--tenant", slug, "--checkpoint", file)
    assert found.returncode == 1
    assert found.stdout == f"{slug}: broken at {end}: it is not the row that was noted\n"


async def test_trails_that_changed_places_are_found_against_checkpoints_only(
    run: Any, make: MakeTenant, victim: TestTenant, superuser: AsyncEngine, tmp_path: Path
) -> None:
    other = await with_rows(await make())
    file = noted(run, tmp_path, "--all")
    async with superuser.begin() as connection:
        one, two = victim.schema, other.schema
        for statement in (
            f"CREATE TEMP TABLE stash AS SELECT * FROM {one}.audit_logs",
            f"DELETE FROM {one}.audit_logs",
            f"INSERT INTO {one}.audit_logs SELECT * FROM {two}.audit_logs",
            f"DELETE FROM {two}.audit_logs",
            f"INSERT INTO {two}.audit_logs SELECT * FROM stash",
        ):
            await connection.execute(text(statement))
    for each in (victim, other):
        assert run("verify", "--tenant", each.credentials.tenant).returncode == 0
        found = run("verify", "--tenant", each.credentials.tenant, "--checkpoint", file)
        assert found.returncode == 1
        assert "it is not the row that was noted" in found.stdout


async def test_all_trails_are_verified_and_the_broken_one_is_named(
    run: Any, make: MakeTenant, victim: TestTenant, superuser: AsyncEngine, tmp_path: Path
) -> None:
    sound = await with_rows(await make())
    file = noted(run, tmp_path, "--all")
    async with superuser.begin() as connection:
        at = await last(connection, victim)
        await connection.execute(text(f"DELETE FROM {victim.schema}.audit_logs WHERE sequence = {at}"))
    told = run("verify", "--all", "--checkpoint", file)
    assert told.returncode == 1
    problem = f"broken at {at}: the end is cut off, for {at} was there"
    assert f"{victim.credentials.tenant}: {problem}\n" in told.stdout
    answer = json.loads(run("verify", "--all", "--checkpoint", file, "--json").stdout)
    assert answer["ok"] is False
    trails = {trail["trail"]: trail for trail in answer["trails"]}
    assert trails[victim.credentials.tenant] == {
        "trail": victim.credentials.tenant,
        "tenant_id": str(victim.id),
        "rows": None,
        "broken_at": at,
        "problem": problem,
        "purged": False,
    }
    assert (trails[sound.credentials.tenant]["problem"], trails["platform"]["problem"]) == (None, None)
    assert trails[sound.credentials.tenant]["rows"] >= ROWS


async def test_the_trail_of_the_platform_is_verified_too(
    run: Any, service: FastAPI, superuser: AsyncEngine, tmp_path: Path
) -> None:
    async with service.state.database.platform() as session:
        at = (await record_action(session, "things:do")).sequence
    file = noted(run, tmp_path, "--platform")
    sound = run("verify", "--platform", "--checkpoint", file)
    assert (sound.returncode, sound.stdout) == (0, f"platform: {at} rows, unbroken\n"), sound.stderr
    change = text("UPDATE platform.operator_actions SET action = :action WHERE sequence = :at")
    async with superuser.begin() as connection:
        await connection.execute(change, {"action": "things:hide", "at": at})
    broken = run("verify", "--platform")
    assert (broken.returncode, broken.stdout) == (1, f"platform: broken at {at}: the row was changed\n")
    async with superuser.begin() as connection:
        await connection.execute(text(f"DELETE FROM platform.operator_actions WHERE sequence = {at}"))
    cut = run("verify", "--platform", "--checkpoint", file)
    assert (cut.returncode, "the end is cut off" in cut.stdout) == (1, True)


async def test_nothing_but_the_serving_login_is_needed(
    run: Any, own_settings: Settings, victim: TestTenant, tmp_path: Path
) -> None:
    """Neither the owner's login nor any right that a request has not."""
    environment = command_environment(own_settings)
    del environment["APP_MIGRATION_DATABASE_URL"]
    for command in ("verify", "checkpoint"):
        arguments = ("audit", command, "--tenant", victim.credentials.tenant)
        done = run_command(*arguments, cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stderr


async def test_a_dedicated_tenant_is_verified_with_its_own_login(
    run: Any, service: FastAPI, victim: TestTenant
) -> None:
    await service.state.lifecycle.isolate(victim.id, Isolation.DEDICATED)
    found = run("verify", "--tenant", victim.credentials.tenant)
    assert found.returncode == 0, found.stdout
    assert "unbroken" in found.stdout


async def test_what_the_tenant_keeps_itself_verifies_on_the_command_line(
    run: Any, victim: TestTenant, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text((await victim.client.get("/v1/audit/checkpoint")).text)
    await victim.client.post("/v1/resources", json={"name": "later"})
    found = run("verify", "--tenant", victim.credentials.tenant, "--checkpoint", "kept")
    assert found.returncode == 0, found.stderr


async def test_checkpoints_of_a_retired_key_verify_with_the_keys_that_were_kept(
    run: Any, own_settings: Settings, victim: TestTenant, tmp_path: Path
) -> None:
    file, slug = noted(run, tmp_path, "--tenant", victim.credentials.tenant), victim.credentials.tenant
    assert own_settings.jwt_keys_dir is not None
    kept = tmp_path / "jwks.json"
    kept.write_text(json.dumps(KeyRing.load(own_settings.jwt_keys_dir).jwks()))
    generate_key_pair(tmp_path / "new")
    later = {"APP_JWT_KEYS_DIR": str(tmp_path / "new")}
    refused = run("verify", "--tenant", slug, "--checkpoint", file, **later)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Line 1: It was refused for its key." in refused.stderr
    found = run("verify", "--tenant", slug, "--checkpoint", file, "--jwks", str(kept), **later)
    assert found.returncode == 0, found.stderr


async def test_a_tenant_that_is_gone_is_told_from_one_that_was_purged(
    run: Any, service: FastAPI, make: MakeTenant, superuser: AsyncEngine, tmp_path: Path
) -> None:
    tenant = await make()
    ghost = CheckpointCodec(service.state.key_ring).sign(uuid.uuid4(), Link(1, bytes(32)))
    line = run("checkpoint", "--tenant", tenant.credentials.tenant).stdout
    assert line.count("\n") == 1
    file = tmp_path / "kept"
    file.write_text(line)
    async with superuser.begin() as connection:
        change = text("UPDATE platform.tenants SET state = 'deleted' WHERE id = :id")
        await connection.execute(change, {"id": tenant.id})
    purged = run("verify", "--all", "--checkpoint", str(file))
    assert f"{tenant.credentials.tenant}: purged" in purged.stdout
    file.write_text(line + ghost + "\n")
    gone = run("verify", "--all", "--checkpoint", str(file))
    assert gone.returncode == 1
    assert "there is no such trail, though one was noted" in gone.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("verify",), 2, "say one of --tenant SLUG, --platform and --all"),
        (("checkpoint",), 2, "say one of --tenant SLUG, --platform and --all"),
        (("verify", "--all", "--platform"), 2, "say one of"),
        (("verify", "--all", "--jwks", "kept"), 2, "--jwks goes with --checkpoint"),
        (("verify", "--all", "--checkpoint", "missing"), 2, "does not exist"),
        (("verify", "--tenant", "nobody-here"), 1, "no tenant with a trail has the slug"),
        (("verify", "--tenant", "No Slug"), 1, "is no slug"),
        (("verify", "--all", "--checkpoint", "empty"), 1, "empty holds none"),
        (("verify", "--all", "--checkpoint", "kept"), 1, "Line 1: It was refused for its malformed"),
        (("verify", "--all", "--checkpoint", "binary"), 1, "is no text"),
        (("verify", "--all", "--checkpoint", "kept", "--jwks", "empty"), 1, "not a JWK set"),
        (("verify", "--all", "--checkpoint", "kept", "--jwks", "binary"), 1, "not a JWK set"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_line(
    run: Any, tmp_path: Path, arguments: tuple[str, ...], status: int, says: str
) -> None:
    (tmp_path / "kept").write_text("x\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    refused = run(*arguments)
    assert (refused.returncode, refused.stdout) == (status, "")
    assert says in " ".join(refused.stderr.replace("│", " ").split())
    assert "Traceback" not in refused.stderr


async def test_a_checkpoint_of_another_tenant_says_nothing_of_this_one(
    run: Any, make: MakeTenant, victim: TestTenant, tmp_path: Path
) -> None:
    file = noted(run, tmp_path, "--tenant", (await make()).credentials.tenant)
    refused = run("verify", "--tenant", victim.credentials.tenant, "--checkpoint", file)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "None is of this trail." in refused.stderr
