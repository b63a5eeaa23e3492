"""What each isolation tier withstands, and what it does not; docs/tenancy.md says the same."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest
from fastapi import FastAPI
from sqlalchemy import make_url, text

from app.core.context import tenant_schema
from app.core.database import Database, owner_engine
from app.core.ids import new_id
from app.core.provisioning import COMMON_DATABASES, provision_database
from app.core.settings import Settings
from app.tenants.isolation import tenant_login_url
from app.tenants.schema import create_schema, drop_schema, give_login
from tests.conftest import DatabaseURLs, cheapen_logins, tenant_maker
from tests.tenants.attacks import ATTACKS, SHARED_ID, Arena, Attack, SuperuserArena

DOCS = Path(__file__).resolve().parents[2] / "docs" / "tenancy.md"
TIERS = ("pooled", "dedicated", "own_database")
ROW = re.compile(
    r"^\| (?P<power>a value|an expression|statements) \| (?P<name>.+?) \| (?P<pooled>.+?)"
    r" \| (?P<dedicated>.+?) \| (?P<own_database>.+?) \|$",
    re.MULTILINE,
)
VERDICTS = {True: "withstood", False: "**not withstood**"}


@dataclass(frozen=True, slots=True)
class Battlefield:
    """Where each tier's attacker lives, and the pooled victim of all of them."""

    victim: str
    attackers: Mapping[str, tuple[str, str]]
    superuser_url: str
    runtime_url: str

    @asynccontextmanager
    async def arena(self, tier: str) -> AsyncIterator[Arena]:
        """Fresh pools for each attack, because some leave them unusable."""
        schema, url = self.attackers[tier]
        database, victims_pool = Database(url, pool_size=1), Database(self.runtime_url, pool_size=1)
        try:
            yield Arena(schema, self.victim, database, victims_pool, shares_pool=tier == "pooled")
        finally:
            await database.close()
            await victims_pool.close()


@pytest.fixture(scope="module")
async def battlefield(
    app: FastAPI, settings: Settings, database_urls: DatabaseURLs
) -> AsyncIterator[Battlefield]:
    async with AsyncExitStack() as stack:
        make_tenant = await stack.enter_async_context(tenant_maker(app))
        victim, pooled, dedicated = [(await make_tenant()).schema for _ in range(3)]
        own_schema, own_url = await stack.enter_async_context(own_database(settings, database_urls))
        owner = owner_engine(database_urls.owner)
        secret_key = settings.secret_key.get_secret_value()
        async with owner.begin() as connection:
            await give_login(connection, dedicated, secret_key)
            for schema in (victim, pooled, dedicated):
                await connection.execute(
                    text(f"INSERT INTO {schema}.resources (id, name) VALUES ('{SHARED_ID}', '{schema}')")
                )
                # `pg_stats` holds nothing of a single row.
                await connection.execute(
                    text(
                        f"INSERT INTO {schema}.resources (id, name)"
                        f" SELECT gen_random_uuid(), '{schema}' FROM generate_series(1, 20)"
                    )
                )
                await connection.execute(text(f"ANALYZE {schema}.resources"))
        await owner.dispose()
        yield Battlefield(
            victim,
            {
                "pooled": (pooled, database_urls.runtime),
                "dedicated": (dedicated, tenant_login_url(database_urls.runtime, dedicated, secret_key)),
                "own_database": (own_schema, own_url),
            },
            database_urls.superuser,
            database_urls.runtime,
        )


@asynccontextmanager
async def own_database(settings: Settings, database_urls: DatabaseURLs) -> AsyncIterator[tuple[str, str]]:
    """A tenant alone in a database of the same cluster, with a login of its own."""
    owner, runtime = make_url(database_urls.owner), make_url(database_urls.runtime)
    name, schema = f"{owner.database}_own", tenant_schema(new_id())
    await provision_database(
        database_urls.superuser,
        database=name,
        owner_password=str(owner.password),
        runtime_password=str(runtime.password),
    )
    secret_key = settings.secret_key.get_secret_value()
    engine = owner_engine(owner.set(database=name).render_as_string(hide_password=False))
    async with engine.begin() as connection:
        await create_schema(connection, schema)
        await give_login(connection, schema, secret_key)
        await connection.execute(
            text(f"INSERT INTO {schema}.resources (id, name) VALUES ('{SHARED_ID}', '{schema}')")
        )
    url = runtime.set(database=name).render_as_string(hide_password=False)
    yield schema, tenant_login_url(url, schema, secret_key)
    async with engine.begin() as connection:
        await drop_schema(connection, schema)
    await engine.dispose()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_the_tier_withstands_what_the_docs_say(
    battlefield: Battlefield, attack: Attack, tier: str
) -> None:
    async with battlefield.arena(tier) as arena:
        assert await attack.succeeds(arena) is not getattr(attack, tier)


@pytest.mark.parametrize(
    "attack",
    [
        attack
        for attack in ATTACKS
        if attack.works_for_superuser and all(getattr(attack, tier) for tier in TIERS)
    ],
    ids=lambda attack: attack.name,
)
async def test_an_attack_that_fails_everywhere_is_not_just_broken(
    battlefield: Battlefield, attack: Attack
) -> None:
    async with battlefield.arena("pooled") as arena:
        superuser = SuperuserArena(
            arena.attacker,
            arena.victim,
            arena.database,
            arena.victims_pool,
            superuser_url=battlefield.superuser_url,
        )
        assert await attack.succeeds(superuser)


async def test_a_function_that_is_not_withheld_lets_one_expression_through(battlefield: Battlefield) -> None:
    """So on a server without a superuser the pooled tier does not withstand these; the docs say it."""
    grant = "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC"
    attacks = [attack for attack in ATTACKS if "`set_config`" in attack.name]
    assert len(attacks) == 2
    superuser = await asyncpg.connect(battlefield.superuser_url)
    try:
        await superuser.execute(grant)
        for attack in attacks:
            async with battlefield.arena("pooled") as arena:
                assert await attack.succeeds(arena)
            for tier in ("dedicated", "own_database"):
                async with battlefield.arena(tier) as arena:
                    assert not await attack.succeeds(arena)
    finally:
        await superuser.execute(grant.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
        await superuser.close()


async def test_a_dedicated_victim_is_out_of_reach_of_the_shared_login(battlefield: Battlefield) -> None:
    take_role = next(attack for attack in ATTACKS if attack.name == "`SET ROLE` to another tenant")
    async with battlefield.arena("pooled") as arena:
        assert await take_role.succeeds(arena)
        assert not await take_role.succeeds(replace(arena, victim=battlefield.attackers["dedicated"][0]))


async def test_a_dedicated_login_reaches_no_other_database(battlefield: Battlefield) -> None:
    """Nor does anyone else reach a tenant's own database."""
    shared, (_, own_url) = make_url(battlefield.runtime_url).database, battlefield.attackers["own_database"]
    elsewhere = make_url(own_url).set(database=shared).render_as_string(hide_password=False)
    dedicated_url = battlefield.attackers["dedicated"][1]
    into_own = make_url(dedicated_url).set(database=make_url(own_url).database)
    for url in (elsewhere, into_own.render_as_string(hide_password=False)):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
            await asyncpg.connect(url)


async def test_databases_that_are_closed_to_the_public_withstand_every_login(
    battlefield: Battlefield, database_urls: DatabaseURLs
) -> None:
    """What `migrate provision --close` does; the embedded servers are made with it."""
    owner, runtime = make_url(database_urls.owner), make_url(database_urls.runtime)
    attack = next(attack for attack in ATTACKS if "in other databases" in attack.name)
    await provision_database(
        database_urls.superuser,
        database=str(owner.database),
        owner_password=str(owner.password),
        runtime_password=str(runtime.password),
        close=COMMON_DATABASES,
    )
    try:
        for tier in TIERS:
            async with battlefield.arena(tier) as arena:
                assert not await attack.succeeds(arena)
    finally:
        superuser = await asyncpg.connect(database_urls.superuser)
        await superuser.execute("GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC")
        await superuser.execute("GRANT CONNECT ON DATABASE template1 TO PUBLIC")
        await superuser.close()
        await cheapen_logins(database_urls)


def test_the_docs_show_this_very_matrix() -> None:
    documented = [match.groups() for match in ROW.finditer(DOCS.read_text())]
    assert documented == [
        (attack.power, attack.name, *(VERDICTS[getattr(attack, tier)] for tier in TIERS))
        for attack in ATTACKS
    ]
