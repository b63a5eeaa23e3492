"""Tenants over HTTP: operators run their whole life, and strangers may sign up only where that is enabled."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.core.database import owner_engine
from app.core.settings import Settings
from app.limits import service as limits
from app.limits.gcra import Limit
from app.main import create_app
from tests.conftest import DatabaseURLs, TestOperator, TestTenant, client_of

TENANTS = "/v1/tenants"
SIGN_UP = "/v1/sign-up"


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"]).rpartition(":")[2]


def new_body(**changes: Any) -> dict[str, Any]:
    slug = f"t-{uuid.uuid4().hex[:12]}"
    return {"name": "Globex", "slug": slug, "admin_email": f"hank@{slug}.test"} | changes


async def test_an_operator_runs_the_whole_life_of_a_tenant(
    operator: TestOperator, client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    operate = operator.client
    made = await operate.post(TENANTS, json=new_body(plan="pro", requests_per_minute=77))
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    created, place = made.json(), made.headers["Location"]
    read = (await operate.get(place)).json()
    assert (read["state"], read["plan"], read["isolation"]) == ("active", "pro", "pooled")
    assert (read["operation"]["kind"], read["operation"]["state"]) == ("onboard", "succeeded")
    assert (read["operation"]["step"], read["operation"]["attempts"]) == (None, 1)
    client.headers["X-API-Key"] = created["api_key"]
    answer = await client.get("/v1/resources")
    assert answer.status_code == 200
    assert '"tenant";q=77;w=60' in answer.headers["RateLimit-Policy"]
    others = await tenant.client.get("/v1/resources")
    assert "q=77" not in others.headers["RateLimit-Policy"], "another's limits are not one's own"

    assert (await operate.post(f"{place}/suspend")).status_code == 204
    assert (await client.get("/v1/resources")).status_code in {401, 403}
    assert problem(await operate.post(f"{place}/suspend")) == (409, "tenant-state-conflict")
    assert (await operate.post(f"{place}/resume")).status_code == 204
    assert (await client.get("/v1/resources")).status_code == 200
    for change in ({"name": "Globex Ltd"}, {"plan": "enterprise"}, {"isolation": "dedicated"}):
        assert (await operate.patch(place, json=change)).status_code == 204
    read = (await operate.get(place)).json()
    assert (read["name"], read["plan"], read["isolation"]) == ("Globex Ltd", "enterprise", "dedicated")
    assert (await client.get("/v1/resources")).status_code == 200
    assert (await operate.delete(place)).status_code == 204
    assert (await client.get("/v1/resources")).status_code == 401
    read = (await operate.get(place)).json()
    assert read["state"] == "deleting"
    assert read["purge_after"] > read["state_changed_at"]
    assert (await operate.post(f"{place}/restore")).status_code == 204
    assert (await client.get("/v1/resources")).status_code == 200
    trail = (await operate.get("/v1/operators/actions", params={"tenant_id": created["tenant_id"]})).json()
    assert [row["action"] for row in reversed(trail["items"])] == [
        "tenants:create", "tenants:suspend", "tenants:resume", "tenants:update", "tenants:update",
        "tenants:update", "tenants:delete", "tenants:restore",
    ]  # fmt: skip
    assert created["password"] not in str(trail)


@pytest.mark.parametrize(
    "change",
    [
        {"slug": "A"},
        {"name": ""},
        {"name": "a\x00b"},
        {"admin_email": "nobody"},
        {"plan": "gold"},
        {"placement": "nowhere"},
        {"requests_per_minute": 0},
        {"requests_per_minute": True},
        {"requests_per_minute": "5"},
        {"surprise": 1},
    ],
)
async def test_a_bad_tenant_is_refused_and_nothing_is_written(
    operator: TestOperator, change: dict[str, Any], database_urls: DatabaseURLs
) -> None:
    engine = owner_engine(database_urls.owner)
    count = text("SELECT (SELECT count(*) FROM platform.tenants), (SELECT count(*) FROM pg_namespace)")
    async with engine.connect() as connection:
        before = (await connection.execute(count)).one()
        answer = await operator.client.post(TENANTS, json=new_body(**change))
        assert answer.status_code == 422, answer.text
        await connection.rollback()
        assert (await connection.execute(count)).one() == before
    await engine.dispose()


async def test_a_taken_slug_and_an_unknown_tenant_are_said(operator: TestOperator) -> None:
    body = new_body()
    assert (await operator.client.post(TENANTS, json=body)).status_code == 201
    assert problem(await operator.client.post(TENANTS, json=body)) == (409, "tenant-exists")
    nobody = f"{TENANTS}/{uuid.uuid4()}"
    for method, path in (
        ("GET", nobody),
        ("DELETE", nobody),
        ("POST", f"{nobody}/suspend"),
        ("POST", f"{nobody}/onboarding/resume"),
        ("POST", f"{nobody}/onboarding/cancel"),
    ):
        assert problem(await operator.client.request(method, path)) == (404, "tenant-not-found"), path
    assert problem(await operator.client.patch(nobody, json={"plan": "pro"})) == (404, "tenant-not-found")
    for body in ({}, {"plan": "pro", "name": "x"}, {"slug": "other"}):
        assert (await operator.client.patch(nobody, json=body)).status_code == 422


async def test_there_is_nothing_to_resume_of_a_finished_tenant(
    operator: TestOperator, tenant: TestTenant
) -> None:
    for end in ("resume", "cancel"):
        answer = await operator.client.post(f"{TENANTS}/{tenant.id}/onboarding/{end}")
        assert problem(answer) == (409, "nothing-to-resume")
    assert (await tenant.client.get("/v1/resources")).status_code == 200


async def test_tenants_are_listed_in_pages_and_by_state(
    operator: TestOperator, tenant: TestTenant, stranger: TestTenant
) -> None:
    found: list[str] = []
    cursor: str | None = None
    for _ in range(200):
        params = {"limit": 10, "state": "active"} | ({"cursor": cursor} if cursor else {})
        page = (await operator.client.get(TENANTS, params=params)).json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == len(set(found))
    assert {str(tenant.id), str(stranger.id)} <= set(found)
    await operator.client.post(f"{TENANTS}/{stranger.id}/suspend")
    page = (await operator.client.get(TENANTS, params={"state": "suspended"})).json()
    assert str(stranger.id) in [item["id"] for item in page["items"]]


async def test_without_the_owners_login_tenants_are_read_and_not_changed(
    settings: Settings, operator: TestOperator, tenant: TestTenant
) -> None:
    serving = create_app(settings.model_copy(update={"migration_database_url": None}))
    async with serving.router.lifespan_context(serving), client_of(serving) as client:
        client.headers["Authorization"] = operator.client.headers["Authorization"]
        assert (await client.get(f"{TENANTS}/{tenant.id}")).status_code == 200
        answer = await client.post(f"{TENANTS}/{tenant.id}/suspend")
        assert problem(answer) == (503, "no-migration-database")


@pytest.fixture
async def open_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The service with sign-up enabled."""
    application = create_app(settings.model_copy(update={"sign_up_enabled": True}))
    async with application.router.lifespan_context(application):
        yield application


def sign_up_body(**changes: Any) -> dict[str, Any]:
    slug = f"t-{uuid.uuid4().hex[:12]}"
    body = {"name": "Globex", "slug": slug, "email": f"hank@{slug}.test", "password": "a long enough secret"}
    return body | changes


async def test_sign_up_is_off_by_default(client: httpx.AsyncClient, app: FastAPI) -> None:
    assert (await client.post(SIGN_UP, json=sign_up_body())).status_code == 404
    assert SIGN_UP not in app.openapi()["paths"]


async def test_who_signs_up_can_log_in_with_the_chosen_password(
    open_app: FastAPI, operator: TestOperator
) -> None:
    body = sign_up_body()
    async with client_of(open_app) as client:
        made = await client.post(SIGN_UP, json=body)
        assert made.status_code == 201, made.text
        assert made.json()["password"] is None
        login = {"tenant": body["slug"], "email": body["email"], "password": body["password"]}
        assert (await client.post("/v1/auth/login", json=login)).status_code == 200
        assert problem(await client.post(SIGN_UP, json=body)) == (409, "tenant-exists")
        answer = await client.post(SIGN_UP, json=sign_up_body(password="short"))
        assert problem(answer) == (422, "invalid-tenant")
        assert "short" not in answer.json()["detail"]
        purged = f"deleted-{made.json()['tenant_id'].replace('-', '')}"
        answer = await client.post(SIGN_UP, json=sign_up_body(slug=purged))
        assert problem(answer) == (422, "invalid-tenant"), "what the purge of this tenant leaves"
        answer = await client.post(SIGN_UP, json=sign_up_body(plan="enterprise"))
        assert answer.status_code == 422, "nobody chooses a plan for themselves"
    read = (await operator.client.get(f"{TENANTS}/{made.json()['tenant_id']}")).json()
    assert read["plan"] == "free"


async def test_sign_ups_are_throttled_by_address_and_in_all(
    open_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: dict[str, Any] = {}
    async with client_of(open_app) as client:
        answers = [await client.post(SIGN_UP, json=nothing) for _ in range(8)]
    assert [answer.status_code for answer in answers] == [422] * 5 + [429] * 3
    waits = [int(answer.headers["Retry-After"]) for answer in answers[5:]]
    assert 700 < waits[-1] <= waits[0] <= 720, "a fifth of the hour, also when it was told before"
    monkeypatch.setattr(limits, "SIGN_UP_TOTAL_LIMIT", Limit(1, window_seconds=86_400))
    codes = []
    for _ in range(3):
        async with client_of(open_app) as client:
            codes.append((await client.post(SIGN_UP, json=nothing)).status_code)
    assert codes[-1] == 429, "another address does not help"
