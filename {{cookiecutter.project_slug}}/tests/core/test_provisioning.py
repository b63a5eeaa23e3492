"""Provisioning gives the two logins what they need, as a superuser or as a managed service's master user."""

import secrets
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from app.core.provisioning import (
    OWNER_ROLE,
    RUNTIME_ROLE,
    WITHHELD_FUNCTIONS,
    LeftOpen,
    UnknownDatabase,
    provision_database,
)
from app.core.settings import Settings
from tests.commands import run_command
from tests.conftest import DatabaseURLs, command_environment

SET_CONFIG = "SELECT set_config('search_path', '', false)"


async def provision(
    superuser_url: str, database: str, urls: DatabaseURLs, close: Sequence[str] = ()
) -> LeftOpen:
    """With the passwords that the logins have, since they belong to the cluster."""
    return await provision_database(
        superuser_url,
        database=database,
        owner_password=str(make_url(urls.owner).password),
        runtime_password=str(make_url(urls.runtime).password),
        close=close,
    )


def elsewhere(url: str, **changes: str) -> str:
    return make_url(url).set(**changes).render_as_string(hide_password=False)


@pytest.fixture
async def master_url(database_urls: DatabaseURLs) -> AsyncIterator[str]:
    """What RDS gives: it may create roles and databases, manages the two logins, and is no superuser."""
    name, password = f"master_{uuid.uuid4().hex[:8]}", secrets.token_urlsafe(12)
    superuser = await asyncpg.connect(database_urls.superuser)
    await superuser.execute(
        f"CREATE ROLE {name} LOGIN CREATEROLE CREATEDB PASSWORD '{password}';"
        f"GRANT {OWNER_ROLE}, {RUNTIME_ROLE} TO {name} WITH ADMIN OPTION"
    )
    yield elsewhere(database_urls.superuser, username=name, password=password, database="postgres")
    await superuser.execute(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")
    await superuser.close()


@pytest.fixture
async def fresh_database(database_urls: DatabaseURLs) -> AsyncIterator[str]:
    """The name of a database that is dropped at the end."""
    name = f"fresh_{uuid.uuid4().hex[:8]}"
    yield name
    superuser = await asyncpg.connect(database_urls.superuser)
    await superuser.execute(f"DROP DATABASE IF EXISTS {name}")
    await superuser.close()


async def test_a_superuser_withholds_every_dangerous_function(
    database_urls: DatabaseURLs, fresh_database: str
) -> None:
    for _ in range(2):
        assert (await provision(database_urls.superuser, fresh_database, database_urls)).functions == []
    runtime = await asyncpg.connect(elsewhere(database_urls.runtime, database=fresh_database))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute(SET_CONFIG)
    await runtime.close()
    # pg_dump calls it first.
    owner = await asyncpg.connect(elsewhere(database_urls.owner, database=fresh_database))
    assert await owner.fetchval(SET_CONFIG) == ""
    await owner.close()


async def test_a_master_user_provisions_and_is_told_what_stays_open(
    database_urls: DatabaseURLs, fresh_database: str, master_url: str
) -> None:
    still_open = (await provision(master_url, fresh_database, database_urls)).functions
    assert len(still_open) == len(WITHHELD_FUNCTIONS)
    assert any(name.startswith("set_config(") for name in still_open)
    runtime = await asyncpg.connect(elsewhere(database_urls.runtime, database=fresh_database))
    assert await runtime.fetchval(SET_CONFIG) == ""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await runtime.execute("CREATE TABLE public.mine (id int)")
    await runtime.close()


async def test_the_runtime_login_has_defaults_of_its_own(database_urls: DatabaseURLs) -> None:
    """They hold behind a pooler too, where a session cannot choose."""
    runtime = await asyncpg.connect(database_urls.runtime)
    assert await runtime.fetchval("SHOW search_path") == "pg_catalog"
    assert await runtime.fetchval("SHOW jit") == "off"
    await runtime.close()


@pytest.fixture
async def shared_database(database_urls: DatabaseURLs) -> AsyncIterator[str]:
    """The name of a database that somebody else has on the same server."""
    name = f"others_{uuid.uuid4().hex[:8]}"
    superuser = await asyncpg.connect(database_urls.superuser)
    await superuser.execute(f"CREATE DATABASE {name}")
    yield name
    await superuser.execute(f"DROP DATABASE {name}")
    await superuser.close()


async def test_other_databases_are_named_and_those_alone_are_closed_that_one_is_told_to(
    database_urls: DatabaseURLs, fresh_database: str, shared_database: str
) -> None:
    """Whoever else uses a server is not to be locked out."""
    login = elsewhere(database_urls.runtime, database=shared_database)
    before = await provision(database_urls.superuser, fresh_database, database_urls)
    assert {"postgres", "template1", shared_database} <= set(before.databases)
    assert not {"template0", fresh_database} & set(before.databases)
    await (await asyncpg.connect(login)).close()
    left = await provision(database_urls.superuser, fresh_database, database_urls, (shared_database,))
    assert set(left.databases) == set(before.databases) - {shared_database}
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
        await asyncpg.connect(login)
    with pytest.raises(UnknownDatabase, match="nowhere"):
        await provision(database_urls.superuser, fresh_database, database_urls, ("nowhere",))


async def test_the_command_says_what_stays_open_and_what_was_set_for_the_shared_login(
    settings: Settings,
    database_urls: DatabaseURLs,
    fresh_database: str,
    shared_database: str,
    tmp_path: Path,
) -> None:
    """A pooled attacker may take the shared login and choose what its sessions begin with."""
    environment = command_environment(settings) | {
        "APP_DATABASE_URL": elsewhere(database_urls.runtime, database=fresh_database),
        "APP_MIGRATION_DATABASE_URL": elsewhere(database_urls.owner, database=fresh_database),
        "APP_SUPERUSER_DATABASE_URL": database_urls.superuser,
    }
    attacker = await asyncpg.connect(elsewhere(database_urls.runtime, database=shared_database))
    for where in ("", f"IN DATABASE {shared_database}"):
        await attacker.execute(f"ALTER ROLE CURRENT_USER {where} SET escape_string_warning = off")
    await attacker.close()
    finished = run_command("migrate", "provision", cwd=tmp_path, **environment)
    assert finished.returncode == 0, finished.stderr
    undo = finished.stderr.rpartition("as a superuser: ")[2].strip()
    superuser = await asyncpg.connect(database_urls.superuser)
    await superuser.execute(undo)
    await superuser.close()
    assert undo.count("RESET escape_string_warning") == 2
    assert f"--close {shared_database}" in finished.stderr
    closing = ("migrate", "provision", "--close", shared_database)
    finished = run_command(*closing, cwd=tmp_path, **environment)
    assert shared_database not in finished.stderr
    assert "begin with settings" not in finished.stderr
    wrong = run_command("migrate", "provision", "--close", "nowhere", cwd=tmp_path, **environment)
    assert wrong.returncode == 1
    assert wrong.stderr == "error: The server has no such database: 'nowhere'; nothing was changed.\n"
