"""A tenant that was exported comes back as it was; an archive that is not right changes nothing."""

import asyncio
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import sys
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.core import migrations
from app.core.context import DEFAULT_PLACEMENT, tenant_schema
from app.core.database import owner_engine
from app.core.settings import Settings
from app.tenants.archive import verify
from app.tenants.bootstrap import export_from, import_from, lifecycle_from, onboarding_from
from app.tenants.copying import load_order
from app.tenants.errors import (
    InvalidTenant,
    NothingToResume,
    TenantExists,
    TenantNotFound,
    TenantStateConflict,
    UnusableArchive,
    UnwritableArchive,
)
from app.tenants.manifest import Manifest
from app.tenants.models import Isolation
from tests.commands import ROOT, Command, of_the_project, run_command, run_killed
from tests.conftest import TestTenant, client_of, command_environment
from tests.tenants.conftest import SECOND, Clusters, contents, fill, grants, traces_on, trail_of
from tests.tenants.test_onboarding import registry_row

STEPS = ("rows", "upgrade", "activate")
KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from app.core.settings import load_settings
from app.tenants import imports
from app.tenants.archive import verify
from app.tenants.bootstrap import import_from

deadly_step, moment, file, slug, placement = sys.argv[1:]
Step = imports.Step

def deadly(name, run):
    async def killed(connection):
        if moment == "after":
            await run(connection)
        os.kill(os.getpid(), signal.SIGKILL)
    return Step(name, killed if name == deadly_step else run)

async def main():
    imports.Step = deadly
    async with import_from(load_settings()) as importing:
        await importing.run(verify(Path(file)), slug=slug, placement=placement)

asyncio.run(main())
"""
EXTRA_REVISION = '''
"""What a later release adds."""

import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "HEAD"


def upgrade() -> None:
    op.add_column("resources", sa.Column("colour", sa.String(), server_default="grey", nullable=False))
    op.create_table(
        "numbers",
        sa.Column("number", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_numbers")),
    )
    with op.get_context().autocommit_block():
        op.create_index("ix_resources_colour", "resources", ["colour"], postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_table("numbers")
    op.drop_column("resources", "colour")
'''


async def export(settings: Settings, tenant_id: uuid.UUID, path: Path, **options: Any) -> Manifest:
    async with export_from(settings) as exporting:
        return await exporting.run(tenant_id, path, **options)


async def import_(settings: Settings, path: Path, **options: Any) -> uuid.UUID:
    async with import_from(settings) as importing:
        return await importing.run(verify(path), **options)


async def purge(settings: Settings, tenant_id: uuid.UUID) -> None:
    async with lifecycle_from(settings) as (lifecycle, purging):
        await lifecycle.schedule_deletion(tenant_id)
        assert (await purging.run(tenant_id, before_grace_ends=True)).none


async def execute(settings: Settings, *statements: str, **parameters: Any) -> None:
    engine = owner_engine(settings.owner_urls[DEFAULT_PLACEMENT])
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement), parameters)
    await engine.dispose()


async def everything(settings: Settings) -> tuple[Any, ...]:
    """Every tenant, operation, schema and role there is."""
    engine = owner_engine(settings.owner_urls[DEFAULT_PLACEMENT])
    async with engine.connect() as connection:
        found = [
            (await connection.execute(text(query))).all()
            for query in (
                "SELECT id, slug, state, epoch FROM platform.tenants ORDER BY id",
                "SELECT id, state FROM platform.tenant_operations ORDER BY id",
                "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_%' ORDER BY 1",
                "SELECT rolname FROM pg_roles ORDER BY 1",
            )
        ]
    await engine.dispose()
    return tuple(found)


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def members_of(path: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def write(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, content in members:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def rewritten(path: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy with changed contents and a manifest that was left as it was."""
    return write(target, [(member, change(member.name, content)) for member, content in members_of(path)])


def forged(path: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy whose manifest was changed."""

    def change_manifest(name: str, content: bytes) -> bytes:
        if name != "manifest.json":
            return content
        manifest = json.loads(content)
        change(manifest)
        return json.dumps(manifest).encode()

    return rewritten(path, target, change_manifest)


@pytest.fixture
async def archive(settings: Settings, tenant: TestTenant, tmp_path: Path) -> Path:
    """An archive of a tenant that lives on."""
    await fill(settings.owner_urls[DEFAULT_PLACEMENT], tenant.schema)
    await export(settings, tenant.id, tmp_path / "tenant.tar")
    return tmp_path / "tenant.tar"


@pytest.mark.parametrize("placement", [DEFAULT_PLACEMENT, SECOND])
@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
async def test_an_exported_and_purged_tenant_comes_back_row_for_row(
    clusters: Clusters,
    tmp_path: Path,
    placement: str,
    ending: str,
) -> None:
    """And its people log in with the passwords and keys they had."""
    tenant = await clusters.make(placement=placement)
    url, path = clusters.owner(placement), tmp_path / f"tenant.{ending}"
    await fill(url, tenant.schema)
    made = await tenant.client.post("/v1/resources", json={"name": "kept"})
    before, rights = await contents(url, tenant.schema), await grants(url, tenant.schema)
    manifest = await export(clusters.settings, tenant.id, path)
    assert before == await contents(url, tenant.schema)
    assert {entry.table: entry.rows for entry in manifest.tables} == {
        table: rows for table, (rows, _) in before.items() if table != "alembic_version"
    }
    assert before["audit_logs"][0] >= 30
    assert before["resources"][0] >= 15
    await purge(clusters.settings, tenant.id)
    assert await traces_on(url, tenant.schema) == (0, 0)

    assert await import_(clusters.settings, path, placement=placement) == tenant.id
    assert await contents(url, tenant.schema) == before
    assert await grants(url, tenant.schema) == rights
    async with client_of(clusters.app) as client:
        key = {"X-API-Key": tenant.credentials.api_key}
        assert (await client.get(made.headers["Location"], headers=key)).json()["name"] == "kept"
        answer = await client.post("/v1/auth/login", json=tenant.login)
        assert answer.status_code == 200, answer.text
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        answer = await client.post("/v1/resources", json={"name": "new"}, headers=bearer)
        assert answer.status_code == 201
    async with lifecycle_from(clusters.settings) as (_, purging):
        remains = await purging.remains(tenant.id, placement)
    assert (remains.schemas, remains.roles) == (1, 1)


async def test_limits_come_back_and_usage_when_it_was_asked_for(
    app: FastAPI, settings: Settings, tenant: TestTenant, tmp_path: Path
) -> None:
    await execute(
        settings,
        "INSERT INTO platform.rate_limit_configs (id, tenant_id, scope, max_requests, burst)"
        " VALUES (gen_random_uuid(), :id, 'tenant', 77, NULL)",
        id=tenant.id,
    )
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    await app.state.recorder.flush()
    plain = await export(settings, tenant.id, tmp_path / "plain.tar")
    assert [entry.table for entry in plain.platform_tables] == ["rate_limit_configs"]
    full = await export(settings, tenant.id, tmp_path / "full.tgz", with_usage=True)
    used = {entry.table: entry.rows for entry in full.platform_tables}
    assert used["rate_limit_configs"] == 1
    assert used["usage_metrics"] >= 1
    await purge(settings, tenant.id)
    await import_(settings, tmp_path / "full.tgz")
    async with lifecycle_from(settings) as (_, purging):
        rows = (await purging.remains(tenant.id, DEFAULT_PLACEMENT)).rows
    assert {table: rows[table] for table in used} == used
    async with client_of(app) as client:
        key = {"X-API-Key": tenant.credentials.api_key}
        answer = await client.get("/v1/resources", headers=key)
        assert '"tenant";q=77;w=60' in answer.headers["RateLimit-Policy"]
    copied = await import_(settings, tmp_path / "full.tgz", slug=f"t-{uuid.uuid4().hex[:9]}", other_id=True)
    async with lifecycle_from(settings) as (_, purging):
        rows = (await purging.remains(copied, DEFAULT_PLACEMENT)).rows
    assert (rows["rate_limit_configs"], rows["usage_metrics"]) == (1, 0), "usage is billed once"


async def test_an_archive_is_private_whole_and_never_overwritten(
    settings: Settings, tenant: TestTenant, archive: Path
) -> None:
    before = verify(archive)
    assert mode(archive) == 0o600
    with pytest.raises(UnwritableArchive, match="it is not overwritten"):
        await export(settings, tenant.id, archive)
    assert verify(archive) == before
    for path, reason in (
        (archive.with_suffix(".zip"), "end in"),
        (archive.parent / "no/x.tar", "No such file"),
    ):
        with pytest.raises(UnwritableArchive, match=reason):
            await export(settings, tenant.id, path)
    with pytest.raises(TenantNotFound):
        await export(settings, uuid.uuid4(), archive.with_name("nobody.tar"))
    assert listed(archive.parent) == [archive.name]
    for member, content in members_of(archive):
        assert (member.mode, member.uid) == (0o600, 0)
        if member.name == "tables/users.csv":
            assert tenant.credentials.password.encode() not in content


async def test_an_export_sees_one_moment_whatever_is_written_meanwhile(
    settings: Settings, tenant: TestTenant, tmp_path: Path
) -> None:
    """Audit rows are exported before resources; a pair written in between is in neither or both."""
    written = 0

    def write_pair(_table: str, _passed: int) -> None:
        nonlocal written
        written += 1
        tasks.append(
            asyncio.ensure_future(
                execute(
                    settings,
                    f"INSERT INTO {tenant.schema}.resources (id, name) VALUES (gen_random_uuid(), 'pair')",
                    f"INSERT INTO {tenant.schema}.audit_logs (sequence, actor_kind, action, target_kind,"
                    f" previous_hash, hash) VALUES ({5000 + written}, 'system', 'pair', 'x', sha256('a'),"
                    " sha256('b'))",
                )
            )
        )

    tasks: list[asyncio.Future[None]] = []
    await fill(settings.owner_urls[DEFAULT_PLACEMENT], tenant.schema)
    await export(settings, tenant.id, tmp_path / "a.tar", progress=write_pair)
    await asyncio.gather(*tasks)
    assert written >= 5
    tables = {member.name: content for member, content in members_of(tmp_path / "a.tar")}
    assert tables["tables/resources.csv"].count(b",pair,") == tables["tables/audit_logs.csv"].count(b",pair,")
    after = await contents(settings.owner_urls[DEFAULT_PLACEMENT], tenant.schema)
    assert after["resources"][0] == 14 + written


@pytest.mark.parametrize("ending", ["tar", "tar.gz"])
async def test_a_full_disk_is_named_and_leaves_no_half_an_archive(
    settings: Settings, tenant: TestTenant, tmp_path: Path, ending: str
) -> None:
    await fill(settings.owner_urls[DEFAULT_PLACEMENT], tenant.schema)
    command = f"ulimit -f 1; exec {sys.executable} -m app tenants export {tenant.credentials.tenant}"
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"{command} --to {tmp_path}/a.{ending}",
        env=command_environment(settings), cwd=ROOT, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"The archive cannot be written: " in said
    assert b"File too large" in said
    assert listed(tmp_path) == []


async def test_what_a_killed_export_left_is_deleted_by_the_next_one_to_the_same_file(
    settings: Settings, tenant: TestTenant, tmp_path: Path
) -> None:
    """It holds hashes. What a living export writes, and what is no leftover of this name, stays."""
    target = tmp_path / "k.tar"
    script = (
        "import os, signal, sys; from pathlib import Path; from app.tenants.archive import written\n"
        "with written(Path(sys.argv[1]), 0.0): print('begun', flush=True); signal.pause()"
    )

    def begun() -> Command:
        command = of_the_project().start(
            "-c", script, str(target), cwd=ROOT, environment=command_environment(settings)
        )
        command.until_it_says("begun")
        return command

    others = [f".other.tar.1.{'0' * 8}", f".k.tar.1.{'0' * 7}", f"k.tar.1.{'0' * 8}"]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / f".k.tar.2.{'0' * 8}").symlink_to(others[0])
    with begun() as killed, begun() as living:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        left, written = (
            tmp_path / name
            for one in (killed, living)
            for name in listed(tmp_path)
            if name.startswith(f".k.tar.{one.pid}.")
        )
        assert mode(left) == 0o600
        await export(settings, tenant.id, target)
        assert not left.exists()
        assert written.exists()
        assert verify(target).manifest.tenant.id == tenant.id
    assert all((tmp_path / name).exists() for name in others)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["suspend"], "suspended"),
        (["schedule_deletion"], "deleting"),
        (["suspend", "schedule_deletion"], "suspended"),
    ],
)
async def test_a_tenant_that_is_not_served_can_be_exported(
    settings: Settings, tenant: TestTenant, tmp_path: Path, changes: list[str], told: str
) -> None:
    """What was suspended comes back suspended; what was deleted comes back as `restore` would leave it."""
    async with lifecycle_from(settings) as (lifecycle, purging):
        for change in changes:
            await getattr(lifecycle, change)(tenant.id)
        assert (await export(settings, tenant.id, tmp_path / "a.tar")).tenant.state == told
        if changes == ["suspend"]:
            await lifecycle.schedule_deletion(tenant.id)
        await purging.run(tenant.id, before_grace_ends=True)
        with pytest.raises(TenantStateConflict, match="no data"):
            await export(settings, tenant.id, tmp_path / "b.tar")
    await import_(settings, tmp_path / "a.tar")
    row = await registry_row(settings, tenant.credentials.tenant)
    assert (row.state, row.suspended_at is not None) == (
        ("suspended", True) if told == "suspended" else ("active", False)
    )


async def test_a_copy_with_another_id_stands_beside_the_original(
    app: FastAPI, settings: Settings, tenant: TestTenant, archive: Path
) -> None:
    """People log in to it by its slug; a key names the tenant it was made for."""
    slug = f"t-{uuid.uuid4().hex[:12]}"
    copied = await import_(settings, archive, slug=slug, other_id=True)
    before = await contents(settings.owner_urls[DEFAULT_PLACEMENT], tenant.schema)
    assert await contents(settings.owner_urls[DEFAULT_PLACEMENT], tenant_schema(copied)) == before
    async with client_of(app) as client:
        answer = await client.post("/v1/auth/login", json=tenant.login | {"tenant": slug})
        assert answer.status_code == 200
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        made = await client.post("/v1/resources", json={"name": "of the copy"}, headers=bearer)
        key = {"X-API-Key": tenant.credentials.api_key}
        assert (await client.get(made.headers["Location"], headers=key)).status_code == 404


async def test_a_dedicated_tenant_comes_back_with_its_own_login(clusters: Clusters, tmp_path: Path) -> None:
    tenant = await clusters.make()
    async with lifecycle_from(clusters.settings) as (lifecycle, _):
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
    await export(clusters.settings, tenant.id, tmp_path / "a.tar")
    await purge(clusters.settings, tenant.id)
    await import_(clusters.settings, tmp_path / "a.tar", placement=SECOND)
    ref = await clusters.app.state.registry.read(tenant.id)
    assert (ref.placement, ref.dedicated) == (SECOND, True)
    async with clusters.app.state.databases.tenant(ref) as session:
        assert await session.scalar(text("SELECT session_user")) == tenant.schema


async def test_an_archive_of_an_older_release_is_brought_to_head(
    settings: Settings,
    tenant: TestTenant,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And one of the newer release is loaded as it is, its identity columns going on where they were."""
    later = tmp_path / "migrations"
    shutil.copytree(migrations.MIGRATIONS, later)
    head = migrations.head_revision("tenant")
    (later / "tenant/versions/later.py").write_text(EXTRA_REVISION.replace("HEAD", head))
    before = await contents(settings.owner_urls[DEFAULT_PLACEMENT], tenant.schema)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", later)
        patch.setattr(
            "app.tenants.schema._golden_script", lambda: migrations.render_tenant_script().replace(
                "CREATE INDEX CONCURRENTLY", "CREATE INDEX").replace("BEGIN;", "").replace("COMMIT;", "")
        )  # fmt: skip
        slug = f"t-{uuid.uuid4().hex[:12]}"
        copied = await import_(settings, archive, slug=slug, other_id=True)
        schema = tenant_schema(copied)
        try:
            after = await contents(settings.owner_urls[DEFAULT_PLACEMENT], schema)
            assert after["audit_logs"] == before["audit_logs"]
            assert after["resources"][0] == before["resources"][0]
            assert (await registry_row(settings, slug)).revision == "later"
            insert = f"INSERT INTO {schema}.numbers DEFAULT VALUES"
            await execute(settings, insert, insert)
            newer = await export(settings, copied, tmp_path / "newer.tar")
            assert newer.tenant.revision == "later"
            await purge(settings, copied)
            await import_(settings, tmp_path / "newer.tar")
            await execute(settings, insert)
            assert (await contents(settings.owner_urls[DEFAULT_PLACEMENT], schema))["numbers"][0] == 3
        finally:
            await purge(settings, copied)
    with pytest.raises(UnusableArchive, match="does not know its revision later"):
        await import_(settings, tmp_path / "newer.tar")


def flip(name: str, content: bytes) -> bytes:
    return content.replace(b"plain", b"plaim") if name == "tables/resources.csv" else content


def nest(name: str, content: bytes) -> bytes:
    return b"[" * 1_000_000 if name == "manifest.json" else content


def cut(name: str, content: bytes) -> bytes:
    return content[:-1] if name == "tables/users.csv" else content


def wrong_rows(manifest: dict[str, Any]) -> None:
    manifest["tables"][-1]["rows"] += 1


def wrong_sum(manifest: dict[str, Any]) -> None:
    manifest["tables"][0]["sha256"] = "0" * 64


def other_version(manifest: dict[str, Any]) -> None:
    manifest["format_version"] = 2


def other_revision(manifest: dict[str, Any]) -> None:
    manifest["tenant"]["revision"] = "9999"


def revision_prefix(manifest: dict[str, Any]) -> None:
    manifest["tenant"]["revision"] = "000"


def unknown_field(manifest: dict[str, Any]) -> None:
    manifest["surprise"] = 1


def hostile_slug(manifest: dict[str, Any]) -> None:
    manifest["tenant"]["slug"] = "x'; DROP SCHEMA platform"


def hostile_name(manifest: dict[str, Any]) -> None:
    manifest["tenant"]["name"] = "\x1b[31mevil\nx"


def unstorable_name(manifest: dict[str, Any]) -> None:
    manifest["tenant"]["name"] = "\0"


def hostile_table(manifest: dict[str, Any]) -> None:
    manifest["tables"][0]["table"] = "../../etc/passwd"


def no_name(manifest: dict[str, Any]) -> None:
    manifest["tables"][0]["table"] = "a\0b"


def missing_table(manifest: dict[str, Any]) -> None:
    del manifest["tables"][0]


def other_order(manifest: dict[str, Any]) -> None:
    manifest["tables"].reverse()


@pytest.mark.parametrize(
    ("change", "reason"),
    [(wrong_rows, "number of rows"), (wrong_sum, "checksum"), (other_version, "version 2"),
     (other_revision, "revision 9999"), (revision_prefix, "revision 000"), (unknown_field, "surprise"),
     (hostile_slug, "tenant.slug"), (hostile_name, "tenant.name"), (unstorable_name, "tenant.name"),
     (hostile_table, "content differ"), (no_name, "tables.0.table"), (missing_table, "content differ"),
     (other_order, "content differ")],
)  # fmt: skip
async def test_a_manifest_that_does_not_fit_changes_nothing(
    settings: Settings,
    archive: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    reason: str,
) -> None:
    before = await everything(settings)
    bad = forged(archive, tmp_path / "bad.tar", change)
    with pytest.raises(UnusableArchive, match=reason):
        await import_(settings, bad, slug="t-bad", other_id=True)
    assert await everything(settings) == before


@pytest.mark.parametrize(("change", "reason"), [(flip, "checksum"), (cut, "size"), (nest, "no JSON")])
async def test_changed_rows_are_noticed(
    settings: Settings,
    archive: Path,
    tmp_path: Path,
    change: Callable[[str, bytes], bytes],
    reason: str,
) -> None:
    before = await everything(settings)
    with pytest.raises(UnusableArchive, match=reason):
        await import_(settings, rewritten(archive, tmp_path / "bad.tar", change), slug="t-bad", other_id=True)
    assert await everything(settings) == before


def regular(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    "member",
    [
        regular("notes.txt"),
        regular("../../../etc/cron.d/x"),
        regular("/etc/passwd"),
        regular("tables/../../x.csv"),
        regular("tables/users.csv\n"),
        regular("tables/Users.csv"),
        regular("tables/" + "x" * 300 + ".csv"),
        special("tables/users.csv", tarfile.SYMTYPE, "/etc/passwd"),
        special("tables/users.csv", tarfile.LNKTYPE, "tables/jobs.csv"),
        special("tables", tarfile.DIRTYPE),
        special("tables/x.csv", tarfile.CHRTYPE),
        special("tables/x.csv", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name[:20]!r} {member.type!r}",
)
async def test_a_member_that_does_not_belong_is_refused_and_never_followed(
    settings: Settings,
    archive: Path,
    tmp_path: Path,
    member: tarfile.TarInfo,
) -> None:
    before = await everything(settings)
    bad = write(tmp_path / "bad.tar", [(member, b"x"), *members_of(archive)])
    with pytest.raises(UnusableArchive, match="does not belong"):
        await import_(settings, bad, slug="t-bad", other_id=True)
    assert await everything(settings) == before
    assert listed(tmp_path) == ["bad.tar", "tenant.tar"]


def test_members_twice_or_behind_the_manifest_are_refused(archive: Path, tmp_path: Path) -> None:
    members = members_of(archive)
    for number, extra in enumerate(([*members, members[0]], [members[0], *members])):
        with pytest.raises(UnusableArchive, match="where nothing more belongs"):
            verify(write(tmp_path / f"bad{number}.tar", extra))


@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_that_was_cut_anywhere_is_refused(archive: Path, tmp_path: Path, compressed: bool) -> None:
    content = archive.read_bytes().rstrip(b"\0")
    content += b"\0" * (-len(content) % 512 + 1024)
    if compressed:
        content = gzip.compress(content)
    whole = tmp_path / "whole"
    whole.write_bytes(content)
    assert verify(whole).manifest.tables
    end = len(content)
    # The last bytes hold nothing but the end: of the tar, and of gzip with its checksum.
    for length in (0, 1, 100, 511, 512, 513, *range(end // 9, end, end // 9), *range(end - 1100, end)):
        bad = tmp_path / "cut"
        bad.write_bytes(content[:length])
        with pytest.raises(UnusableArchive):
            verify(bad)


@pytest.mark.parametrize("compressed", [False, True])
def test_nothing_may_stand_behind_the_end(archive: Path, tmp_path: Path, compressed: bool) -> None:
    content = archive.read_bytes()
    for number, rest in enumerate((b"x", content, b"\0" * 20_480)):
        bad = tmp_path / f"more{number}"
        bad.write_bytes(gzip.compress(content + rest) if compressed else content + rest)
        with pytest.raises(UnusableArchive):
            verify(bad)


def test_a_wrong_checksum_of_gzip_is_refused(archive: Path, tmp_path: Path) -> None:
    content = bytearray(gzip.compress(archive.read_bytes()))
    content[-8] ^= 1
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(UnusableArchive):
        verify(tmp_path / "bad")


def test_damage_is_named_whatever_byte_it_hits(archive: Path, tmp_path: Path) -> None:
    content = archive.read_bytes()
    used = len(content.rstrip(b"\0"))
    for position in range(0, used, used // 60):
        damaged = bytearray(content)
        damaged[position] ^= 0x20
        (tmp_path / "bad").write_bytes(damaged)
        try:
            found = verify(tmp_path / "bad")
        except UnusableArchive:
            continue
        # Bytes that mean nothing: padding, the time and the owner in a header.
        assert found.manifest == verify(archive).manifest


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"hello", os.urandom(4096), b"\x1f\x8b" + os.urandom(4096), b"\0" * 10240):
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises(UnusableArchive):
            verify(tmp_path / "x.tar")
    with pytest.raises(UnusableArchive, match="No such file"):
        verify(tmp_path / "none.tar")
    os.mkfifo(tmp_path / "pipe.tar")
    for other in (tmp_path, tmp_path / "pipe.tar", Path(os.devnull)):
        with pytest.raises(UnusableArchive, match="no regular file"):
            verify(other)


async def test_rows_of_another_tenant_cannot_be_smuggled_in(
    settings: Settings, archive: Path, stranger: TestTenant, tmp_path: Path
) -> None:
    """An archive with a correct manifest that names the stranger as the owner of a limit."""
    csv = (
        f"id,scope,max_requests,window_seconds,tenant_id\n{uuid.uuid4()},tenant,1,60,{stranger.id}\n".encode()
    )
    members = [(m, c) for m, c in members_of(archive) if m.name != "platform/rate_limit_configs.csv"]
    manifest = json.loads(members.pop()[1])
    for columns, reason in (
        (["id", "scope", "max_requests", "window_seconds", "tenant_id"], "other columns"),
        (["id", "scope", "max_requests", "window_seconds"], "header"),
    ):
        manifest["platform_tables"] = [
            {"table": "rate_limit_configs", "columns": columns, "rows": 1, "bytes": len(csv),
             "sha256": hashlib.sha256(csv).hexdigest()}
        ]  # fmt: skip
        bad = write(
            tmp_path / f"{len(columns)}.tar",
            [
                *members,
                (regular("platform/rate_limit_configs.csv"), csv),
                (regular("manifest.json"), json.dumps(manifest).encode()),
            ],
        )
        before = await everything(settings)
        with pytest.raises(UnusableArchive, match=reason):
            await import_(settings, bad, slug="t-bad", other_id=True)
        assert await everything(settings) == before


async def test_what_is_taken_or_unknown_is_refused_before_anything_is_written(
    settings: Settings, archive: Path, tenant: TestTenant, stranger: TestTenant
) -> None:
    before = await everything(settings)
    for options, error, reason in (
        ({"slug": "t-free"}, TenantExists, "is that of a tenant in state active; --new-id"),
        ({"other_id": True}, TenantExists, "is taken"),
        ({"other_id": True, "slug": stranger.credentials.tenant}, TenantExists, "is taken"),
        ({"other_id": True, "slug": "Bad Slug"}, InvalidTenant, "slug"),
        ({"other_id": True, "slug": "t-free", "placement": "nowhere"}, InvalidTenant, "nowhere"),
    ):
        with pytest.raises(error, match=reason):
            await import_(settings, archive, **options)  # type: ignore[arg-type]
        assert await everything(settings) == before


async def test_a_tenant_that_is_here_is_not_made_again_on_another_cluster(
    clusters: Clusters, archive: Path, tenant: TestTenant
) -> None:
    with pytest.raises(TenantExists, match="--new-id"):
        await import_(clusters.settings, archive, slug="t-free", placement=SECOND)
    assert await traces_on(clusters.owner(SECOND), tenant.schema) == (0, 0)


async def killed_at(environment: dict[str, str], step: str, moment: str, *arguments: str) -> None:
    await run_killed(KILLED, step, moment, *arguments, environment=environment)


@pytest.mark.parametrize("step", STEPS)
async def test_an_import_killed_after_any_step_is_finished_from_the_same_archive(
    clusters: Clusters,
    archive: Path,
    tenant: TestTenant,
    tmp_path: Path,
    step: str,
) -> None:
    """Onto the second cluster, where a step commits before it is recorded."""
    before = await contents(clusters.owner(DEFAULT_PLACEMENT), tenant.schema)
    other = tmp_path / "other.tar"
    await export(clusters.settings, tenant.id, other)
    await purge(clusters.settings, tenant.id)
    slug = tenant.credentials.tenant
    await killed_at(clusters.environment, step, "after", str(archive), slug, SECOND)
    async with import_from(clusters.settings) as importing:
        with pytest.raises(UnusableArchive, match="not the one"):
            await importing.resume(verify(other))
        assert await importing.resume(verify(archive)) == tenant.id
        with pytest.raises(NothingToResume):
            await importing.resume(verify(archive))
    assert await contents(clusters.owner(SECOND), tenant.schema) == before
    async with client_of(clusters.app) as client:
        assert (await client.post("/v1/auth/login", json=tenant.login)).status_code == 200


@pytest.mark.parametrize(("step", "is_new"), [("rows", True), ("upgrade", False), ("activate", True)])
async def test_an_import_killed_before_any_step_is_cancelled_without_a_trace(
    settings: Settings,
    archive: Path,
    tenant: TestTenant,
    step: str,
    is_new: bool,
) -> None:
    """Of a purged tenant the registry remembers what it did before."""
    await purge(settings, tenant.id)
    if is_new:
        await execute(settings, "DELETE FROM platform.tenants WHERE id = :id", id=tenant.id)
    before = [row[:3] for row in (await everything(settings))[0]]
    slug = tenant.credentials.tenant
    await killed_at(command_environment(settings), step, "before", str(archive), slug, DEFAULT_PLACEMENT)
    async with onboarding_from(settings) as onboarding:
        with pytest.raises(NothingToResume):
            await onboarding.resume(tenant.id)
        await onboarding.cancel(tenant.id)
    async with lifecycle_from(settings) as (_, purging):
        assert (await purging.remains(tenant.id, DEFAULT_PLACEMENT)).none
    assert [row[:3] for row in (await everything(settings))[0]] == before
    assert await import_(settings, archive) == tenant.id


async def test_a_file_that_changes_after_its_check_is_not_loaded(
    settings: Settings, archive: Path, tenant: TestTenant, tmp_path: Path
) -> None:
    await purge(settings, tenant.id)
    checked = verify(archive)
    rewritten(archive, archive, lambda name, content: content.replace(b"plain", b"plaim"))
    async with import_from(settings) as importing:
        with pytest.raises(UnusableArchive, match="was changed while it was read"):
            await importing.run(checked)
    assert await traces_on(settings.owner_urls[DEFAULT_PLACEMENT], tenant.schema) == (0, 0)
    async with onboarding_from(settings) as onboarding:
        await onboarding.cancel(tenant.id)


async def test_the_commands_export_purge_and_import(
    app: FastAPI, settings: Settings, tenant: TestTenant, tmp_path: Path
) -> None:
    environment = command_environment(settings)
    slug, file = tenant.credentials.tenant, str(tmp_path / "a.tar.gz")

    async def command(*arguments: str, code: int = 0) -> str:
        finished = await asyncio.to_thread(run_command, "tenants", *arguments, cwd=tmp_path, **environment)
        assert finished.returncode == code, finished.stderr
        assert "Traceback" not in finished.stderr
        return finished.stderr

    made = await tenant.client.post("/v1/resources", json={"name": "kept"})
    assert "keep it private" in await command("export", slug, "--to", file)
    assert "it is not overwritten" in await command("export", slug, "--to", file, code=1)
    await command("delete", slug)
    said = await command("purge", slug, "--now", "--yes", "--export-to", str(tmp_path))
    assert "nothing is left" in said
    (kept,) = (tmp_path / name for name in listed(tmp_path) if name.startswith(f"{tenant.id}-"))
    assert {entry.table for entry in verify(kept).manifest.platform_tables} == {
        "rate_limit_configs",
        "usage_metrics",
    }
    assert f"imported as {tenant.id}" in await command("import", str(kept))
    async with client_of(app) as client:
        key = {"X-API-Key": tenant.credentials.api_key}
        assert (await client.get(made.headers["Location"], headers=key)).status_code == 200
    actions = ["export", "delete", "export", "purge", "import"]
    assert await trail_of(settings, tenant.id) == [f"tenants:{action}" for action in actions]
    copy = f"t-{uuid.uuid4().hex[:12]}"
    assert "do not work here" in await command("import", str(kept), "--new-id", "--slug", copy)
    assert "no unfinished operation" in await command("import", str(kept), "--slug", copy, "--resume", code=1)


def test_tables_are_loaded_after_those_they_refer_to() -> None:
    assert load_order({"b": {"a"}, "c": {"b", "a"}, "a": set()}) == ["a", "b", "c"]
    circles = load_order({"a": {"b"}, "b": {"a"}, "c": {"a"}, "d": {"e"}, "e": {"f"}, "f": {"d"}})
    assert sorted(circles) == ["a", "b", "c", "d", "e", "f"]
    assert circles.index("c") > circles.index("a")
