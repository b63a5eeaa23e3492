"""A tenant is finished or undone wherever its making was cut short, and its credentials are never lost."""

import asyncio
import json
import secrets
import shutil
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.core import migrations
from app.core.context import tenant_schema
from app.core.database import owner_engine
from app.core.settings import Settings
from app.tenants.bootstrap import bootstrap_first_tenant, lifecycle_from, onboarding_from
from app.tenants.creation import SLUG_PATTERN, NewTenant, Save, TenantCredentials
from app.tenants.errors import (
    InvalidTenant,
    NothingToResume,
    OperationInProgress,
    SchemaChangeFailed,
    TenantExists,
    TenantNotFound,
)
from app.tenants.onboarding import slugify
from tests.commands import run_command, run_killed
from tests.conftest import DatabaseURLs, TestOperator, command_environment
from tests.tenants.conftest import trail_of

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("schema", "roles", "limits", "admin", "activate")
KILLED = """
import asyncio, os, signal, sys
from app.core.settings import load_settings
from app.tenants import creation
from app.tenants.bootstrap import onboarding_from

deadly_step, moment, slug, how = sys.argv[1:]
options = {
    "made up": {},
    "chosen": {"password": "a long enough secret"},
    "saved": {"save": lambda credentials: print(credentials.password)},
}[how]
Step = creation.Step

def deadly(name, run):
    async def killed(connection):
        if moment == "after":
            await run(connection)
        os.kill(os.getpid(), signal.SIGKILL)
    return Step(name, killed if name == deadly_step else run)

async def main():
    creation.Step = deadly
    new = creation.NewTenant("Killed", slug, f"ada@{slug}.test", requests_per_minute=7)
    async with onboarding_from(load_settings()) as onboarding:
        await onboarding.create(new, **options)

asyncio.run(main())
"""


def new_tenant(**changes: str) -> NewTenant:
    slug = f"t-{uuid.uuid4().hex[:12]}"
    values = {"name": "Some Tenant", "slug": slug, "admin_email": f"ada@{slug}.test"} | changes
    return NewTenant(**values)


async def create(settings: Settings, new: NewTenant, *, save: Save | None = None) -> TenantCredentials:
    async with onboarding_from(settings) as onboarding:
        return await onboarding.create(new, save=save)


async def registry_row(settings: Settings, slug: str) -> Any:
    engine = owner_engine(settings.owner_urls["default"])
    try:
        async with engine.connect() as connection:
            query = text("SELECT * FROM platform.tenants WHERE slug = :slug")
            return (await connection.execute(query, {"slug": slug})).one_or_none()
    finally:
        await engine.dispose()


async def killed_at(
    settings: Settings, step: str, moment: str, how: str = "made up"
) -> tuple[NewTenant, uuid.UUID]:
    """A tenant whose creation was ended by SIGKILL before or after a step, in a process of its own.

    `how` is where the admin's password comes from and goes to.
    """
    slug = f"t-{uuid.uuid4().hex[:12]}"
    new = NewTenant("Killed", slug, f"ada@{slug}.test", requests_per_minute=7)
    await run_killed(KILLED, step, moment, slug, how, environment=command_environment(settings))
    row = await registry_row(settings, slug)
    assert row.state == "provisioning"
    return new, row.id


async def traces(urls: DatabaseURLs, slug: str, schema: str | None = None) -> tuple[int, int, int]:
    """How many rows, schemas and roles there are of a tenant."""
    engine = owner_engine(urls.owner)
    async with engine.connect() as connection:
        found = []
        for query in (
            "SELECT count(*) FROM platform.tenants WHERE slug = :slug",
            "SELECT count(*) FROM pg_namespace WHERE nspname = :schema",
            "SELECT count(*) FROM pg_roles WHERE rolname = :schema",
        ):
            parameters = {"slug": slug} if ":slug" in query else {"schema": schema}
            found.append(int(await connection.scalar(text(query), parameters) or 0))
    await engine.dispose()
    return (found[0], found[1], found[2])


async def test_the_first_tenant_is_made_once(settings: Settings, client: httpx.AsyncClient) -> None:
    saved: list[TenantCredentials] = []
    first = await bootstrap_first_tenant(settings, save=saved.append)
    assert first is not None
    assert saved == [first]
    assert (first.tenant, first.email) == ("acme-corp", "ada@acme.test")
    assert await bootstrap_first_tenant(settings, save=saved.append) is None
    assert saved == [first]
    assert await trail_of(settings, first.tenant_id) == ["tenants:bootstrap"]
    body = {"tenant": first.tenant, "email": first.email, "password": first.password}
    assert (await client.post("/v1/auth/login", json=body)).status_code == 200
    assert (await client.get("/v1/resources", headers={"X-API-Key": first.api_key})).status_code == 200


async def test_the_first_admin_may_have_a_password_that_was_given(
    settings: Settings, client: httpx.AsyncClient
) -> None:
    """Where what a command prints is a log, it prints none."""
    password = secrets.token_urlsafe(18)
    first = command_environment(settings) | {
        "APP_FIRST_TENANT_NAME": "Given Corp",
        "APP_FIRST_TENANT_ADMIN_EMAIL": "grace@given.test",
        "APP_FIRST_TENANT_ADMIN_PASSWORD": password,
    }
    for said in ("logs in with the password given", "exists already"):
        code, output, errors = await bootstrap(first)
        assert (code, output) == (0, ""), errors
        assert said in " ".join(errors.split())
        assert password not in errors
    body = {"tenant": "given-corp", "email": "grace@given.test", "password": password}
    assert (await client.post("/v1/auth/login", json=body)).status_code == 200
    weak = {"APP_FIRST_TENANT_NAME": "Weak Corp", "APP_FIRST_TENANT_ADMIN_PASSWORD": "abcdefgh"}
    code, _, errors = await bootstrap(first | weak)
    assert code == 1
    assert "APP_FIRST_TENANT_ADMIN_PASSWORD must have" in errors
    assert "abcdefgh" not in errors


async def bootstrap(environment: dict[str, str]) -> tuple[int, str, str]:
    done = await asyncio.to_thread(run_command, "tenants", "bootstrap", **environment)
    return done.returncode, done.stdout, done.stderr


async def test_the_registry_says_what_a_script_behind_head_has_made(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = Path(shutil.copytree(migrations.MIGRATIONS, tmp_path / "migrations"))
    head = migrations.head_revision("tenant")
    (later / "tenant/versions/later.py").write_text(
        f'revision = "later"\ndown_revision = "{head}"\ndef upgrade(): ...\ndef downgrade(): ...\n'
    )
    monkeypatch.setattr(migrations, "MIGRATIONS", later)
    assert migrations.head_revision("tenant") == "later"
    new = new_tenant()
    await create(settings, new)
    assert (await registry_row(settings, new.slug)).revision == head


async def test_a_slug_is_taken_once_even_by_concurrent_creations(settings: Settings) -> None:
    new = new_tenant()
    outcomes = await asyncio.gather(*(create(settings, new) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, TenantCredentials) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, TenantExists) for outcome in outcomes) == 3


async def test_when_the_credentials_cannot_be_saved_nobody_can_log_in_until_it_is_resumed(
    settings: Settings, client: httpx.AsyncClient
) -> None:
    new, saved = new_tenant(), list[TenantCredentials]()

    def fail(credentials: TenantCredentials) -> None:
        saved.append(credentials)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await create(settings, new, save=fail)
    (lost,) = saved
    body = {"tenant": new.slug, "email": new.admin_email, "password": lost.password}
    assert (await client.post("/v1/auth/login", json=body)).status_code == 401
    async with onboarding_from(settings) as onboarding:
        credentials = await onboarding.resume(lost.tenant_id, save=saved.append)
    assert saved == [lost, credentials]
    assert credentials is not None
    assert (await client.post("/v1/auth/login", json=body)).status_code == 401
    body["password"] = credentials.password
    assert (await client.post("/v1/auth/login", json=body)).status_code == 200


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_it_is_active_after_resume(
    settings: Settings, client: httpx.AsyncClient, step: str
) -> None:
    new, tenant_id = await killed_at(settings, step, "after")
    async with onboarding_from(settings) as onboarding:
        credentials = await onboarding.resume(tenant_id)
        with pytest.raises(NothingToResume):
            await onboarding.resume(tenant_id)
    assert credentials is not None, "nobody has seen any"
    answer = await client.get("/v1/resources", headers={"X-API-Key": credentials.api_key})
    assert answer.status_code == 200
    body = {"tenant": new.slug, "email": new.admin_email, "password": credentials.password}
    answer = await client.post("/v1/auth/login", json=body)
    assert answer.status_code == 200
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    answer = await client.get("/v1/users", headers=bearer)
    assert len(answer.json()["items"]) == 1
    assert '"tenant";q=7;w=60' in answer.headers["RateLimit-Policy"]


@pytest.mark.parametrize("step", ["admin", "activate"])
async def test_who_chose_a_password_keeps_it_once_the_admin_was_made(
    settings: Settings, client: httpx.AsyncClient, operator: TestOperator, step: str
) -> None:
    """A sign-up that was cut short is resumed by an operator, who must not learn the password."""
    new, tenant_id = await killed_at(settings, step, "before", "chosen")
    answer = await operator.client.post(f"/v1/tenants/{tenant_id}/onboarding/resume")
    credentials = answer.json()
    assert answer.status_code == 200, answer.text
    assert (await client.get("/v1/resources", headers={"X-API-Key": credentials["api_key"]})).is_success
    # Before the admin's step nothing of it is stored, so one is made up.
    assert (credentials["password"] is None) == (step == "activate")
    body = {"tenant": new.slug, "email": new.admin_email}
    password = credentials["password"] or "a long enough secret"
    assert (await client.post("/v1/auth/login", json={**body, "password": password})).status_code == 200


async def test_credentials_that_were_saved_are_kept(
    settings: Settings, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    new, tenant_id = await killed_at(settings, "activate", "before", "saved")
    before = await hashes_of(settings, tenant_id)
    resumed = await asyncio.to_thread(
        run_command, "tenants", "resume-onboarding", new.slug, cwd=tmp_path, **command_environment(settings)
    )
    assert (resumed.returncode, resumed.stdout) == (0, "")
    assert "were saved by the command that began it" in resumed.stderr
    assert (await registry_row(settings, new.slug)).state == "active"
    assert await hashes_of(settings, tenant_id) == before


async def test_the_command_hands_out_what_nobody_has_seen(
    settings: Settings, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    new, tenant_id = await killed_at(settings, "activate", "before")
    arguments = ("tenants", "resume-onboarding", new.slug, "--json")
    resumed = await asyncio.to_thread(run_command, *arguments, cwd=tmp_path, **command_environment(settings))
    assert resumed.returncode == 0, resumed.stderr
    credentials = json.loads(resumed.stdout)
    body = {name: credentials[name] for name in ("tenant", "email", "password")}
    assert (await client.post("/v1/auth/login", json=body)).status_code == 200
    assert len(await hashes_of(settings, tenant_id)) == 2, "one user, one key"


async def hashes_of(settings: Settings, tenant_id: uuid.UUID) -> list[str]:
    """The passwords and API keys of a tenant, as they are stored."""
    schema = tenant_schema(tenant_id)
    engine = owner_engine(settings.owner_urls["default"])
    async with engine.connect() as connection:
        query = (
            f"SELECT password_hash FROM {schema}.users UNION ALL SELECT secret_hash FROM {schema}.api_keys"
        )
        found = list((await connection.scalars(text(query))).all())
    await engine.dispose()
    return found


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_nothing_is_left_after_cancel(
    settings: Settings, database_urls: DatabaseURLs, step: str
) -> None:
    new, tenant_id = await killed_at(settings, step, "before")
    async with onboarding_from(settings) as onboarding:
        await onboarding.cancel(tenant_id)
        with pytest.raises(TenantNotFound):
            await onboarding.cancel(tenant_id)
    assert await traces(database_urls, new.slug, tenant_schema(tenant_id)) == (0, 0, 0)
    async with lifecycle_from(settings) as (_, purge):
        assert (await purge.remains(tenant_id, "default")).none
    await create(settings, new)


async def test_two_cannot_work_on_the_same_tenant(settings: Settings) -> None:
    _, tenant_id = await killed_at(settings, "roles", "before")
    async with onboarding_from(settings) as onboarding:
        outcomes = await asyncio.gather(
            *(onboarding.resume(tenant_id) for _ in range(4)), return_exceptions=True
        )
    assert sum(isinstance(outcome, TenantCredentials) for outcome in outcomes) == 1
    refused = [outcome for outcome in outcomes if not isinstance(outcome, TenantCredentials)]
    assert all(isinstance(outcome, OperationInProgress | NothingToResume) for outcome in refused), refused


async def test_a_step_that_fails_is_recorded_with_its_reason_and_attempts(
    settings: Settings, database_urls: DatabaseURLs, tmp_path: Path
) -> None:
    """The database refuses the step, as it might after a mistaken change of rights; later it does not."""
    new = new_tenant()
    engine = owner_engine(database_urls.superuser)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER ROLE app_owner NOCREATEROLE"))
    try:
        with pytest.raises(SchemaChangeFailed, match="permission denied"):
            await create(settings, new)
        tenant_id = (await registry_row(settings, new.slug)).id
        async with onboarding_from(settings) as onboarding:
            with pytest.raises(SchemaChangeFailed, match="permission denied"):
                await onboarding.resume(tenant_id)
        show = ("tenants", "show", new.slug)
        shown = await asyncio.to_thread(run_command, *show, cwd=tmp_path, **command_environment(settings))
        async with engine.begin() as connection:
            query = text("SELECT * FROM platform.tenant_operations WHERE tenant_id = :id")
            operation = (await connection.execute(query, {"id": tenant_id})).one()
    finally:
        async with engine.begin() as connection:
            await connection.execute(text("ALTER ROLE app_owner CREATEROLE"))
        await engine.dispose()
    assert (operation.state, operation.step, operation.attempts) == ("failed", "schema", 2)
    assert operation.error.startswith("schema: ")
    assert "permission denied" in operation.error
    assert f"operation_error    {operation.error}" in shown.stdout.splitlines()
    async with onboarding_from(settings) as onboarding:
        assert await onboarding.resume(tenant_id) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"slug": "A"},
        {"slug": "a"},
        {"slug": "-ab"},
        {"slug": "ab-"},
        {"slug": "a" * 41},
        {"slug": "a'; DROP"},
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 201},
        {"name": "line\nbreak"},
        {"admin_email": "nobody"},
        {"admin_email": "a@b@c.test"},
        {"admin_email": "a\x00@b.test"},
    ],
)
def test_a_bad_tenant_is_refused_before_anything_happens(change: dict[str, str]) -> None:
    with pytest.raises(InvalidTenant):
        new_tenant(**change)


@given(st.text(max_size=80))
def test_every_name_has_a_slug(name: str) -> None:
    assert SLUG_PATTERN.fullmatch(slugify(name))


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Acme Corp", "acme-corp"), ("Café Zürich", "cafe-zurich"), ("42 Works", "works"), ("東京", "first")],
)
def test_slugs_read_like_their_names(name: str, slug: str) -> None:
    assert slugify(name) == slug
