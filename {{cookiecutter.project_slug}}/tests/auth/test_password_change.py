"""A person changes the password; guessing one, here and at the login, becomes slower and slower."""

import asyncio
import secrets

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import text

from app.core.database import Database
from app.core.settings import Settings
from app.limits import failures
from app.limits.failures import FailureThrottle, TooManyFailures, wait_after
from tests.conftest import TestTenant, client_of
from tests.work import counted_work

LOGIN, CHANGE = "/v1/auth/login", "/v1/auth/password"
NEW = "purple lantern 88"


def body(tenant: TestTenant, **changed: str) -> dict[str, str]:
    return {"current_password": tenant.login["password"], "new_password": NEW, **changed}


async def test_a_stranger_to_the_service_changes_nothing(
    client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    assert (await client.post(CHANGE, json=body(tenant))).status_code == 401
    assert (await client.post(LOGIN, json=tenant.login)).status_code == 200


async def test_another_tenants_credential_does_not_reach_the_account(
    client: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant
) -> None:
    assert (await stranger.client.post(CHANGE, json=body(tenant))).status_code == 403
    assert (await client.post(LOGIN, json=tenant.login)).status_code == 200


async def test_a_change_ends_the_other_sessions_only(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    other = (await client.post(LOGIN, json=tenant.login)).json()
    assert (await tenant.client.post(CHANGE, json=body(tenant))).status_code == 204
    assert (await tenant.client.get("/v1/users/me")).status_code == 200
    headers = {"Authorization": f"Bearer {other['access_token']}"}
    assert (await client.get("/v1/users/me", headers=headers)).status_code == 401
    refreshed = await client.post("/v1/auth/refresh", json={"refresh_token": other["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await client.post(LOGIN, json=tenant.login)).status_code == 401
    assert (await client.post(LOGIN, json={**tenant.login, "password": NEW})).status_code == 200
    async with database.tenant(tenant.schema) as session:
        actions = (await session.scalars(text("SELECT action FROM audit_logs"))).all()
    assert actions.count("auth.password_changed") == 1


async def test_a_wrong_current_password_keeps_the_session(
    client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    answer = await tenant.client.post(CHANGE, json=body(tenant, current_password="wrong"))
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:problem-type:wrong-password")
    assert (await tenant.client.get("/v1/users/me")).status_code == 200
    assert (await client.post(LOGIN, json=tenant.login)).status_code == 200


@pytest.mark.parametrize("weak", ["short", "password1234", "admin"])
async def test_a_weak_password_is_refused(client: httpx.AsyncClient, tenant: TestTenant, weak: str) -> None:
    answer = await tenant.client.post(CHANGE, json=body(tenant, new_password=weak))
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:problem-type:unacceptable-password")
    assert (await client.post(LOGIN, json=tenant.login)).status_code == 200


async def test_an_api_key_changes_no_password(client: httpx.AsyncClient, tenant: TestTenant) -> None:
    headers = {"X-API-Key": tenant.credentials.api_key}
    assert (await client.post(CHANGE, json=body(tenant), headers=headers)).status_code in {401, 403}


async def test_of_two_changes_at_once_one_wins(tenant: TestTenant) -> None:
    answers = await asyncio.gather(
        *(tenant.client.post(CHANGE, json=body(tenant, new_password=NEW + end)) for end in "ab")
    )
    assert sorted(answer.status_code for answer in answers) == [204, 403]


@pytest.mark.parametrize("known", [True, False])
async def test_after_five_failures_even_the_right_password_waits(
    app: FastAPI, tenant: TestTenant, known: bool
) -> None:
    right = tenant.login if known else {**tenant.login, "email": f"{secrets.token_hex(6)}@acme.test"}
    statuses = []
    for _ in range(5):
        # Each from another address, so that it is the account that is throttled.
        async with client_of(app) as client:
            statuses.append((await client.post(LOGIN, json={**right, "password": "wrong"})).status_code)
    async with client_of(app) as client:
        answer = await client.post(LOGIN, json=right)
    assert statuses == [401] * 5
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:problem-type:too-many-failures")
    assert answer.headers["retry-after"] == "1"
    assert (await tenant.client.get("/v1/users/me")).status_code == 200, "who is in stays in"


async def test_a_success_forgets_the_failures(client: httpx.AsyncClient, tenant: TestTenant) -> None:
    for _ in range(3):
        for _ in range(4):
            assert (await client.post(LOGIN, json={**tenant.login, "password": "x"})).status_code == 401
        assert (await client.post(LOGIN, json=tenant.login)).status_code == 200


async def test_guesses_at_once_gain_nothing(app: FastAPI, tenant: TestTenant) -> None:
    async with client_of(app) as client:
        answers = await asyncio.gather(
            *(client.post(LOGIN, json={**tenant.login, "password": f"guess {n}"}) for n in range(12))
        )
    assert [answer.status_code for answer in answers].count(401) == 5


def test_the_wait_doubles_up_to_a_quarter_of_an_hour_and_a_hundredth_failure_locks() -> None:
    assert [wait_after(failed) for failed in (1, 4, 5, 6, 7, 14, 15, 99)] == [0, 0, 1, 2, 4, 512, 900, 900]
    assert wait_after(100) == 86_400


async def test_without_redis_guessing_is_not_free() -> None:
    away = Redis.from_url("redis://127.0.0.1:1/0")
    throttle = FailureThrottle(away)
    for _ in range(5):
        await throttle.attempt("acme", "ada@acme.test")
    with pytest.raises(TooManyFailures):
        await throttle.attempt("acme", "ada@acme.test")
    await throttle.attempt("acme", "grace@acme.test")
    await away.aclose()


async def test_all_accounts_together_are_throttled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "ATTEMPTS_PER_MINUTE", 3)
    monkeypatch.setattr(failures, "ALL", f"limit:{{login}}:{secrets.token_hex(6)}")
    redis = Redis.from_url(settings.redis_url.get_secret_value())
    throttle = FailureThrottle(redis)
    for number in range(3):
        await throttle.attempt(secrets.token_hex(6), str(number))
    with pytest.raises(TooManyFailures) as caught:
        await throttle.attempt(secrets.token_hex(6), "another")
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
    await redis.aclose()


async def test_every_refusal_of_a_login_takes_the_same_work(
    client: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant, database: Database
) -> None:
    async with database.tenant(stranger.schema) as session:
        await session.execute(text("UPDATE users SET state = 'disabled'"))
    bodies = [
        {**tenant.login, "password": "wrong"},
        {**tenant.login, "email": "nobody@acme.test"},
        {**tenant.login, "tenant": "no-such-tenant"},
        stranger.login,
    ]
    await client.post(LOGIN, json=bodies[0])
    trips = []
    for wrong in bodies:
        with counted_work() as work:
            assert (await client.post(LOGIN, json=wrong)).status_code == 401
        trips.append(work.trips)
    assert trips[0].count("bcrypt") == 1
    assert all(other == trips[0] for other in trips), trips
