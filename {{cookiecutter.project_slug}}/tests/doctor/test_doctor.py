"""`app doctor` on real servers: what is right is ok, a fault is named with its remedy, no secret shows."""

import json
import socket
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from sqlalchemy import make_url

from app.core.provisioning import provision_database
from app.core.redis import make_redis
from app.core.settings import Settings
from app.doctor.databases import clock, skew
from app.fleet import Fleet
from tests.commands import run_command
from tests.conftest import DatabaseURLs, command_environment, provisioned


@pytest.fixture(scope="module")
async def own_urls(superuser_url: str, database_urls: DatabaseURLs) -> DatabaseURLs:
    """A database in order, whatever other tests leave in theirs. The logins are those of all databases."""
    name = f"doctor_{uuid.uuid4().hex[:12]}"
    await provision_database(
        superuser_url,
        database=name,
        owner_password=str(make_url(database_urls.owner).password),
        runtime_password=str(make_url(database_urls.runtime).password),
    )
    urls = DatabaseURLs(
        superuser=elsewhere(database_urls.superuser, database=name),
        owner=elsewhere(database_urls.owner, database=name),
        runtime=elsewhere(database_urls.runtime, database=name),
    )
    assert (await Fleet({"default": urls.owner}).apply()).ok
    return urls


@pytest.fixture
def environment(settings: Settings, own_urls: DatabaseURLs) -> dict[str, str]:
    own = {"APP_DATABASE_URL": own_urls.runtime, "APP_MIGRATION_DATABASE_URL": own_urls.owner}
    return command_environment(settings) | own


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


def examined(environment: dict[str, str], folder: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the findings by their checks."""
    finished = run_command("doctor", "--json", cwd=folder, **environment)
    assert finished.stderr == ""
    told = json.loads(finished.stdout)
    assert told["ok"] == (finished.returncode == 0)
    for secret in secrets_of(environment):
        assert secret not in finished.stdout
    return finished.returncode, {finding["check"]: finding for finding in told["checks"]}


def secrets_of(environment: dict[str, str]) -> set[str]:
    urls = (value for name, value in environment.items() if name.endswith("_URL"))
    passwords = {str(make_url(url).password or "") for url in urls}
    return {secret for secret in passwords | {environment.get("APP_SECRET_KEY", "")} if secret}


def elsewhere(url: str, **changes: Any) -> str:
    return make_url(url).set(**changes).render_as_string(hide_password=False)


def test_an_installation_in_order_is_ok_throughout(environment: dict[str, str], tmp_path: Path) -> None:
    code, found = examined(environment, tmp_path)
    assert code == 0
    assert {finding["outcome"] for finding in found.values()} == {"ok"}
    assert set(found) == {
        "settings", "signing keys", "database default (runtime)", "rights of the runtime (default)",
        "clock (default)", "database default (owner)", "platform revision", "tenant revisions", "redis",
    }  # fmt: skip
    assert "APP_DATABASE_URL" in found["settings"]["found"]
    assert "(2048 bits)" in found["signing keys"]["found"]
    assert "PostgreSQL 18" in found["database default (runtime)"]["found"]
    assert "noeviction" in found["redis"]["found"]


def test_people_get_a_line_for_each_check(environment: dict[str, str], tmp_path: Path) -> None:
    finished = run_command("doctor", cwd=tmp_path, **environment | {"APP_REDIS_URL": "redis://127.0.0.1:9"})
    assert finished.returncode == 1
    lines = finished.stdout.splitlines()
    assert len(lines) == 9
    assert {line.split()[0] for line in lines} == {"ok", "fail"}
    (failed,) = (line for line in lines if line.startswith("fail"))
    assert "redis://127.0.0.1:9" in failed
    assert "-> start it, or correct APP_REDIS_URL" in failed


def test_settings_that_do_not_load_are_named_and_the_rest_says_so(
    environment: dict[str, str], tmp_path: Path
) -> None:
    del environment["APP_REDIS_URL"]
    code, found = examined(environment | {"APP_SECRET_KEY": "short-and-secret"}, tmp_path)
    assert code == 1
    assert "APP_REDIS_URL: is missing" in found["settings"]["found"]
    assert "APP_SECRET_KEY: must hold at least 32 bytes" in found["settings"]["found"]
    rest = [finding for check, finding in found.items() if check != "settings"]
    assert {finding["outcome"] for finding in rest} == {"skip"}
    assert {finding["found"] for finding in rest} == {"the settings did not load"}


def test_a_slip_in_a_name_is_noticed(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("APP_LOG_LEVLE=DEBUG\n")
    code, found = examined(environment | {"APP_WORKRES": "4"}, tmp_path)
    assert code == 0
    assert found["names of settings"]["outcome"] == "warn"
    assert "APP_LOG_LEVLE in .env, APP_WORKRES in the environment" in found["names of settings"]["found"]


def test_keys_that_others_can_read_or_replace_are_refused(
    environment: dict[str, str], keys_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    pem = folder / "current.pem"
    given = environment | {"APP_JWT_KEYS_DIR": str(folder)}
    assert "missing" in examined(given, tmp_path)[1]["signing keys"]["found"]
    pem.write_bytes((keys_dir / "current.pem").read_bytes())
    pem.chmod(0o644)
    found = examined(given, tmp_path)[1]["signing keys"]
    assert (found["outcome"], f"run `chmod 600 {pem}`" in found["found"]) == ("fail", True)
    pem.chmod(0o600)
    folder.chmod(0o777)
    found = examined(given, tmp_path)[1]["signing keys"]
    assert (found["outcome"], found["todo"]) == ("warn", f"run `chmod 700 {folder}`")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"password": "not-the-password"}, "the login was refused"),
        ({"database": "nowhere"}, "there is no such database"),
        ({"port": 9}, "nothing listens there"),
        ({"host": "no-such-host.invalid"}, "the host's name is not known"),
    ],
)
def test_a_database_out_of_reach_is_told_by_its_cause(
    environment: dict[str, str], tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    for name in ("APP_DATABASE_URL", "APP_MIGRATION_DATABASE_URL"):
        environment[name] = elsewhere(environment[name], **changes)
    code, findings = examined(environment, tmp_path)
    assert code == 1
    for login in ("runtime", "owner"):
        finding = findings[f"database default ({login})"]
        assert finding["outcome"] == "fail"
        assert finding["found"].endswith(found)
        assert finding["todo"]
    assert findings["revisions"]["outcome"] == "skip"
    assert findings["redis"]["outcome"] == "ok"


def test_servers_that_never_answer_cost_seconds(
    environment: dict[str, str], black_hole: int, tmp_path: Path
) -> None:
    host = {"host": "127.0.0.1", "port": black_hole}
    for name in ("APP_DATABASE_URL", "APP_MIGRATION_DATABASE_URL"):
        environment[name] = elsewhere(environment[name], **host)
    environment["APP_REDIS_URL"] = f"redis://127.0.0.1:{black_hole}"
    places = {name: {"database_url": environment["APP_DATABASE_URL"]} for name in ("a", "b", "c")}
    began = time.monotonic()
    code, found = examined(environment | {"APP_PLACEMENTS": json.dumps(places)}, tmp_path)
    assert time.monotonic() - began < 20
    assert code == 1
    for place in ("default", "a", "b", "c"):
        assert "no answer in 5 s" in found[f"database {place} (runtime)"]["found"]
    assert found["redis"]["outcome"] == "fail"


@pytest.mark.parametrize("attribute", ["SUPERUSER", "BYPASSRLS", "CREATEROLE"])
async def test_a_login_that_may_too_much_must_not_serve(
    environment: dict[str, str], own_urls: DatabaseURLs, tmp_path: Path, attribute: str
) -> None:
    superuser = await asyncpg.connect(own_urls.superuser)
    await superuser.execute(f"CREATE ROLE mighty LOGIN {attribute} PASSWORD 'mighty-4Jq0x'")
    await superuser.execute(f"GRANT CONNECT ON DATABASE {make_url(own_urls.runtime).database} TO mighty")
    try:
        serving = elsewhere(environment["APP_DATABASE_URL"], username="mighty", password="mighty-4Jq0x")
        code, found = examined(environment | {"APP_DATABASE_URL": serving}, tmp_path)
    finally:
        await superuser.execute("DROP OWNED BY mighty; DROP ROLE mighty")
        await superuser.close()
    assert code == 1
    assert found["rights of the runtime (default)"]["outcome"] == "fail"


def test_the_owner_must_not_serve_nor_the_runtime_own(environment: dict[str, str], tmp_path: Path) -> None:
    swapped = {
        "APP_DATABASE_URL": environment["APP_MIGRATION_DATABASE_URL"],
        "APP_MIGRATION_DATABASE_URL": environment["APP_DATABASE_URL"],
    }
    code, found = examined(environment | swapped, tmp_path)
    assert code == 1
    assert "owns the database" in found["rights of the runtime (default)"]["found"]
    owner = found["rights of the owner (default)"]
    assert owner["found"] == "app_runtime does not own the database and does not create roles"


async def test_revisions_are_compared_with_the_code_by_either_login(
    environment: dict[str, str], own_urls: DatabaseURLs, superuser_url: str, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(own_urls.owner)
    head = await owner.fetchval("SELECT version_num FROM platform.alembic_version")
    del environment["APP_MIGRATION_DATABASE_URL"]
    found = examined(environment, tmp_path)[1]
    assert found["database default (owner)"]["outcome"] == found["platform revision"]["outcome"] == "skip"
    assert found["tenant revisions"]["outcome"] == "ok"
    environment["APP_MIGRATION_DATABASE_URL"] = own_urls.owner
    await owner.execute("UPDATE platform.alembic_version SET version_num = '0000'")
    try:
        code, found = examined(environment, tmp_path)
    finally:
        await owner.execute("UPDATE platform.alembic_version SET version_num = $1", head)
        await owner.close()
    assert (code, found["platform revision"]["todo"]) == (1, "run `app migrate apply`")


async def test_a_database_without_tables_says_what_to_run(
    environment: dict[str, str], superuser_url: str, own_urls: DatabaseURLs, tmp_path: Path
) -> None:
    """As a deployment is before its first `migrate apply`."""
    superuser = await asyncpg.connect(superuser_url)
    logins = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('app_owner', 'app_runtime')"
    kept = {row["rolname"]: row["rolpassword"] for row in await superuser.fetch(logins)}
    fresh = await provisioned(superuser_url)
    try:
        given = {"APP_DATABASE_URL": fresh.runtime, "APP_MIGRATION_DATABASE_URL": fresh.owner}
        code, found = examined(environment | given, tmp_path)
        assert (code, found["platform revision"]["outcome"]) == (1, "fail")
        del environment["APP_MIGRATION_DATABASE_URL"]
        code, found = examined(environment | {"APP_DATABASE_URL": fresh.runtime}, tmp_path)
        assert (code, found["platform revision"]["todo"]) == (1, "run `app migrate apply`")
    finally:
        # The logins are of the whole server, and other tests know their passwords.
        for role, verifier in kept.items():
            await superuser.execute(f"ALTER ROLE {role} PASSWORD '{verifier}'")
        await superuser.close()


def test_a_placement_is_looked_at_as_the_default_is(environment: dict[str, str], tmp_path: Path) -> None:
    second = {
        "second": {
            "database_url": environment["APP_DATABASE_URL"],
            "migration_database_url": elsewhere(environment["APP_MIGRATION_DATABASE_URL"], port=9),
        }
    }
    code, found = examined(environment | {"APP_PLACEMENTS": json.dumps(second)}, tmp_path)
    assert code == 1
    assert found["database second (runtime)"]["outcome"] == "ok"
    assert found["database second (owner)"]["outcome"] == "fail"
    assert found["platform revision"]["outcome"] == "ok"


def test_secrets_do_not_show_in_faults(environment: dict[str, str], tmp_path: Path) -> None:
    secret = quote("Sw0rd/fish?x=1", safe="")
    for name, url, found in (
        ("APP_REDIS_URL", f"redis://default:{secret}@127.0.0.1:9", "no answer"),
        ("APP_REDIS_URL", "redis://default:Sw0rd/fish@127.0.0.1:6379", "its URL cannot be read"),
        ("APP_REDIS_URL", "redis://u:7337#fish@127.0.0.1:6379", "its URL cannot be read"),
        ("APP_DATABASE_URL", "postgresql://app:Sw0rd@fish@127.0.0.1:5432/app", "its URL cannot be read"),
    ):
        finished = run_command("doctor", cwd=tmp_path, **environment | {name: url})
        assert (finished.returncode, finished.stderr) == (1, "")
        assert found in finished.stdout
        assert not [word for word in ("fish", "7337") if word in finished.stdout]


async def test_redis_is_told_by_its_policy_where_the_user_may_ask(
    environment: dict[str, str], redis_url: str, tmp_path: Path
) -> None:
    redis = make_redis(redis_url)
    await redis.acl_setuser("mute", enabled=True, passwords=["+mute-7hQ2x"], commands=["+ping"])
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        drops = examined(environment, tmp_path)[1]["redis"]
        mute = elsewhere(redis_url, username="mute", password="mute-7hQ2x")
        code, found = examined(environment | {"APP_REDIS_URL": mute}, tmp_path)
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.acl_deluser("mute")
        await redis.aclose()
    assert (drops["outcome"], drops["todo"]) == ("warn", "set maxmemory-policy noeviction")
    assert (code, found["redis"]["outcome"]) == (0, "ok")
    assert "may not ask" in found["redis"]["found"]


def test_the_way_to_the_database_is_no_skew() -> None:
    asked = datetime(2026, 1, 1, tzinfo=UTC)
    answered = asked + timedelta(seconds=4)
    assert skew(asked + timedelta(seconds=3), asked, answered) == timedelta(0)
    assert skew(asked + timedelta(seconds=7), asked, answered) == timedelta(seconds=3)
    assert skew(asked - timedelta(seconds=3), asked, answered) == timedelta(seconds=-3)
    outcomes = [clock("default", timedelta(seconds=number)).outcome for number in (-11, -3, 0, 2, 3, 11)]
    assert outcomes == ["fail", "warn", "ok", "ok", "warn", "fail"]


def test_an_environment_is_for_aws(environment: dict[str, str], tmp_path: Path) -> None:
    assert (
        "goes with --aws" in run_command("doctor", "--environment", "dev", cwd=tmp_path, **environment).stderr
    )
