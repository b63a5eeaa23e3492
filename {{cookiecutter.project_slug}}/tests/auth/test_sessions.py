"""A person sees and ends their sessions over HTTP, and what was ended is out on its very next request."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.audit import chain
from app.audit.models import AuditLog
from app.auth import authenticator
from app.core.database import Database
from app.core.settings import Settings
from app.main import create_app
from tests.conftest import TestOperator, TestTenant, client_of

SESSIONS = "/v1/auth/sessions"
ME = "/v1/users/me"
UUID_OF_NONE = uuid.UUID(int=7)
PHONE = "Phone/1.0 (pocket)"


async def log_in(client: httpx.AsyncClient, tenant: TestTenant, agent: str = PHONE) -> dict[str, str]:
    """The headers of a new session."""
    answer = await client.post("/v1/auth/login", json=tenant.login, headers={"User-Agent": agent})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def sessions_of(client: httpx.AsyncClient, **headers: str) -> list[dict[str, Any]]:
    answer = await client.get(SESSIONS, headers=headers)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.fixture
async def neighbour(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another process that serves the same tenants."""
    service = create_app(settings)
    async with service.router.lifespan_context(service), client_of(service) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("DELETE", f"/{UUID_OF_NONE}")])
async def test_nobody_but_a_person_about_themself_is_let_in(
    client: httpx.AsyncClient, tenant: TestTenant, method: str, path: str
) -> None:
    assert (await client.request(method, SESSIONS + path)).status_code == 401
    key = {"X-API-Key": tenant.credentials.api_key}
    assert (await client.request(method, SESSIONS + path, headers=key)).status_code == 403


async def test_an_operator_who_acts_as_somebody_does_not_touch_their_sessions(
    client: httpx.AsyncClient, tenant: TestTenant, operator: TestOperator
) -> None:
    answer = await operator.client.post(
        f"/v1/tenants/{tenant.id}/impersonations",
        json={"email": tenant.credentials.email, "reason": "They asked me to look at it.", "minutes": 5},
    )
    assert answer.status_code == 201, answer.text
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get(ME, headers=headers)).status_code == 200
    for method in ("GET", "DELETE"):
        assert (await client.request(method, SESSIONS, headers=headers)).status_code == 403
    assert (await tenant.client.get(ME)).status_code == 200


async def test_a_session_is_listed_with_its_device_and_last_use(
    client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    answer = await client.post("/v1/auth/login", json=tenant.login, headers={"User-Agent": PHONE})
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    newest, oldest = await sessions_of(client, **headers)
    assert (newest["user_agent"], newest["current"], oldest["current"]) == (PHONE, True, False)
    assert newest["address"] == client.headers["X-Forwarded-For"]
    renewed = await client.post(
        "/v1/auth/refresh",
        json={"refresh_token": answer.json()["refresh_token"]},
        headers={"User-Agent": "Phone/2.0", "X-Forwarded-For": "203.0.113.9"},
    )
    assert renewed.status_code == 200
    (later, _) = await sessions_of(client, **headers)
    assert (later["id"], later["user_agent"], later["address"]) == (newest["id"], "Phone/2.0", "203.0.113.9")
    assert later["last_used_at"] > newest["last_used_at"]
    assert later["expires_at"] == newest["expires_at"], "a session does not live longer by being used"


@pytest.mark.parametrize("agent", ["x" * 5_000, "a\x1b[31mb", "\xff\xfe", ""])
async def test_whatever_a_client_calls_itself_it_can_log_in(
    client: httpx.AsyncClient, tenant: TestTenant, agent: str
) -> None:
    answer = await client.post(
        "/v1/auth/login", json=tenant.login, headers=[(b"User-Agent", agent.encode("latin-1"))]
    )
    assert answer.status_code == 200
    shown = (await sessions_of(tenant.client))[0]["user_agent"]
    assert len(shown) <= 300
    assert shown.isprintable()


async def test_ending_a_session_acts_on_its_next_request_in_every_process(
    client: httpx.AsyncClient, neighbour: httpx.AsyncClient, tenant: TestTenant
) -> None:
    phone = await log_in(client, tenant)
    for one in (client, neighbour):
        assert (await one.get(ME, headers=phone)).status_code == 200
    listed = {one["user_agent"]: one["id"] for one in await sessions_of(tenant.client)}
    assert (await tenant.client.delete(f"{SESSIONS}/{listed[PHONE]}")).status_code == 204
    for one in (neighbour, client):
        answer = await one.get(ME, headers=phone)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:problem-type:invalid-token")
    assert (await tenant.client.get(ME)).status_code == 200
    assert PHONE not in {one["user_agent"] for one in await sessions_of(tenant.client)}
    again = await tenant.client.delete(f"{SESSIONS}/{listed[PHONE]}")
    assert (again.status_code, again.json()["type"]) == (404, "urn:problem-type:session-not-found")


async def test_logging_out_everywhere_leaves_no_session_or_only_this_one(
    client: httpx.AsyncClient, neighbour: httpx.AsyncClient, tenant: TestTenant
) -> None:
    phone = await log_in(client, tenant)
    assert (await tenant.client.delete(SESSIONS, params={"keep_current": "true"})).status_code == 204
    assert (await neighbour.get(ME, headers=phone)).status_code == 401
    assert len(await sessions_of(tenant.client)) == 1
    assert (await tenant.client.delete(SESSIONS)).status_code == 204
    answer = await tenant.client.get(ME)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:problem-type:invalid-token")
    assert (await client.get(ME, headers=await log_in(client, tenant))).status_code == 200


async def test_an_admin_sees_and_ends_the_sessions_of_a_person(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    path = f"/v1/users/{(await tenant.client.get(ME)).json()['id']}/sessions"
    phone = await log_in(client, tenant)
    key = {"X-API-Key": tenant.credentials.api_key}
    shown = (await client.get(path, headers=key)).json()["items"]
    assert [one["current"] for one in shown] == [False, False]
    assert (await client.delete(path, headers=key)).status_code == 204
    for headers in (phone, dict(tenant.client.headers)):
        assert (await client.get(ME, headers=headers)).status_code == 401
    nobody = f"/v1/users/{UUID_OF_NONE}/sessions"
    for method in ("GET", "DELETE"):
        answer = await client.request(method, nobody, headers=key)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem-type:user-not-found")
    async with database.tenant(tenant.schema) as session:
        row = (
            await session.execute(text("SELECT * FROM audit_logs WHERE action = 'auth.sessions_ended'"))
        ).one()
    assert (row.actor_kind, row.target_kind, row.details) == ("api_key", "user", {"sessions": 2})


async def test_a_stranger_ends_nothing(tenant: TestTenant, stranger: TestTenant) -> None:
    (mine,) = await sessions_of(tenant.client)
    assert (await stranger.client.delete(f"{SESSIONS}/{mine['id']}")).status_code == 404
    assert (await stranger.client.delete(SESSIONS)).status_code == 204
    assert (await tenant.client.get(ME)).status_code == 200


async def test_a_colleague_ends_nothing(tenant: TestTenant, database: Database) -> None:
    (mine,) = await sessions_of(tenant.client)
    async with database.tenant(tenant.schema) as session:
        other = uuid.uuid4()
        await session.execute(
            text("INSERT INTO users (id, email, role) VALUES (:id, 'bob@acme.test', 'admin')"), {"id": other}
        )
        await session.execute(text("UPDATE sessions SET user_id = :id"), {"id": other})
    assert (await tenant.client.delete(f"{SESSIONS}/{mine['id']}")).status_code in {401, 404}
    async with database.tenant(tenant.schema) as session:
        assert await session.scalar(text("SELECT count(*) FROM sessions WHERE ended_at IS NULL")) == 1


async def test_while_redis_is_away_an_ended_session_is_out_within_seconds(
    settings: Settings, tenant: TestTenant, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await log_in(client, tenant)
    cut_off = settings.model_copy(update={"redis_url": type(settings.redis_url)("redis://127.0.0.1:1/0")})
    clock = [0.0]
    service = create_app(cut_off)
    async with service.router.lifespan_context(service), client_of(service) as alone:
        monkeypatch.setattr(authenticator.time, "monotonic", lambda: clock[0])
        assert (await alone.get(ME, headers=phone)).status_code == 200
        assert (await tenant.client.delete(SESSIONS)).status_code == 204
        clock[0] = authenticator.OUTAGE_TTL_SECONDS
        assert (await alone.get(ME, headers=phone)).status_code == 401


async def test_what_redis_forgot_is_found_in_the_database(
    app: FastAPI, settings: Settings, tenant: TestTenant, client: httpx.AsyncClient
) -> None:
    """A process that has not seen the session asks, whatever Redis says."""
    phone = await log_in(client, tenant)
    assert (await tenant.client.delete(SESSIONS)).status_code == 204
    names = [name async for name in app.state.redis.scan_iter(f"epoch:*{tenant.id.hex}*")]
    assert names
    await app.state.redis.delete(*names)
    service = create_app(settings)
    async with service.router.lifespan_context(service), client_of(service) as other:
        assert (await other.get(ME, headers=phone)).status_code == 401


async def test_a_login_forgets_the_sessions_that_expired(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    await log_in(client, tenant)
    async with database.tenant(tenant.schema) as session:
        await session.execute(
            text(
                "UPDATE sessions SET created_at = now() - interval '2 d', expires_at = now() - interval '1 d'"
            )
        )
    await log_in(client, tenant)
    async with database.tenant(tenant.schema) as session:
        left = [
            await session.scalar(text(f"SELECT count(*) FROM {name}"))
            for name in ("sessions", "refresh_tokens")
        ]
    assert left == [1, 1]


async def test_the_trail_tells_of_logins_and_their_ends(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    answer = await client.post("/v1/auth/login", json=tenant.login)
    await client.post("/v1/auth/logout", json={"refresh_token": answer.json()["refresh_token"]})
    await client.post("/v1/auth/logout", json={"refresh_token": answer.json()["refresh_token"]})
    await tenant.client.delete(SESSIONS)
    async with database.tenant(tenant.schema) as session:
        rows = (await session.execute(text("SELECT * FROM audit_logs ORDER BY sequence"))).all()
        await chain.verify(session, AuditLog)
    actions = ["auth.login", "auth.login", "auth.logout", "auth.sessions_ended"]
    assert [row.action for row in rows if row.actor_kind == "user"] == actions
    assert {row.correlation_id for row in rows if row.actor_kind == "user"} != {None}
    assert answer.json()["refresh_token"] not in str(rows)
