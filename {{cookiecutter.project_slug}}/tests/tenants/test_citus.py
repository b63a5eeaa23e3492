"""Tenants on a Citus cluster: made, served, kept apart, migrated, moved between its workers, deleted."""

import asyncio
import json
import random
import secrets
import signal
import socket
import struct
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.audit import chain
from app.audit import service as audit
from app.audit.models import AuditLog
from app.core.citus import ClusterNotReady
from app.core.citus_provisioning import check_cluster
from app.core.context import TenantRef, tenant_schema
from app.core.database import Database, TenantDatabases, owner_engine
from app.core.provisioning import OWNER_ROLE, RUNTIME_ROLE
from app.core.settings import PlacementSettings, Settings
from app.main import create_app
from app.tenants.archive import verify
from app.tenants.bootstrap import export_from, import_from, lifecycle_from, move_from, onboarding_from
from app.tenants.creation import NewTenant
from app.tenants.errors import InvalidTenant
from app.tenants.models import Isolation
from app.tenants.placements import OwnerDatabases
from app.tenants.rebalance import Rebalance
from app.users import service as users
from app.users.errors import EmailTaken
from tests.citus import CITUS_PLACEMENT, DATABASE, CitusCluster
from tests.conftest import MakeTenant, TestTenant, command_environment, tenant_maker

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
ELSEWHERE = "127.0.0.9"
KILLED = """
import asyncio, os, signal, sys
from app.core.settings import load_settings
from app.tenants import creation, schema
from app.tenants.bootstrap import onboarding_from

moment, slug = sys.argv[1:]
send = schema.send_script

async def deadly(connection, script):
    if "citus_schema_distribute" not in script:
        return await send(connection, script)
    if moment == "after":
        await send(connection, script)
    if moment == "during":
        asyncio.get_running_loop().call_later(0.03, os.kill, os.getpid(), signal.SIGKILL)
        await send(connection, script)
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    schema.send_script = deadly
    new = creation.NewTenant("Killed", slug, f"ada@{slug}.test", placement="citus")
    async with onboarding_from(load_settings()) as onboarding:
        await onboarding.create(new)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def citus_settings(settings: Settings, citus: CitusCluster) -> Settings:
    """The registry on a plain PostgreSQL, one placement on Citus."""
    return settings.model_copy(update={"placements": {CITUS_PLACEMENT: citus.placement}})


@pytest.fixture(scope="module")
async def service(citus_settings: Settings) -> AsyncIterator[FastAPI]:
    application = create_app(citus_settings)
    async with application.router.lifespan_context(application):
        yield application


@pytest.fixture
async def make(service: FastAPI) -> AsyncIterator[MakeTenant]:
    """Tenants on Citus, unless another placement is named."""
    async with tenant_maker(service, CITUS_PLACEMENT) as make:
        yield make


@pytest.fixture
async def settler(make: MakeTenant) -> TestTenant:
    return await make()


@pytest.fixture
def environment(citus_settings: Settings, citus: CitusCluster) -> dict[str, str]:
    place = {"database_url": citus.url(RUNTIME_ROLE), "migration_database_url": citus.url(OWNER_ROLE)}
    return command_environment(citus_settings) | {
        "APP_PLACEMENTS": json.dumps({CITUS_PLACEMENT: place}),
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


def command(environment: dict[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def ask(url: str, query: str, *arguments: object) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query, *arguments))
    finally:
        await connection.close()


async def alone(url: str, statement: str) -> None:
    """Change one node and no other."""
    connection = await asyncpg.connect(url)
    await connection.execute("SET citus.enable_ddl_propagation TO off")
    await connection.execute(statement)
    await connection.close()


async def shards(citus: CitusCluster, schema: str) -> dict[int, int]:
    """How many tables, shards among them, each node has in a schema."""
    query = (
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname ~ '_[0-9]+$'"
    )
    found = {}
    for port in citus.workers:
        connection = await asyncpg.connect(citus.url(port=port))
        await connection.execute("SET citus.override_table_visibility TO off")
        found[port] = await connection.fetchval(query, schema)
        await connection.close()
    return found


async def home(citus: CitusCluster, schema: str) -> int:
    """The port of the one worker that a tenant lives on; where it was, its tables go a little later."""
    query = (
        "SELECT DISTINCT nodeport FROM pg_dist_schema JOIN pg_dist_partition USING (colocationid)"
        " JOIN pg_dist_shard USING (logicalrelid) JOIN pg_dist_placement USING (shardid)"
        " JOIN pg_dist_node USING (groupid) WHERE schemaid = to_regnamespace($1)"
    )
    [[port]] = await ask(citus.url(), query, schema)
    return int(port)


async def traces(citus: CitusCluster, schema: str) -> dict[int, tuple[int, ...]]:
    """Schemas, roles, relations, Citus's own rows and files awaiting deletion, on every node."""
    query = (
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = $1),"
        " (SELECT count(*) FROM pg_roles WHERE rolname = $1),"
        " (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = $1),"
        " (SELECT count(*) FROM pg_dist_schema WHERE schemaid = to_regnamespace($1)),"
        " (SELECT count(*) FROM pg_dist_cleanup WHERE object_name LIKE $1 || '.%')"
    )
    return {port: tuple((await ask(citus.url(port=port), query, schema))[0]) for port in citus.nodes}


async def test_a_tenant_is_made_on_one_worker_and_served_over_http(
    citus: CitusCluster, settler: TestTenant
) -> None:
    tables = await shards(citus, settler.schema)
    assert min(tables.values()) == 0
    assert max(tables.values()) >= 8, "each table of the golden script"
    client = settler.client
    made = await client.post("/v1/resources", json={"name": "first", "data": {"a": [1, {"b": None}]}})
    assert made.status_code == 201, made.text
    place, tag = made.headers["Location"], made.headers["ETag"]
    assert (await client.get(place)).json()["data"] == {"a": [1, {"b": None}]}
    changed = await client.patch(place, json={"name": "second"}, headers={"If-Match": tag})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    stale = await client.patch(place, json={"name": "third"}, headers={"If-Match": tag})
    assert stale.status_code == 412
    for number in range(5):
        assert (await client.post("/v1/resources", json={"name": f"n{number}"})).status_code == 201
    page = (await client.get("/v1/resources", params={"limit": 4})).json()
    rest = (await client.get("/v1/resources", params={"cursor": page["next_cursor"], "limit": 4})).json()
    assert [one["name"] for one in page["items"] + rest["items"]] == ["n4", "n3", "n2", "n1", "n0", "second"]
    assert (await client.delete(place)).status_code == 204
    assert (await client.get(place)).status_code == 404
    client.headers.pop("Authorization")
    by_key = await client.get("/v1/resources", headers={"X-API-Key": settler.credentials.api_key})
    assert by_key.status_code == 200


async def test_refresh_tokens_rotate_and_a_reused_one_ends_its_family(settler: TestTenant) -> None:
    first = (await settler.client.post("/v1/auth/login", json=settler.login)).json()["refresh_token"]
    answer = await settler.client.post("/v1/auth/refresh", json={"refresh_token": first})
    second = answer.json()["refresh_token"]
    for used in (first, second):
        answer = await settler.client.post("/v1/auth/refresh", json={"refresh_token": used})
        assert answer.status_code == 401, "the first was used, the second belongs to its family"


async def test_an_email_is_taken_once(service: FastAPI, settler: TestTenant) -> None:
    """A worker names the constraint after its shard."""
    bob = {"email": "bob@citus.test", "role": "developer", "password_hash": "x"}
    async with service.state.databases.tenant(await stored(service, settler)) as session:
        await users.create_user(session, **bob)
        with pytest.raises(EmailTaken):
            await users.create_user(session, **bob)
        assert await session.scalar(text("SELECT count(*) FROM users")) == 2


async def test_writers_of_one_audit_trail_make_one_chain(service: FastAPI, settler: TestTenant) -> None:
    async def write(number: int) -> None:
        async with service.state.databases.tenant(await stored(service, settler)) as session:
            await audit.record(
                session,
                actor_kind="system",
                actor_id=None,
                action=f"test:{number}",
                target_kind="test",
                details={"number": number},
            )

    async with service.state.databases.tenant(await stored(service, settler)) as session:
        before = await chain.head(session, AuditLog)
    await asyncio.gather(*(write(number) for number in range(12)))
    async with service.state.databases.tenant(await stored(service, settler)) as session:
        assert (await chain.verify(session, AuditLog)).sequence == before.sequence + 12
    async with service.state.databases.tenant(await stored(service, settler)) as session:
        with pytest.raises(DBAPIError, match="permission denied"):
            await session.execute(text("UPDATE audit_logs SET action = 'x:y'"))


async def stored(app: FastAPI, tenant: TestTenant) -> TenantRef:
    ref: TenantRef | None = await app.state.registry.read(tenant.id)
    assert ref is not None
    return ref


@pytest.mark.parametrize("pool_size", [1, 2, 3, 4])
async def test_no_transaction_meets_another_tenants_rows(
    service: FastAPI, citus_settings: Settings, make: MakeTenant, pool_size: int
) -> None:
    """Tenants of both placements with the same ids; errors, savepoints, cancellations on few connections."""
    tenants = [await stored(service, await make(placement=place)) for place in ("citus", "default") * 2]
    pools = {
        name: Database(url, pool_size=pool_size, pool_timeout_seconds=60)
        for name, url in citus_settings.runtime_urls.items()
    }
    databases = TenantDatabases(
        pools, dedicated=lambda _tenant: pools["default"], has_changed=service.state.registry.has_changed
    )
    same = uuid.uuid4()
    insert = text("INSERT INTO resources (id, name) VALUES (:id, :name)")
    for tenant in tenants:
        async with databases.tenant(tenant) as session:
            await session.execute(insert, {"id": same, "name": tenant.slug})
    seen = 0

    async def read(tenant: TenantRef) -> None:
        nonlocal seen
        query = text("SELECT name, current_user FROM resources WHERE id = :id")
        async with databases.tenant(tenant) as session:
            row = (await session.execute(query, {"id": same})).one()
        assert tuple(row) == (tenant.slug, tenant.schema)
        seen += 1

    async def fail(tenant: TenantRef) -> None:
        with pytest.raises(DBAPIError):
            async with databases.tenant(tenant) as session:
                await session.execute(insert, {"id": same, "name": "again"})

    async def save(tenant: TenantRef) -> None:
        async with databases.tenant(tenant) as session:
            await session.execute(insert, {"id": uuid.uuid4(), "name": "kept for a moment"})
            with pytest.raises(DBAPIError):
                async with session.begin_nested():
                    await session.execute(insert, {"id": uuid.uuid4(), "name": ""})
            assert await session.scalar(text("SELECT count(*) FROM resources")) == 2
            await session.rollback()

    async def cancel(tenant: TenantRef) -> None:
        task = asyncio.create_task(read(tenant))
        await asyncio.sleep(random.uniform(0, 0.02))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def worker(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(12):
            await rng.choice((read, read, read, fail, save, cancel))(rng.choice(tenants))

    await asyncio.gather(*(worker(seed) for seed in range(8)))
    assert seen > 20
    for tenant in tenants:
        async with databases.tenant(tenant) as session:
            assert (await session.scalars(text("SELECT name FROM resources"))).all() == [tenant.slug]
    await databases.close()


@pytest.mark.parametrize(
    "attack",
    [
        "SELECT * FROM {other}.resources",
        "SELECT name FROM resources UNION ALL SELECT name FROM {other}.resources",
        "INSERT INTO {other}.resources (id, name) VALUES (gen_random_uuid(), 'x')",
        "UPDATE {other}.users SET role = 'admin'",
        "SELECT * FROM alembic_version",
        "DROP TABLE resources",
        "ALTER TABLE resources ADD COLUMN mine int",
        "CREATE TABLE mine (id int)",
        "SET LOCAL ROLE app_owner",
        "SELECT * FROM pg_dist_authinfo",
        "SELECT citus_schema_move('{own}', '127.0.0.1', {port})",
        "SELECT citus_schema_undistribute('{own}')",
        "SELECT citus_add_node('127.0.0.1', 1)",
        "SELECT run_command_on_placements('{other}.resources', 'SELECT count(*) FROM %s')",
    ],
)
async def test_a_tenant_reaches_no_further_than_its_schema(
    service: FastAPI, citus: CitusCluster, settler: TestTenant, make: MakeTenant, attack: str
) -> None:
    other = await make()
    query = attack.format(other=other.schema, own=settler.schema, port=citus.workers[0])
    async with service.state.databases.tenant(await stored(service, settler)) as session:
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner|not allowed") as refused:
            await session.execute(text(query))
        assert getattr(refused.value.orig, "sqlstate", None) in {"42501", "0A000"}


async def test_commands_sent_to_the_workers_have_the_rights_of_their_sender(
    service: FastAPI, settler: TestTenant, make: MakeTenant
) -> None:
    other = await make()
    send = text("SELECT success, result FROM run_command_on_workers(:command)")
    async with service.state.databases.tenant(await stored(service, settler)) as session:
        command = {"command": f"SELECT count(*) FROM {other.schema}.resources"}
        for answer in await session.execute(send, command):
            assert not answer.success
            assert "permission denied" in answer.result
        for answer in await session.execute(send, {"command": "SELECT current_user"}):
            assert answer.result == settler.schema
    async with service.state.databases.tenant(await stored(service, settler)) as session:
        await session.execute(text("RESET ROLE"))
        for answer in await session.execute(send, {"command": "SELECT 1"}):
            assert not answer.success, "the runtime login itself is let in nowhere by the coordinator"


async def test_nobody_logs_in_as_a_tenant_but_the_coordinator_at_its_workers(
    citus: CitusCluster, settler: TestTenant
) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(
            host=LOOPBACK, port=citus.coordinator, user=settler.schema, database=DATABASE, ssl=False
        )
    for port in citus.workers:
        # Trusted from the coordinator's address, which in this test is everybody's; so ask from another one.
        assert startup_answer(port, settler.schema, source=ELSEWHERE) == "28000"
    for port in citus.workers:
        connection = await asyncpg.connect(citus.url(RUNTIME_ROLE, port=port))
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"SET ROLE {settler.schema}")
        await connection.close()


def startup_answer(port: int, user: str, *, source: str) -> str:
    """What a server answers to a login: `R` when it goes on, or the SQLSTATE of its refusal."""
    pairs = b"user\0" + user.encode() + b"\0database\0" + DATABASE.encode() + b"\0\0"
    with socket.create_connection((LOOPBACK, port), timeout=10, source_address=(source, 0)) as connection:
        connection.sendall(struct.pack("!ii", len(pairs) + 8, 196608) + pairs)
        kind, length = struct.unpack("!ci", connection.recv(5))
        fields = connection.recv(length).split(b"\0")
    if kind != b"E":
        return str(kind.decode())
    return next(field[1:].decode() for field in fields if field.startswith(b"C"))


async def test_the_dedicated_tier_is_refused_with_the_reason_and_nothing_changes(
    citus_settings: Settings, citus: CitusCluster, settler: TestTenant
) -> None:
    query = "SELECT rolcanlogin, rolpassword IS NULL FROM pg_authid WHERE rolname = $1"
    before = await ask(citus.url(), query, settler.schema)
    async with lifecycle_from(citus_settings) as (lifecycle, _):
        with pytest.raises(InvalidTenant, match="no dedicated tier"):
            await lifecycle.isolate(settler.id, Isolation.DEDICATED)
        await lifecycle.isolate(settler.id, Isolation.POOLED)
    assert await ask(citus.url(), query, settler.schema) == before == [(True, True)]
    assert (await settler.client.get("/v1/resources")).status_code == 200


@pytest.mark.parametrize("moment", ["before", "during", "after"])
async def test_an_onboarding_killed_while_its_schema_is_distributed_is_finished_or_undone(
    citus_settings: Settings, citus: CitusCluster, environment: dict[str, str], tmp_path: Path, moment: str
) -> None:
    slugs = [f"t-{uuid.uuid4().hex[:12]}" for _ in range(2)]
    for slug in slugs:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, moment, slug, env=environment, cwd=tmp_path
        )
        assert await process.wait() == -signal.SIGKILL
    owners = OwnerDatabases.from_settings(citus_settings)
    async with owners.registry.connect() as registry:
        ids = [
            await registry.scalar(text("SELECT id FROM platform.tenants WHERE slug = :slug"), {"slug": slug})
            for slug in slugs
        ]
    await owners.close()
    schemas = [f"t_{tenant_id.hex}" for tenant_id in ids]
    async with onboarding_from(citus_settings) as onboarding:
        assert await onboarding.resume(ids[0]) is not None
        await onboarding.cancel(ids[1])
    assert await home(citus, schemas[0])
    assert set((await traces(citus, schemas[1])).values()) == {(0,) * 5}


def new_tenant() -> NewTenant:
    slug = f"t-{uuid.uuid4().hex[:12]}"
    return NewTenant("Some Tenant", slug, f"ada@{slug}.test", placement=CITUS_PLACEMENT)


async def refusal(settings: Settings) -> str:
    """Why no tenant is made; asserts that nothing was written."""
    new = new_tenant()
    async with onboarding_from(settings) as onboarding:
        with pytest.raises(ClusterNotReady) as refused:
            await onboarding.create(new)
    query = "SELECT count(*) FROM platform.tenants WHERE slug = $1"
    assert await ask(settings.owner_urls["default"], query, new.slug) == [(0,)]
    assert "docs/citus.md" in str(refused.value.detail)
    return str(refused.value.detail)


def at(settings: Settings, owner_url: str) -> Settings:
    place = PlacementSettings(database_url=owner_url, migration_database_url=owner_url)
    return settings.model_copy(update={"placements": {CITUS_PLACEMENT: place}})


async def test_a_placement_that_names_a_worker_is_refused(
    citus_settings: Settings, citus: CitusCluster
) -> None:
    worker = citus.url(OWNER_ROLE, port=citus.workers[0])
    assert "This is a worker" in await refusal(at(citus_settings, worker))


async def test_an_extension_without_workers_is_refused(citus_settings: Settings, citus: CitusCluster) -> None:
    name = f"alone_{uuid.uuid4().hex[:8]}"
    await ask(citus.url(database="postgres"), f"CREATE DATABASE {name} OWNER {OWNER_ROLE}")
    try:
        await ask(citus.url(database=name), "CREATE EXTENSION citus")
        alone = at(citus_settings, citus.url(OWNER_ROLE, database=name))
        assert "No worker takes tenants" in await refusal(alone)
    finally:
        await ask(citus.url(database="postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("at_worker", "breaks", "fault"),
    [
        (
            False,
            "SELECT citus_unmark_object_distributed('pg_authid'::regclass, 'app_owner'::regrole, 0, false)",
            "do not know the owner",
        ),
        (
            False,
            "SELECT citus_set_node_property('127.0.0.1', {port}, 'shouldhaveshards', true)",
            "takes tenants",
        ),
        (True, "REVOKE CONNECT ON DATABASE tenants FROM PUBLIC", "Tenants may not connect"),
        (True, "ALTER ROLE app_owner NOLOGIN", "cannot log in at"),
    ],
)
async def test_a_half_made_cluster_is_refused_and_mended_by_provisioning_again(
    citus_settings: Settings, citus: CitusCluster, at_worker: bool, breaks: str, fault: str
) -> None:
    port = citus.workers[1] if at_worker else citus.coordinator
    await alone(citus.url(port=port), breaks.format(port=port))
    assert fault in await refusal(citus_settings)
    await citus.provision()
    async with onboarding_from(citus_settings) as onboarding:
        assert (await onboarding.create(new_tenant())).api_key


async def test_a_check_says_who_lets_tenants_in_and_should_not_or_does_not_and_should(
    citus: CitusCluster,
) -> None:
    urls = citus.url(OWNER_ROLE), citus.url(RUNTIME_ROLE)
    await check_cluster(*urls)
    async with rules_without_tenants(citus, citus.workers[0]):
        with pytest.raises(ClusterNotReady, match="does not let tenants in from the coordinator"):
            await check_cluster(*urls)
    async with rules_that_trust(citus, citus.coordinator):
        await check_cluster(*urls)  # They may not connect to the database either.
        await alone(citus.url(), "GRANT CONNECT ON DATABASE tenants TO PUBLIC")
        with pytest.raises(ClusterNotReady, match="lets tenants log in without a password"):
            await check_cluster(*urls)
        await alone(citus.url(), "REVOKE CONNECT ON DATABASE tenants FROM PUBLIC")
    await check_cluster(*urls)
    roles = await ask(
        citus.url(),
        "SELECT count(*) FROM pg_roles WHERE rolname ~ '^t_' AND rolname NOT IN"
        " (SELECT nspname FROM pg_namespace)",
    )
    assert roles == [(0,)], "what the check tried with is gone"


@asynccontextmanager
async def changed_rules(citus: CitusCluster, port: int, rules: str) -> AsyncIterator[None]:
    file = citus.rules_file(port)
    before = file.read_text()
    try:
        file.write_text(rules + before)
        await ask(citus.url(port=port), "SELECT pg_reload_conf()")
        await asyncio.sleep(0.5)
        yield
    finally:
        file.write_text(before)
        await ask(citus.url(port=port), "SELECT pg_reload_conf()")
        await asyncio.sleep(0.5)


def rules_without_tenants(citus: CitusCluster, port: int) -> AbstractAsyncContextManager[None]:
    return changed_rules(citus, port, 'host all "/^t_" 0.0.0.0/0 reject\n')


def rules_that_trust(citus: CitusCluster, port: int) -> AbstractAsyncContextManager[None]:
    return changed_rules(citus, port, 'host all "/^t_" 127.0.0.1/32 trust\n')


async def test_the_command_line_provisions_checks_lists_and_moves(
    citus: CitusCluster, environment: dict[str, str], settler: TestTenant, tmp_path: Path
) -> None:
    superusers = {
        "APP_SUPERUSER_DATABASE_URL": citus.url(database="postgres"),
        "APP_CITUS_WORKER_URLS": " ".join(
            citus.url(port=port, database="postgres") for port in citus.workers
        ),
    }
    for _ in range(2):
        finished = command(environment | superusers, tmp_path, "migrate", "provision-citus", "citus")
        assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr
        assert "is ready for tenants" in finished.stderr
    same = superusers | {"APP_SUPERUSER_DATABASE_URL": citus.url()}
    finished = command(environment | same, tmp_path, "migrate", "provision-citus", "citus")
    assert finished.returncode == 1
    assert "another database than tenants" in finished.stderr
    for faulty in ("default", "elsewhere"):
        finished = command(environment, tmp_path, "migrate", "check-citus", faulty)
        assert finished.returncode == 1
        assert "Traceback" not in finished.stderr
    assert command(environment, tmp_path, "migrate", "check-citus", "citus").returncode == 0

    listed = command(environment, tmp_path, "tenants", "nodes", "citus")
    assert all(f"127.0.0.1:{port}" in listed.stdout for port in citus.workers), listed.stderr
    assert command(environment, tmp_path, "tenants", "nodes", "default").returncode == 1
    before = await home(citus, settler.schema)
    after = next(port for port in citus.workers if port != before)
    slug = settler.credentials.tenant
    for number in range(2):
        moved = command(
            environment, tmp_path, "tenants", "rebalance", slug, "--to-node", f"127.0.0.1:{after}"
        )
        assert moved.returncode == 0, moved.stderr
        assert ("moved from" in moved.stderr) == (number == 0), moved.stderr
    assert await home(citus, settler.schema) == after
    refused = command(
        environment, tmp_path, "tenants", "rebalance", slug, "--to-node", f"127.0.0.1:{citus.coordinator}"
    )
    assert refused.returncode == 1
    assert "takes no tenants; known:" in refused.stderr
    query = (
        "SELECT details->>'to_node' FROM platform.operator_actions"
        " WHERE action = 'tenants:rebalance' AND tenant_id = $1"
    )
    trail = await ask(environment["APP_MIGRATION_DATABASE_URL"], query, settler.id)
    assert trail == [(f"127.0.0.1:{after}",)], "recorded when something was to be moved"
    assert (await settler.client.get("/v1/resources")).status_code == 200


async def test_a_tenant_is_moved_between_workers_while_it_writes_and_loses_no_row(
    citus_settings: Settings, citus: CitusCluster, settler: TestTenant, make: MakeTenant
) -> None:
    neighbour = await make()
    moved, made, refused = False, [], []

    async def write(tenant: TestTenant, number: int) -> None:
        while not moved:
            name = f"{number}-{secrets.token_hex(4)}"
            answer = await tenant.client.post("/v1/resources", json={"name": name})
            (made if answer.status_code == 201 else refused).append(answer)

    writers = [asyncio.create_task(write(settler, number)) for number in range(3)]
    others = asyncio.create_task(write(neighbour, 9))
    owners = OwnerDatabases.from_settings(citus_settings)
    start = await home(citus, settler.schema)
    try:
        for port in (*(port for port in citus.workers if port != start), start):
            await asyncio.sleep(0.2)
            result = await Rebalance(owners).move(settler.id, f"127.0.0.1:{port}")
            assert result.now == f"127.0.0.1:{port}"
            assert await home(citus, settler.schema) == port
        assert (await shards(citus, settler.schema))[start], "there is something to count"
    finally:
        moved = True
        await asyncio.gather(*writers, others)
        await owners.close()
    assert [answer.text for answer in refused] == []
    for _ in range(100):
        held = await shards(citus, settler.schema)
        if [port for port, number in held.items() if number] == [start]:
            break
        await asyncio.sleep(0.2)
    assert [port for port, number in held.items() if number] == [start], "the copy that it left is dropped"
    assert len(made) > 20
    for tenant in (settler, neighbour):
        names, cursor = [], None
        while True:
            parameters = {"limit": 100} | ({"cursor": cursor} if cursor else {})
            page = (await tenant.client.get("/v1/resources", params=parameters)).json()
            names += [one["name"] for one in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        mine = "9-" if tenant is neighbour else ("0-", "1-", "2-")
        written = [answer.json()["name"] for answer in made if answer.json()["name"].startswith(mine)]
        assert sorted(names) == sorted(written)


async def test_a_tenant_moves_from_a_plain_placement_to_citus_and_back(
    citus_settings: Settings, citus: CitusCluster, make: MakeTenant
) -> None:
    tenant = await make(placement="default")
    names = [f"r{number}" for number in range(5)]
    for name in names:
        assert (await tenant.client.post("/v1/resources", json={"name": name})).status_code == 201
    for target in ("citus", "default"):
        async with move_from(citus_settings) as move:
            await move.run(tenant.id, target)
        names.append(f"on {target}")
        assert (await tenant.client.post("/v1/resources", json={"name": names[-1]})).status_code == 201
        listed = (await tenant.client.get("/v1/resources")).json()["items"]
        assert [one["name"] for one in listed] == names[::-1]
        refreshed = await tenant.client.post("/v1/auth/login", json=tenant.login)
        assert refreshed.status_code == 200
        assert any((await shards(citus, tenant.schema)).values()) == (target == "citus")
    assert set((await traces(citus, tenant.schema)).values()) == {(0,) * 5}


async def test_a_dedicated_tenant_stays_where_it_can_be_one(
    citus_settings: Settings, citus: CitusCluster, make: MakeTenant
) -> None:
    tenant = await make(placement="default")
    async with lifecycle_from(citus_settings) as (lifecycle, _), move_from(citus_settings) as move:
        await lifecycle.isolate(tenant.id, Isolation.DEDICATED)
        with pytest.raises(InvalidTenant, match="no dedicated tier"):
            await move.run(tenant.id, CITUS_PLACEMENT)
    assert (await tenant.client.post("/v1/resources", json={"name": "x"})).status_code == 201
    assert set((await traces(citus, tenant.schema)).values()) == {(0,) * 5}


async def test_an_archive_is_imported_into_citus(
    citus_settings: Settings, citus: CitusCluster, settler: TestTenant, make: MakeTenant, tmp_path: Path
) -> None:
    """From Citus too: the archive is written through the coordinator."""
    await settler.client.post("/v1/resources", json={"name": "archived", "data": {"a": "ü"}})
    async with export_from(citus_settings) as export:
        await export.run(settler.id, tmp_path / "archive.tar.gz")
    slug = f"t-{uuid.uuid4().hex[:12]}"
    async with import_from(citus_settings) as import_:
        archive = verify(tmp_path / "archive.tar.gz")
        copied = await import_.run(archive, slug=slug, placement=CITUS_PLACEMENT, other_id=True)
    login = await settler.client.post("/v1/auth/login", json=settler.login | {"tenant": slug})
    settler.client.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
    listed = (await settler.client.get("/v1/resources")).json()["items"]
    assert [(one["name"], one["data"]) for one in listed] == [("archived", {"a": "ü"})]
    assert await home(citus, tenant_schema(copied))


async def test_a_plain_tenant_has_no_node_to_be_moved_to(citus_settings: Settings, make: MakeTenant) -> None:
    plain = await make(placement="default")
    owners = OwnerDatabases.from_settings(citus_settings)
    with pytest.raises(InvalidTenant, match="no Citus cluster"):
        await Rebalance(owners).move(plain.id, "127.0.0.1:5432")
    await owners.close()


async def test_a_tenant_of_an_older_revision_is_migrated(citus: CitusCluster, settler: TestTenant) -> None:
    engine = owner_engine(citus.url(OWNER_ROLE))
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP TABLE {settler.schema}.refresh_tokens, {settler.schema}.jobs"))
    await engine.dispose()


async def test_the_workers_keep_no_connection_for_a_tenant(
    service: FastAPI, citus: CitusCluster, make: MakeTenant
) -> None:
    """Eight tenants on a pool of four would else be up to 32 connections."""
    tenants = [await make() for _ in range(8)]
    for _ in range(4):
        await asyncio.gather(*(tenant.client.get("/v1/resources") for tenant in tenants))
    query = "SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^t_'"
    for _ in range(50):
        held = sum([(await ask(citus.url(port=port), query))[0][0] for port in citus.workers])
        if not held:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{held} connections are held")


async def test_a_purged_tenant_leaves_nothing_on_any_node(
    citus_settings: Settings, citus: CitusCluster, settler: TestTenant, make: MakeTenant
) -> None:
    kept = await make()
    await settler.client.post("/v1/resources", json={"name": "x"})
    before = await traces(citus, settler.schema)
    assert all(found[:2] == (1, 1) for found in before.values()), before
    async with lifecycle_from(citus_settings) as (lifecycle, purge):
        await lifecycle.schedule_deletion(settler.id)
        remains = await purge.run(settler.id, before_grace_ends=True)
        assert remains.none, remains
        assert (await purge.run(settler.id)).none
    assert set((await traces(citus, settler.schema)).values()) == {(0,) * 5}
    assert sum((await shards(citus, settler.schema)).values()) == 0
    assert (await settler.client.get("/v1/resources")).status_code == 401
    assert (await kept.client.get("/v1/resources")).status_code == 200
