"""`operators` on the command line: passwords once and never as arguments, and the proof of the trail."""

import os
import re
import secrets
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.core.database import Database
from app.core.settings import Settings
from tests.commands import ROOT, of_the_project
from tests.conftest import command_environment

LOGIN = "/v1/operators/login"


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    readable = {"NO_COLOR": "1", "COLUMNS": "200"}
    return {**command_environment(settings), "PYTHONPATH": str(ROOT), **readable}


def run(
    environment: dict[str, str], cwd: Path, *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return of_the_project().run(
        "-m", "app", "operators", *arguments, cwd=cwd, environment=environment, stdin=stdin
    )


@pytest.fixture
def email() -> str:
    return f"cli-{uuid.uuid4().hex[:10]}@platform.test"


async def test_the_life_of_an_operator(
    environment: dict[str, str], client: httpx.AsyncClient, tmp_path: Path, email: str, database: Database
) -> None:
    made = run(environment, tmp_path, "create", "--email", email.upper())
    assert made.returncode == 0, made.stderr
    body = {"email": email, "password": made.stdout.strip()}
    passwords = [body["password"]]
    assert passwords[0] not in made.stderr
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
    passwords.append(body["password"])
    assert (await client.post(LOGIN, json=body)).status_code == 401, "a new password does not enable"
    assert run(environment, tmp_path, "enable", "--email", email).returncode == 0
    assert (await client.post(LOGIN, json=body)).status_code == 200
    await assert_in_the_trail(database, email, passwords)


async def assert_in_the_trail(database: Database, email: str, passwords: list[str]) -> None:
    """What the command line did, as the system, without any password."""
    async with database.platform() as session:
        rows = await session.execute(
            text(
                "SELECT a.action, a.details::text FROM operator_actions a"
                " JOIN operators o ON a.target = o.id::text"
                " WHERE o.email = :email AND a.actor_kind = 'system' ORDER BY a.sequence"
            ),
            {"email": email},
        )
        written = [tuple(row) for row in rows]
    assert [action.removeprefix("operators:") for action, _ in written] == [
        "create", "disable", "refuse_login", "reset_password", "refuse_login", "enable",
    ]  # fmt: skip
    assert not any(password in str(written) for password in passwords)


async def test_a_password_of_ones_own_comes_from_standard_input(
    environment: dict[str, str], client: httpx.AsyncClient, tmp_path: Path, email: str
) -> None:
    password = secrets.token_urlsafe(20)
    arguments = ("create", "--email", email, "--own-password")
    made = run(environment, tmp_path, *arguments, stdin=password + "\n")
    assert (made.returncode, made.stdout) == (0, ""), made.stderr
    assert password not in made.stderr
    assert (await client.post(LOGIN, json={"email": email, "password": password})).status_code == 200


def test_a_password_of_ones_own_is_asked_for_at_a_terminal_and_not_shown(
    environment: dict[str, str], tmp_path: Path, email: str
) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    arguments = ("create", "--email", email, "--own-password")
    with subprocess.Popen(
        [sys.executable, "-m", "app", "operators", *arguments],
        cwd=tmp_path,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        shown = b""
        for prompt in (b"Password: ", b"Repeat for confirmation: "):
            while not shown.endswith(prompt):
                shown += os.read(ours, 1024)
            os.write(ours, b"a password of my own\n")
        with suppress(OSError):  # What Linux answers when the other side has gone.
            while more := os.read(ours, 1024):
                shown += more
        assert process.wait(timeout=60) == 0, shown
    os.close(ours)
    assert b"of my own" not in shown


def test_what_is_refused_is_one_line_and_leaves_nothing(
    environment: dict[str, str], tmp_path: Path, email: str
) -> None:
    for arguments, reason in (
        (("create", "--email", email, "--own-password"), "12 to 128 characters"),
        (("create", "--email", "nobody"), "email: "),
        (("disable", "--email", email), f"{email} is none"),
    ):
        finished = run(environment, tmp_path, *arguments, stdin="short\n")
        assert (finished.returncode, finished.stdout) == (1, "")
        assert reason in finished.stderr
        assert "Traceback" not in finished.stderr
    assert email not in run(environment, tmp_path, "list").stdout


def test_a_password_is_never_an_argument(environment: dict[str, str], tmp_path: Path, email: str) -> None:
    finished = run(environment, tmp_path, "create", "--email", email, "--own-password", "x" * 20)
    assert finished.returncode == 2


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
