"""A tenant is made whole or not at all, and its credentials are never lost."""

import asyncio
import uuid

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app.core.context import tenant_schema
from app.core.database import owner_engine
from app.core.settings import Settings
from app.tenants.bootstrap import bootstrap_first_tenant, onboarding_from
from app.tenants.errors import InvalidTenant, TenantExists
from app.tenants.onboarding import SLUG_PATTERN, NewTenant, TenantCredentials, slugify
from tests.conftest import DatabaseURLs


def new_tenant(**changes: str) -> NewTenant:
    slug = f"t-{uuid.uuid4().hex[:12]}"
    values = {"name": "Some Tenant", "slug": slug, "admin_email": f"ada@{slug}.test"} | changes
    return NewTenant(**values)


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
    body = {"tenant": first.tenant, "email": first.email, "password": first.password}
    assert (await client.post("/v1/auth/login", json=body)).status_code == 200
    assert (await client.get("/v1/resources", headers={"X-API-Key": first.api_key})).status_code == 200


async def test_a_slug_is_taken_once_even_by_concurrent_creations(settings: Settings) -> None:
    new = new_tenant()
    outcomes = await asyncio.gather(
        *(onboarding_from(settings).create(new) for _ in range(4)), return_exceptions=True
    )
    assert sum(isinstance(outcome, TenantCredentials) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, TenantExists) for outcome in outcomes) == 3


async def test_when_the_credentials_cannot_be_saved_there_is_no_tenant(
    settings: Settings, database_urls: DatabaseURLs
) -> None:
    new = new_tenant()
    seen: list[TenantCredentials] = []

    def fail(credentials: TenantCredentials) -> None:
        seen.append(credentials)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await onboarding_from(settings).create(new, save=fail)
    assert await traces(database_urls, new.slug, tenant_schema(seen[0].tenant_id)) == (0, 0, 0)
    created = await onboarding_from(settings).create(new)
    assert await traces(database_urls, new.slug, tenant_schema(created.tenant_id)) == (1, 1, 1)


async def test_a_cancelled_creation_leaves_nothing(settings: Settings, database_urls: DatabaseURLs) -> None:
    new = new_tenant()
    for delay in (0.0, 0.01, 0.02, 0.03):
        task = asyncio.create_task(onboarding_from(settings).create(new, save=lambda _: None))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    rows, _, _ = await traces(database_urls, new.slug)
    assert rows == 0


async def test_the_reset_password_works_and_the_old_one_no_more(
    settings: Settings, client: httpx.AsyncClient
) -> None:
    onboarding = onboarding_from(settings)
    created = await onboarding.create(new_tenant())
    password = await onboarding.reset_admin_password(created.tenant, created.email)
    assert password is not None
    for attempt, status in ((password, 200), (created.password, 401)):
        body = {"tenant": created.tenant, "email": created.email, "password": attempt}
        assert (await client.post("/v1/auth/login", json=body)).status_code == status
    assert await onboarding.reset_admin_password(created.tenant, "nobody@acme.test") is None
    assert await onboarding.reset_admin_password("no-such-tenant", created.email) is None


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
