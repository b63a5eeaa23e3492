"""The command line as a person uses it: in a folder of its own, through a child process."""

import json
import socket
import stat
import subprocess
import uuid
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from app.core.redis import make_redis
from app.core.settings import Settings
from app.embedded.files import locked
from app.embedded.ports import free_port
from app.main import create_app
from tests.commands import run_command, run_interpreter, start_interpreter
from tests.conftest import (
    DatabaseURLs,
    MakeTenant,
    TestOperator,
    TestTenant,
    client_of,
    command_environment,
)


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return command_environment(settings)


async def test_a_tenant_made_on_the_command_line_can_log_in(
    environment: dict[str, str], client: httpx.AsyncClient, tmp_path: Path
) -> None:
    slug = f"cli-{uuid.uuid4().hex[:8]}"
    arguments = ("tenants", "create", "--name", "Cli Inc", "--slug", slug, "--admin-email", "ada@cli.test")
    made = run_interpreter(*arguments, "--json", cwd=tmp_path, **environment)
    assert made.returncode == 0, made.stderr
    credentials = json.loads(made.stdout)
    body = {name: credentials[name] for name in ("tenant", "email", "password")}
    assert (await client.post("/v1/auth/login", json=body)).status_code == 200
    again = run_command(*arguments, cwd=tmp_path, **environment)
    assert (again.returncode, again.stdout) == (1, "")
    assert f"{slug} is taken" in again.stderr
    assert "Traceback" not in again.stderr
    assert "--slug" in again.stderr
    listed = run_command("tenants", "list", cwd=tmp_path, **environment | {"COLUMNS": "40"})
    assert slug in listed.stdout
    assert credentials["tenant_id"] in listed.stdout, "whole, to be copied"
    assert "…" not in listed.stdout
    arguments = ("tenants", "credentials", "--tenant", slug, "--email", "ada@cli.test")
    assert run_command(*arguments, cwd=tmp_path, **environment).returncode != 0
    reset = run_command(*arguments, "--reset", cwd=tmp_path, **environment)
    assert reset.returncode == 0, reset.stderr
    body["password"] = reset.stdout.strip()
    assert (await client.post("/v1/auth/login", json=body)).status_code == 200


@pytest.mark.parametrize("slug", ["no-such-tenant", "\udcff", "UPPER", "' OR true", "", "--", "x" * 5_000])
def test_what_names_no_tenant_is_said_to_name_none(
    environment: dict[str, str], tmp_path: Path, slug: str
) -> None:
    """Bytes that are no UTF-8 among it, which the database would refuse."""
    for command in (
        ("show", "--", slug),
        ("suspend", "--", slug),
        ("export", "--to", "a.tar", "--", slug),
        ("credentials", f"--tenant={slug}", "--email=a@b.test", "--reset"),
    ):
        finished = run_command("tenants", *command, cwd=tmp_path, **environment)
        assert (finished.returncode, finished.stdout) == (1, ""), command
        assert finished.stderr.startswith("error: There is no such tenant"), command


async def test_what_a_purge_leaves_is_said_in_words_and_a_repeated_purge_deletes_it(
    environment: dict[str, str],
    settings: Settings,
    database_urls: DatabaseURLs,
    tenant: TestTenant,
    tmp_path: Path,
) -> None:
    superuser = await asyncpg.connect(database_urls.superuser)
    await superuser.execute(f"GRANT CONNECT ON DATABASE postgres TO {tenant.schema}")
    slug, purged = tenant.login["tenant"], ("tenants", "purge", f"deleted-{tenant.id.hex}", "--now", "--yes")
    assert run_command("tenants", "delete", slug, cwd=tmp_path, **environment).returncode == 0
    left = run_command("tenants", "purge", slug, "--now", "--yes", cwd=tmp_path, **environment)
    assert left.returncode == 1
    assert "this is left:\n  1 × role (it has rights in another database of that server" in left.stderr
    assert "Remains" not in left.stderr
    await superuser.execute(f"REVOKE CONNECT ON DATABASE postgres FROM {tenant.schema}")
    await superuser.close()
    redis = make_redis(settings.redis_url.get_secret_value())
    await redis.set(f"epoch:{{{tenant.id.hex}}}", 9)
    again = run_command(*purged, cwd=tmp_path, **environment)
    assert (again.returncode, again.stderr) == (0, f"{tenant.id}: nothing is left\n")
    assert not [key async for key in redis.scan_iter(match=f"*{tenant.id.hex}*")]
    await redis.aclose()


async def test_a_new_secret_key_needs_new_logins_of_dedicated_tenants(
    environment: dict[str, str], settings: Settings, tenant: TestTenant, tmp_path: Path
) -> None:
    slug = tenant.login["tenant"]
    assert run_command("tenants", "isolate", slug, cwd=tmp_path, **environment).returncode == 0
    environment["APP_SECRET_KEY"] = "another-secret-" * 3
    renewed = run_command("tenants", "renew-logins", cwd=tmp_path, **environment)
    assert renewed.returncode == 0, renewed.stderr
    assert f"{slug}: has its login anew\n" in renewed.stderr
    changed = settings.model_copy(update={"secret_key": SecretStr(environment["APP_SECRET_KEY"])})
    application = create_app(changed)
    async with application.router.lifespan_context(application), client_of(application) as client:
        client.headers["Authorization"] = tenant.client.headers["Authorization"]
        assert (await client.get("/v1/resources")).status_code == 200
    assert run_command("tenants", "isolate", slug, "pooled", cwd=tmp_path, **environment).returncode == 0


async def test_one_that_cannot_be_purged_keeps_no_other_from_it(
    environment: dict[str, str], make_tenant: MakeTenant, database_urls: DatabaseURLs, tmp_path: Path
) -> None:
    tenants = [await make_tenant() for _ in range(3)]
    superuser = await asyncpg.connect(database_urls.superuser)
    await superuser.execute(
        "UPDATE platform.tenants SET state = 'deleting', purge_after = now() WHERE id = ANY($1)",
        [tenant.id for tenant in tenants],
    )
    moving = min(tenants, key=lambda tenant: tenant.id)
    await superuser.execute(
        "INSERT INTO platform.tenant_operations (id, tenant_id, kind, state, step)"
        " VALUES (gen_random_uuid(), $1, 'move', 'failed', 'copy')",
        moving.id,
    )
    purged = run_command("tenants", "purge", "--yes", cwd=tmp_path, **environment)
    await superuser.execute("DELETE FROM platform.tenant_operations WHERE tenant_id = $1", moving.id)
    await superuser.close()
    assert purged.returncode == 1
    told = purged.stderr.splitlines()
    assert [line for line in told if line.startswith(f"{moving.id}: not purged: ")], told
    for tenant in tenants:
        assert (f"{tenant.id}: nothing is left" in told) is (tenant is not moving), told


async def test_a_tenant_is_suspended_changed_deleted_and_purged_on_the_command_line(
    environment: dict[str, str], tenant: TestTenant, operator: TestOperator, tmp_path: Path
) -> None:
    slug = tenant.login["tenant"]

    def app(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run_command("tenants", *arguments, cwd=tmp_path, **environment)

    assert "suspended" in app("suspend", slug).stdout
    assert (await tenant.client.get("/v1/resources")).status_code == 403
    again = app("suspend", slug)
    assert (again.returncode, again.stdout) == (1, "")
    assert "It is suspended; that needs active." in again.stderr
    for arguments in (
        ("resume", slug),
        ("plan", slug, "pro"),
        ("isolate", slug),
        ("isolate", slug, "pooled"),
    ):
        assert app(*arguments).returncode == 0
    assert (await tenant.client.get("/v1/resources")).status_code == 200
    assert "purge_after" in app("delete", slug).stdout
    assert app("purge", slug).returncode == 2, "needs --yes"
    waits = app("purge", slug, "--yes")
    assert waits.returncode == 1
    assert "Its grace ends at" in waits.stderr
    purged = app("purge", slug, "--now", "--yes")
    assert (purged.returncode, "nothing is left" in purged.stderr) == (0, True), purged.stderr
    assert f"no tenant has the slug {slug}" in app("show", slug).stderr
    trail = await operator.client.get("/v1/operators/actions", params={"tenant_id": str(tenant.id)})
    rows = [(row["actor_kind"], row["action"]) for row in reversed(trail.json()["items"])]
    assert rows == [
        ("system", f"tenants:{verb}")
        for verb in ("suspend", "resume", "update", "update", "update", "delete", "purge")
    ]


def test_migrating_again_is_quiet(environment: dict[str, str], tmp_path: Path) -> None:
    finished = run_command("migrate", "apply", cwd=tmp_path, **environment)
    assert finished.returncode == 0, finished.stderr
    assert "platform at" in finished.stderr


@pytest.mark.parametrize("missing", ["APP_ENVIRONMENT", "APP_SECRET_KEY", "APP_DATABASE_URL"])
def test_the_boot_names_the_variable_that_is_missing(
    environment: dict[str, str], tmp_path: Path, missing: str
) -> None:
    del environment[missing]
    finished = run_command("serve", cwd=tmp_path, **environment)
    assert finished.returncode == 1
    assert f"{missing}: is missing" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_boot_refuses_placeholders_outside_dev(environment: dict[str, str], tmp_path: Path) -> None:
    values = environment | {"APP_ENVIRONMENT": "production", "APP_SECRET_KEY": "change-me" * 8}
    finished = run_command("serve", cwd=tmp_path, **values)
    assert finished.returncode == 1
    assert "APP_SECRET_KEY still holds a placeholder" in finished.stderr


def test_missing_keys_are_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    finished = run_command("serve", cwd=tmp_path, **environment | {"APP_JWT_KEYS_DIR": str(tmp_path)})
    assert finished.returncode != 0
    assert "current.pem" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_database_that_is_away_is_one_line_without_its_password(
    environment: dict[str, str], tmp_path: Path
) -> None:
    values = environment | {"APP_MIGRATION_DATABASE_URL": "postgresql://app_owner:hunter2@127.0.0.1:9/app"}
    finished = run_command("migrate", "apply", cwd=tmp_path, **values)
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: PostgreSQL")
    assert "hunter2" not in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_fault_of_the_database_is_not_called_a_lost_connection(
    environment: dict[str, str], database_urls: DatabaseURLs, superuser_url: str, tmp_path: Path
) -> None:
    wrong_password = make_url(database_urls.runtime).set(password="hunter2").render_as_string(False)
    for url, kind in ((superuser_url, "UndefinedTableError"), (wrong_password, "InvalidPasswordError")):
        finished = run_command("tenants", "list", cwd=tmp_path, **environment | {"APP_DATABASE_URL": url})
        assert (finished.returncode, finished.stdout) == (1, "")
        assert finished.stderr == f"error: PostgreSQL refused ({kind}); its own log says why\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finished = run_command("keys", "generate", "--directory", str(tmp_path / "file" / "keys"), cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr.startswith(f"error: {tmp_path}/file")
    assert "PostgreSQL" not in finished.stderr


def test_keys_are_listed_from_where_the_settings_say(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"APP_JWT_KEYS_DIR={environment.pop('APP_JWT_KEYS_DIR')}\n")
    listed = run_command("keys", "list", cwd=tmp_path, **environment)
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[1] for line in listed.stdout.splitlines()] == ["current"]


def test_keys_are_bundled_for_a_service_without_a_folder(environment: dict[str, str], tmp_path: Path) -> None:
    folder = environment.pop("APP_JWT_KEYS_DIR")
    bundled = run_command("keys", "bundle", "--directory", folder, cwd=tmp_path)
    listed = run_command("keys", "list", cwd=tmp_path, **environment | {"APP_JWT_KEYS": bundled.stdout})
    by_folder = run_command("keys", "list", "--directory", folder, cwd=tmp_path)
    assert listed.stdout.split()[:2] == by_folder.stdout.split()[:2]
    assert [line.split()[1] for line in listed.stdout.splitlines()] == ["current"]


def test_keys_are_generated_once(tmp_path: Path) -> None:
    for _ in range(2):
        finished = run_command("keys", "generate", "--directory", str(tmp_path / "keys"), cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
    listed = run_interpreter("keys", "list", "--directory", str(tmp_path / "keys"), cwd=tmp_path)
    assert [line.split()[1] for line in listed.stdout.splitlines()] == ["current"]


def test_dev_outside_of_a_project_says_where_to_go(tmp_path: Path) -> None:
    finished = run_command("dev", "init", cwd=tmp_path)
    assert finished.returncode == 1
    assert "project.env" in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_dev_wants_both_urls_of_a_database_of_your_own(tmp_path: Path) -> None:
    (tmp_path / "project.env").write_text("APP_PROJECT_NAME=x\n")
    finished = run_command("dev", "init", cwd=tmp_path, APP_DATABASE_URL="postgresql://x:y@127.0.0.1/z")
    assert finished.returncode == 1
    assert "APP_MIGRATION_DATABASE_URL" in finished.stderr


def test_dev_uses_your_own_servers(
    environment: dict[str, str], tmp_path: Path, database_urls: DatabaseURLs
) -> None:
    (tmp_path / "project.env").write_text(
        "APP_FIRST_TENANT_NAME=Own Servers\nAPP_FIRST_TENANT_ADMIN_EMAIL=a@own.test\n"
    )
    names = ("APP_DATABASE_URL", "APP_MIGRATION_DATABASE_URL", "APP_REDIS_URL")
    finished = run_interpreter("dev", "init", cwd=tmp_path, **{name: environment[name] for name in names})
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("using yours") == 2
    assert not (tmp_path / ".local/postgres").exists()
    assert json.loads((tmp_path / ".local/first-tenant.json").read_text())["tenant"] == "own-servers"


@pytest.fixture
def own_servers(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a project in `tmp_path` whose servers are those of the tests."""
    (tmp_path / "project.env").write_text(
        f"APP_FIRST_TENANT_NAME=Own {uuid.uuid4().hex[:8]}\nAPP_FIRST_TENANT_ADMIN_EMAIL=a@own.test\n"
    )
    return {
        name: environment[name]
        for name in ("APP_DATABASE_URL", "APP_MIGRATION_DATABASE_URL", "APP_REDIS_URL")
    }


def test_the_port_and_the_host_of_your_own_are_where_the_service_answers(
    own_servers: dict[str, str], tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / ".env").write_text(f"APP_PORT={port}\n")
    try:
        finished = run_interpreter("dev", "up", cwd=tmp_path, APP_HOST="0.0.0.0", **own_servers)
        assert finished.returncode == 0, finished.stderr
        credentials = json.loads((tmp_path / ".local/first-tenant.json").read_text())
        assert credentials["base_url"] == f"http://127.0.0.1:{port}"
        assert httpx.get(f"{credentials['base_url']}/health/ready").status_code == 200
        assert stat.S_IMODE((tmp_path / ".local/logs/api.log").stat().st_mode) == 0o600
    finally:
        run_interpreter("dev", "down", cwd=tmp_path, **own_servers)


def test_a_port_of_your_own_that_is_taken_is_named(own_servers: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = run_command("dev", "up", cwd=tmp_path, APP_PORT=str(port), **own_servers)
    assert finished.returncode == 1
    assert f"Port {port} is taken" in finished.stderr


def test_the_stack_for_development_is_for_nothing_else(own_servers: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("APP_ENVIRONMENT=production\n")
    finished = run_command("dev", "init", cwd=tmp_path, **own_servers)
    assert finished.returncode == 1
    assert "APP_ENVIRONMENT is production" in finished.stderr
    assert not (tmp_path / ".local/keys").exists()


def test_a_second_set_up_waits_for_the_first_and_says_so(own_servers: dict[str, str], tmp_path: Path) -> None:
    with locked(tmp_path / ".local"):
        second = start_interpreter("dev", "init", cwd=tmp_path, **own_servers)
        assert second.stderr is not None
        assert "waiting" in second.stderr.readline()
        assert not (tmp_path / ".local/keys").exists()
    _, rest = second.communicate(timeout=120)
    assert second.returncode == 0, rest
    assert (tmp_path / ".local/first-tenant.json").exists()


def test_a_wrong_tree_is_refused(tmp_path: Path) -> None:
    assert run_command("migrate", "revision", "galaxy", "x", cwd=tmp_path).returncode == 2


def test_help_shows_every_command() -> None:
    shown = run_interpreter("--help").stdout
    for command in ("serve", "dev", "migrate", "tenants", "operators", "keys"):
        assert command in shown
