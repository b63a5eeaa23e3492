"""`operators` on the command line: passwords once and never as arguments, and the proof of the trail."""

import os
import re
import secrets
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.core.database import owner_engine
from app.core.settings import Settings
from tests.conftest import DatabaseURLs

ROOT = Path(__file__).resolve().parents[2]
LOGIN = "/v1/operators/login"


@pytest.fixture
def environment(settings: Settings, database_urls: DatabaseURLs) -> dict[str, str]:
    return {
        "APP_ENVIRONMENT": "test",
        "APP_DATABASE_URL": database_urls.runtime,
        "APP_MIGRATION_DATABASE_URL": database_urls.owner,
        "APP_REDIS_URL": settings.redis_url.get_secret_value(),
        "APP_SECRET_KEY": settings.secret_key.get_secret_value(),
        "APP_JWT_KEYS_DIR": str(settings.jwt_keys_dir),
        "APP_BCRYPT_ROUNDS": "4",
    }


def run(
    environment: dict[str, str], cwd: Path, *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    return subprocess.run(
        [sys.executable, "-m", "app", "operators", *arguments],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200", **environment},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def email() -> str:
    return f"cli-{uuid.uuid4().hex[:10]}@platform.test"


async def test_the_life_of_an_operator(
    environment: dict[str, str], client: httpx.AsyncClient, tmp_path: Path, email: str
) -> None:
    made = run(environment, tmp_path, "create", "--email", email.upper())
    assert made.returncode == 0, made.stderr
    body = {"email": email, "password": made.stdout.strip()}
    assert body["password"] not in made.stderr
    assert (await client.post(LOGIN, json=body)).status_code == 200

    again = run(environment, tmp_path, "create", "--email", email)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("error: An operator with this email exists")
    assert "reset-password" in again.stderr
    assert (await client.post(LOGIN, json=body)).status_code == 200

    listed = run(environment, tmp_path, "list")
    assert re.search(rf"{email}.*active", listed.stdout)
    assert "bcrypt" not in listed.stdout

    assert run(environment, tmp_path, "disable", "--email", email).returncode == 0
    assert (await client.post(LOGIN, json=body)).status_code == 401
    reset = run(environment, tmp_path, "reset-password", "--email", email)
    body["password"] = reset.stdout.strip()
    assert (await client.post(LOGIN, json=body)).status_code == 401, "a new password does not enable"
    assert run(environment, tmp_path, "enable", "--email", email).returncode == 0
    assert (await client.post(LOGIN, json=body)).status_code == 200


async def test_a_password_of_ones_own_comes_from_standard_input(
    environment: dict[str, str], client: httpx.AsyncClient, tmp_path: Path, email: str
) -> None:
    password = secrets.token_urlsafe(20)
    arguments = ("create", "--email", email, "--own-password")
    made = run(environment, tmp_path, *arguments, stdin=password + "\n")
    assert (made.returncode, made.stdout) == (0, ""), made.stderr
    assert password not in made.stderr
    assert (await client.post(LOGIN, json={"email": email, "password": password})).status_code == 200


@pytest.mark.parametrize(
    ("password", "reason"),
    [("", "12 to 128"), ("short", "12 to 128"), ("aaaaaaaaaaaaaaaa", "repeat")],
)
def test_a_weak_password_is_refused(
    environment: dict[str, str], tmp_path: Path, email: str, password: str, reason: str
) -> None:
    arguments = ("create", "--email", email, "--own-password")
    finished = run(environment, tmp_path, *arguments, stdin=password + "\n")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert reason in finished.stderr
    assert email not in run(environment, tmp_path, "list").stdout


def test_a_password_is_never_an_argument(environment: dict[str, str], tmp_path: Path, email: str) -> None:
    for arguments in (("--password", "x" * 20), ("--own-password", "x" * 20)):
        finished = run(environment, tmp_path, "create", "--email", email, *arguments)
        assert finished.returncode == 2


@pytest.mark.parametrize("wrong", ["", "nobody", "a@b", "two@x.test,three@x.test", "x" * 300 + "@x.test"])
def test_an_email_that_is_none_is_refused(environment: dict[str, str], tmp_path: Path, wrong: str) -> None:
    finished = run(environment, tmp_path, "create", "--email", wrong)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "email" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_an_operator_who_is_none_is_named(environment: dict[str, str], tmp_path: Path, email: str) -> None:
    for command in ("disable", "enable", "reset-password"):
        finished = run(environment, tmp_path, command, "--email", email)
        assert (finished.returncode, finished.stdout) == (1, "")
        assert f"{email} is none" in finished.stderr


def test_operators_are_made_by_the_owner_login_only(
    environment: dict[str, str], tmp_path: Path, email: str
) -> None:
    missing = {**environment}
    del missing["APP_MIGRATION_DATABASE_URL"]
    finished = run(missing, tmp_path, "create", "--email", email)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "APP_MIGRATION_DATABASE_URL is not set" in finished.stderr
    as_runtime = {**environment, "APP_MIGRATION_DATABASE_URL": environment["APP_DATABASE_URL"]}
    finished = run(as_runtime, tmp_path, "create", "--email", email)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "Traceback" not in finished.stderr


async def test_the_command_line_is_in_the_trail(
    environment: dict[str, str], tmp_path: Path, email: str, database_urls: DatabaseURLs
) -> None:
    made = run(environment, tmp_path, "create", "--email", email)
    for command in ("reset-password", "disable", "enable"):
        assert run(environment, tmp_path, command, "--email", email).returncode == 0
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(
                "SELECT a.actor_kind, a.action, a.details::text FROM platform.operator_actions a"
                " JOIN platform.operators o ON a.target = o.id::text WHERE o.email = :email"
                " ORDER BY a.sequence"
            ),
            {"email": email},
        )
        written = [tuple(row) for row in rows]
    await engine.dispose()
    assert [(kind, action) for kind, action, _ in written] == [
        ("system", "operators:create"),
        ("system", "operators:reset_password"),
        ("system", "operators:disable"),
        ("system", "operators:enable"),
    ]
    assert made.stdout.strip() not in str(written)


async def test_tampering_with_the_trail_is_detected(
    environment: dict[str, str], tmp_path: Path, email: str, database_urls: DatabaseURLs
) -> None:
    assert run(environment, tmp_path, "create", "--email", email).returncode == 0
    sound = run(environment, tmp_path, "verify-trail")
    assert sound.returncode == 0, sound.stderr
    anchor = sound.stdout.strip()
    sequence, digest = anchor.split(":")
    engine = owner_engine(database_urls.owner)

    async def change(statement: str, **values: str) -> None:
        async with engine.begin() as connection:
            await connection.execute(text(statement), {"at": int(sequence), **values})

    await change("UPDATE platform.operator_actions SET action = 'operators:list' WHERE sequence = :at")
    broken = run(environment, tmp_path, "verify-trail")
    assert (broken.returncode, broken.stdout) == (1, "")
    assert f"broken at {sequence}: the row was changed" in broken.stderr
    await change("UPDATE platform.operator_actions SET action = 'operators:create' WHERE sequence = :at")
    assert run(environment, tmp_path, "verify-trail", "--anchor", anchor).returncode == 0

    # A cut-off end shows only against what was noted elsewhere.
    later = f"{int(sequence) + 1}:{digest}"
    assert run(environment, tmp_path, "verify-trail").returncode == 0
    cut = run(environment, tmp_path, "verify-trail", "--anchor", later)
    assert (cut.returncode, cut.stdout) == (1, "")
    assert "the end is cut off" in cut.stderr
    remade = run(environment, tmp_path, "verify-trail", "--anchor", f"{sequence}:{'00' * 32}")
    assert remade.returncode == 1
    assert "not the row that was noted" in remade.stderr
    await engine.dispose()


@pytest.mark.parametrize("anchor", ["", "5", "x:y", "0:" + "00" * 32, "5:abcd"])
def test_an_anchor_that_is_none_is_refused(environment: dict[str, str], tmp_path: Path, anchor: str) -> None:
    assert run(environment, tmp_path, "verify-trail", "--anchor", anchor).returncode == 2
