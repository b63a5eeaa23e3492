"""Log in, refresh and log out over HTTP, API keys, and every way to be refused."""

import asyncio
import base64
import json
import re
import shutil
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jose import jws, jwt
from sqlalchemy import text

from app.auth.api_key_format import generate, parse
from app.auth.passwords import PasswordHasher
from app.core.database import Database, owner_engine
from app.core.settings import Settings
from app.main import create_app
from app.tenants.bootstrap import lifecycle_from
from tests.commands import run_command
from tests.conftest import DatabaseURLs, MakeTenant, TestTenant, client_of

LOGIN = "/v1/auth/login"
REFRESH = "/v1/auth/refresh"


def slug(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem_type: str = answer.json()["type"]
    return problem_type.removeprefix("urn:problem-type:")


def without_ids(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "correlation_id"}


async def count_refresh_tokens(database: Database, tenant: TestTenant) -> int:
    async with database.tenant(tenant.schema) as session:
        return int(await session.scalar(text("SELECT count(*) FROM refresh_tokens")) or 0)


async def test_login_answers_as_promised(client: httpx.AsyncClient, tenant: TestTenant) -> None:
    answer = await client.post(LOGIN, json=tenant.login)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 900)
    assert answer.headers["cache-control"] == "no-store"
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    me = await client.get("/v1/users/me", headers=headers)
    assert (me.status_code, me.json()["email"], me.json()["role"]) == (200, tenant.login["email"], "admin")
    assert me.json()["last_login_at"] is not None
    assert "password" not in me.text


async def test_the_email_is_compared_without_case(client: httpx.AsyncClient, tenant: TestTenant) -> None:
    body = {**tenant.login, "email": f" {tenant.login['email'].upper()} "}
    assert (await client.post(LOGIN, json=body)).status_code == 200


async def test_every_wrong_credential_gets_the_same_answer(
    client: httpx.AsyncClient,
    tenant: TestTenant,
    stranger: TestTenant,
    database: Database,
) -> None:
    before = await count_refresh_tokens(database, tenant)
    answers = [
        await client.post(LOGIN, json={**tenant.login, **wrong})
        for wrong in (
            {"password": "wrong"},
            {"email": "nobody@acme.test"},
            {"tenant": "no-such-tenant"},
            {"tenant": stranger.login["tenant"]},
            {"email": stranger.login["email"]},
            {"password": tenant.login["password"] + " "},
            {"password": tenant.login["password"].swapcase()},
        )
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert all(without_ids(answer) == without_ids(answers[0]) for answer in answers)
    assert slug(answers[0]) == "invalid-credentials"
    assert await count_refresh_tokens(database, tenant) == before


async def test_an_unknown_user_costs_a_verification_too(
    client: httpx.AsyncClient, tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: one bcrypt each, so that the clock tells nothing."""
    verifications: list[str | None] = []
    original = PasswordHasher._verify

    def counting(self: PasswordHasher, password: str, stored: str | None) -> Any:
        verifications.append(stored)
        return original(self, password, stored)

    monkeypatch.setattr(PasswordHasher, "_verify", counting)
    for wrong in ({"password": "wrong"}, {"email": "nobody@acme.test"}, {"tenant": "no-such-tenant"}):
        await client.post(LOGIN, json={**tenant.login, **wrong})
    assert [stored is None for stored in verifications] == [False, True, True]


async def refreshed(client: httpx.AsyncClient, pair: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def use(client: httpx.AsyncClient, pair: dict[str, Any]) -> int:
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    return (await client.get("/v1/resources", headers=headers)).status_code


@pytest.mark.parametrize(
    "change",
    [
        {"tenant": "Acme'; DROP TABLE users"},
        {"tenant": ""},
        {"tenant": 5},
        {"email": "nul\x00@acme.test"},
        {"email": "a" * 300},
        {"password": "nul\x00"},
        {"password": ""},
        {"password": "x" * 10_000},
        {"password": None},
        {"otp": "123456"},
    ],
)
async def test_a_malformed_login_is_422_and_does_not_repeat_the_password(
    client: httpx.AsyncClient, tenant: TestTenant, change: dict[str, Any]
) -> None:
    answer = await client.post(LOGIN, json={**tenant.login, **change})
    assert (answer.status_code, slug(answer)) == (422, "validation-failed")
    assert tenant.login["password"] not in answer.text


async def test_a_disabled_user_cannot_log_in_or_refresh(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    tokens = (await client.post(LOGIN, json=tenant.login)).json()
    async with database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE users SET state = 'disabled'"))
    assert slug(await client.post(LOGIN, json=tenant.login)) == "invalid-credentials"
    answer = await client.post(REFRESH, json={"refresh_token": tokens["refresh_token"]})
    assert slug(answer) == "invalid-refresh-token"


async def test_a_refresh_token_that_comes_back_ends_its_session_and_no_other(
    client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    first = (await client.post(LOGIN, json=tenant.login)).json()
    other = (await client.post(LOGIN, json=tenant.login)).json()
    second = await refreshed(client, first)
    third = await refreshed(client, second)
    assert len({one["refresh_token"] for one in (first, second, third)}) == 3
    assert await use(client, third) == 200
    replayed = await client.post(REFRESH, json={"refresh_token": first["refresh_token"]})
    assert (replayed.status_code, slug(replayed)) == (401, "invalid-refresh-token")
    answer = await client.post(REFRESH, json={"refresh_token": third["refresh_token"]})
    assert slug(answer) == "invalid-refresh-token"
    assert [await use(client, one) for one in (first, second, third)] == [401, 401, 401]
    assert await use(client, await refreshed(client, other)) == 200


async def test_a_refresh_whose_answer_was_lost_may_be_repeated_for_ten_seconds(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    first = (await client.post(LOGIN, json=tenant.login)).json()
    await refreshed(client, first)
    again = await refreshed(client, first)
    assert await use(client, again) == 200
    async with database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE refresh_tokens SET used_at = used_at - interval '11 s'"))
    late = await client.post(REFRESH, json={"refresh_token": first["refresh_token"]})
    assert slug(late) == "invalid-refresh-token"
    assert await use(client, again) == 401


async def test_refreshes_at_once_share_a_session_and_a_stale_one_ends_it_for_all(
    client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    first = (await client.post(LOGIN, json=tenant.login)).json()
    at_once = await asyncio.gather(*(refreshed(client, first) for _ in range(5)))
    assert len({one["refresh_token"] for one in at_once}) == 5
    assert len({jwt.get_unverified_claims(one["access_token"])["sid"] for one in at_once}) == 1
    await refreshed(client, at_once[0])
    answers = await asyncio.gather(
        *(client.post(REFRESH, json={"refresh_token": first["refresh_token"]}) for _ in range(5))
    )
    assert [answer.status_code for answer in answers] == [401] * 5
    assert [await use(client, one) for one in at_once] == [401] * 5


async def test_logging_out_ends_the_session_from_the_next_request_on(
    client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    pair = (await client.post(LOGIN, json=tenant.login)).json()
    assert await use(client, pair) == 200
    assert (await client.post("/v1/auth/logout", json={"refresh_token": pair["refresh_token"]})).is_success
    assert await use(client, pair) == 401
    assert (await tenant.client.get("/v1/resources")).status_code == 200, "another session goes on"


async def test_logging_out_ends_the_login(client: httpx.AsyncClient, tenant: TestTenant) -> None:
    token = (await client.post(LOGIN, json=tenant.login)).json()["refresh_token"]
    for _ in range(2):
        assert (await client.post("/v1/auth/logout", json={"refresh_token": token})).status_code == 204
    assert (await client.post(REFRESH, json={"refresh_token": token})).status_code == 401


async def test_only_the_hash_of_a_refresh_token_is_stored(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    token = (await client.post(LOGIN, json=tenant.login)).json()["refresh_token"]
    async with database.tenant(tenant.schema) as session:
        rows = (await session.execute(text("SELECT r::text FROM refresh_tokens r"))).scalars().all()
    assert rows
    assert not any(token in row or token.removeprefix("rt_") in row for row in rows)


@pytest.mark.parametrize(
    "token",
    [
        "rt_",
        "x",
        "rt_" + "A" * 64,
        "rt_" + base64.urlsafe_b64encode(bytes(48)).decode(),
        "rt_é",
        "é" * 20,
        "'; DROP TABLE refresh_tokens; --",
    ],
)
async def test_a_made_up_refresh_token_is_401(client: httpx.AsyncClient, token: str) -> None:
    answer = await client.post(REFRESH, json={"refresh_token": token})
    assert (answer.status_code, slug(answer)) == (401, "invalid-refresh-token")


async def test_an_expired_refresh_token_is_401(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    token = (await client.post(LOGIN, json=tenant.login)).json()["refresh_token"]
    async with database.tenant(tenant.schema) as session:
        await session.execute(
            text(
                "UPDATE sessions SET created_at = now() - interval '2 d', expires_at = now() - interval '1 s'"
            )
        )
    assert (await client.post(REFRESH, json={"refresh_token": token})).status_code == 401


async def test_a_session_that_nobody_used_for_long_is_over(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database, settings: Settings
) -> None:
    pair = (await client.post(LOGIN, json=tenant.login)).json()
    async with database.tenant(tenant.schema) as session:
        await session.execute(
            text("UPDATE sessions SET last_used_at = now() - make_interval(secs => :idle)"),
            {"idle": settings.session_idle_seconds + 5},
        )
    answer = await client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})
    assert (answer.status_code, slug(answer)) == (401, "invalid-refresh-token")
    assert await use(client, pair) == 401


def forged_tokens(app: FastAPI, tenant: TestTenant, token: str) -> dict[str, str]:
    """Access tokens an attacker, or a stale client, would send."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))

    def encode(part: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()

    codec, key = app.state.codec, app.state.key_ring.signing_key
    subject, tenant_id = uuid.UUID(claims["sub"]), tenant.id
    public_pem = app.state.key_ring.verification_key(key.kid).prepared.to_pem().decode()
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    hs256 = jws.sign(claims, "x" * 64, headers={"typ": "at+jwt", "kid": key.kid}, algorithm="HS256")
    good_header = {"alg": "RS256", "typ": "at+jwt", "kid": key.kid}
    return {
        "expired": codec.issue(subject, tenant_id, "admin", hour_ago, session_id=tenant.session_id),
        "neither of a login nor of an operator": codec.issue(subject, tenant_id, "admin"),
        "signature of another payload": f"{header}.{encode({**claims, 'role': 'read_only'})}.{signature}",
        "alg none": f"{encode({**good_header, 'alg': 'none'})}.{payload}.",
        "alg swapped to HS256": hs256,
        "alg swapped, header kept": f"{header}.{hs256.split('.')[1]}.{hs256.split('.')[2]}",
        "unknown kid": f"{encode({**good_header, 'kid': 'other'})}.{payload}.{signature}",
        "path as kid": f"{encode({**good_header, 'kid': '../../etc/passwd'})}.{payload}.{signature}",
        "embedded key": f"{encode({**good_header, 'jwk': {'kty': 'RSA'}})}.{payload}.{signature}",
        "crit": f"{encode({**good_header, 'crit': ['x']})}.{payload}.{signature}",
        "oversized": f"{header}.{'A' * 10_000}.{signature}",
        "two parts": f"{header}.{payload}",
        "four parts": f"{token}.x",
        "empty": "",
        "not ascii": "é.é.é",
        "pem as token": base64.urlsafe_b64encode(public_pem.encode()).decode(),
    }


async def test_forged_and_stale_tokens_are_401(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    token = (await client.post(LOGIN, json=tenant.login)).json()["access_token"]
    for name, forged in forged_tokens(app, tenant, token).items():
        header = f"Bearer {forged}".encode()
        answer = await client.post("/v1/resources", json={"name": "x"}, headers={"Authorization": header})
        assert (name, answer.status_code, slug(answer)) == (name, 401, "invalid-token")
    assert (await tenant.client.get("/v1/resources")).json()["items"] == []


async def test_a_bad_token_does_not_close_the_public_routes(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live", headers={"Authorization": "Bearer stale"})
    assert answer.status_code == 200


async def test_the_api_key_opens_the_same_routes(client: httpx.AsyncClient, tenant: TestTenant) -> None:
    headers = {"X-API-Key": tenant.credentials.api_key}
    created = await client.post("/v1/resources", json={"name": "by key"}, headers=headers)
    assert (created.status_code, created.json()["owner_id"]) == (201, None)
    read = await client.get(created.headers["location"], headers=headers)
    assert (read.status_code, read.json()) == (200, created.json())
    assert slug(await client.get("/v1/users/me", headers=headers)) == "not-a-user"


async def test_a_wrong_api_key_is_401(
    client: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant
) -> None:
    key, other = tenant.credentials.api_key, stranger.credentials.api_key
    prefix, mode, ids, secret = key.split("_")
    for wrong in (
        key[:-1] + ("0" if key[-1] != "0" else "1"),
        "_".join((prefix, mode, other.split("_")[2], secret)),
        "_".join((prefix, mode, ids, other.split("_")[3])),
        key.replace("_test_", "_live_"),
        "",
        "x",
        key + "0",
        "é" * 10,
    ):
        answer = await client.get("/v1/resources", headers={"X-API-Key": wrong.encode()})
        assert (answer.status_code, slug(answer)) == (401, "invalid-api-key")


async def test_two_credentials_are_refused(client: httpx.AsyncClient, tenant: TestTenant) -> None:
    authorization = tenant.client.headers["Authorization"]
    for headers in (
        [("Authorization", authorization), ("X-API-Key", tenant.credentials.api_key)],
        [("Authorization", authorization), ("Authorization", authorization)],
    ):
        answer = await client.get("/v1/resources", headers=headers)
        assert (answer.status_code, slug(answer)) == (401, "ambiguous-credentials")


async def test_a_revoked_or_expired_key_is_401(
    app: FastAPI, client: httpx.AsyncClient, make_tenant: MakeTenant, database: Database
) -> None:
    for change in (
        "revoked_at = now()",
        "created_at = now() - interval '2 d', expires_at = now() - interval '1 d'",
    ):
        tenant = await make_tenant()
        async with database.tenant(tenant.schema) as session:
            await session.execute(text(f"UPDATE api_keys SET {change}"))
        answer = await client.get("/v1/resources", headers={"X-API-Key": tenant.credentials.api_key})
        assert (answer.status_code, slug(answer)) == (401, "invalid-api-key")


async def test_an_api_key_is_verified_by_bcrypt_once_and_unknown_ones_never(
    client: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str | None] = []
    original = PasswordHasher._verify

    def counting(self: PasswordHasher, password: str, stored: str | None) -> Any:
        verified.append(stored)
        return original(self, password, stored)

    monkeypatch.setattr(PasswordHasher, "_verify", counting)
    headers = {"X-API-Key": tenant.credentials.api_key}
    answers = await asyncio.gather(*(client.get("/v1/resources", headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(verified) == 1
    broken = stranger.credentials.api_key[:-1] + "_"
    assert (await client.get("/v1/resources", headers={"X-API-Key": broken})).status_code == 401
    assert len(verified) == 1


async def test_the_database_holds_no_plain_secret(database_urls: DatabaseURLs, tenant: TestTenant) -> None:
    engine = owner_engine(database_urls.owner)
    async with engine.connect() as connection:
        stored = ""
        for table in ("users", "api_keys"):
            rows = await connection.execute(text(f"SELECT t::text FROM {tenant.schema}.{table} t"))
            stored += "".join(rows.scalars())
    await engine.dispose()
    secret = tenant.credentials.api_key.split("_")[3]
    assert tenant.login["email"] in stored
    assert "bcrypt" in stored
    assert tenant.login["password"] not in stored
    assert secret not in stored
    assert secret[:32] not in stored


def another_secret(key: str) -> str:
    """A well-formed key with the ids of this one."""
    brand = key.partition("_")[0]
    parsed = parse(key, brand)
    return generate(brand, live=False, tenant_id=parsed.tenant_id, key_id=parsed.key_id).plaintext


async def test_a_suspended_tenant_is_refused(
    settings: Settings, client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    tokens = (await client.post(LOGIN, json=tenant.login)).json()
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.suspend(tenant.id)
    answer = await tenant.client.get("/v1/resources")
    assert (answer.status_code, slug(answer)) == (403, "tenant-suspended")
    assert slug(await client.post(LOGIN, json=tenant.login)) == "invalid-credentials"
    key = tenant.credentials.api_key
    for sent, answered in (
        (key, (403, "tenant-suspended")),
        (another_secret(key), (401, "invalid-api-key")),
    ):
        for _ in ("asked", "remembered"):
            answer = await client.get("/v1/resources", headers={"X-API-Key": sent})
            assert (answer.status_code, slug(answer)) == answered
    answer = await client.post(REFRESH, json={"refresh_token": tokens["refresh_token"]})
    assert slug(answer) == "invalid-refresh-token"


async def test_the_published_keys_verify_our_tokens(client: httpx.AsyncClient, tenant: TestTenant) -> None:
    token = (await client.post(LOGIN, json=tenant.login)).json()["access_token"]
    answer = await client.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["cache-control"]
    (key,) = answer.json()["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}, "and no private member"
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert (header["kid"], header["alg"]) == (key["kid"], "RS256")
    assert jws.verify(token, key, algorithms=["RS256"])


async def test_the_published_keys_are_cached_and_asked_for_again_cheaply(client: httpx.AsyncClient) -> None:
    answer = await client.get("/.well-known/jwks.json")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"
    tag = answer.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{64}"', tag), "a strong one"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*", f'"a,b",W/{tag}'):
        again = await client.get("/.well-known/jwks.json", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b""), known
        assert (again.headers["etag"], again.headers["cache-control"]) == (tag, "public, max-age=300")
    for other in ('"other"', tag.strip('"'), "", '"', "\x7f", f'"{tag[1:-2]}"'):
        again = await client.get("/.well-known/jwks.json", headers={"If-None-Match": other})
        assert (again.status_code, again.json()) == (200, answer.json()), other


async def test_a_token_of_a_withdrawn_key_is_refused_at_once(
    settings: Settings, tenant: TestTenant, tmp_path: Path
) -> None:
    """Though it was verified a moment ago, and is remembered."""
    shutil.copytree(str(settings.jwt_keys_dir), tmp_path / "keys")
    application = create_app(settings.model_copy(update={"jwt_keys_dir": tmp_path / "keys"}))
    async with application.router.lifespan_context(application), client_of(application) as client:
        client.headers["Authorization"] = tenant.client.headers["Authorization"]
        assert (await client.get("/v1/resources")).status_code == 200
        before = (await client.get("/.well-known/jwks.json")).headers["etag"]
        rotated = run_command("keys", "rotate", "--compromised", "--directory", str(tmp_path / "keys"))
        assert rotated.returncode == 0, rotated.stderr
        for _ in range(200):
            answer = await client.get("/.well-known/jwks.json", headers={"If-None-Match": before})
            if answer.status_code == 200:
                break
            await asyncio.sleep(0.05)
        refused = await client.get("/v1/resources")
        assert (refused.status_code, slug(refused)) == (401, "invalid-token")
