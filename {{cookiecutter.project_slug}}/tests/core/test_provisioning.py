"""Provisioning gives the two logins what they need, as a superuser or as a managed service's master user."""

import secrets
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import make_url

from app.core.provisioning import OWNER_ROLE, RUNTIME_ROLE, WITHHELD_FUNCTIONS, provision_database
from tests.conftest import DatabaseURLs

SET_CONFIG = "SELECT set_config('search_path', '', false)"


async def provision(superuser_url: str, database: str, urls: DatabaseURLs) -> list[str]:
    """With the passwords that the logins have, since they belong to the cluster."""
    return list(
        await provision_database(
            superuser_url,
            database=database,
            owner_password=str(make_url(urls.owner).password),
            runtime_password=str(make_url(urls.runtime).password),
        )
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
        assert await provision(database_urls.superuser, fresh_database, database_urls) == []
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
    still_open = await provision(master_url, fresh_database, database_urls)
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
