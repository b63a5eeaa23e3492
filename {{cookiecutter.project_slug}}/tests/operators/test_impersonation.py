"""An operator acts as a user for minutes: both trails say so, and it ends by itself or with the operator."""

import asyncio
import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import text
from starlette.datastructures import Headers

from app.audit import chain
from app.audit.models import AuditLog
from app.auth.tokens import Actor, InvalidToken, TokenCodec
from app.auth.tokens import RejectionReason as Reason
from app.core.database import Database, owner_engine
from app.core.settings import Settings
from app.operators.models import OperatorState
from app.operators.service import operator_accounts_from
from app.tenants.bootstrap import lifecycle_from
from tests.conftest import DatabaseURLs, TestOperator, TestTenant

REASON = "Ticket 4711: the export fails"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def path_of(tenant: TestTenant) -> str:
    return f"/v1/tenants/{tenant.id}/impersonations"


async def impersonate(operator: TestOperator, tenant: TestTenant, **change: Any) -> httpx.Response:
    body = {"email": tenant.login["email"], "reason": REASON, **change}
    body = {name: value for name, value in body.items() if value is not None}
    return await operator.client.post(path_of(tenant), json=body)


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


async def trail_of(database: Database, tenant: TestTenant) -> list[Any]:
    async with database.tenant(tenant.schema) as session:
        rows = (
            await session.execute(
                text("SELECT * FROM audit_logs WHERE actor_kind = 'operator' ORDER BY sequence")
            )
        ).all()
        await chain.verify(session, AuditLog)
    return list(rows)


async def test_an_operator_acts_as_the_user_until_the_time_is_up(
    client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant
) -> None:
    answer = await impersonate(operator, tenant, minutes=2)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    assert set(given) == {"access_token", "token_type", "expires_in", "expires_at", "user_id"}
    claims = claims_of(given["access_token"])
    assert (claims["act"]["sub"], claims["exp"] - claims["iat"]) == (str(operator.id), 120)
    assert datetime.fromisoformat(given["expires_at"]).timestamp() == claims["exp"]
    me = await client.get("/v1/users/me", headers=bearer(given["access_token"]))
    assert (me.status_code, me.json()["email"]) == (200, tenant.login["email"])
    assert me.json()["id"] == given["user_id"]


async def test_both_trails_say_who_acted_as_whom_and_why(
    client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant, database: Database
) -> None:
    answer = await impersonate(operator, tenant)
    (theirs,) = await trail_of(database, tenant)
    listed = (await operator.client.get(f"/v1/operators/actions?tenant_id={tenant.id}")).json()["items"]
    (ours,) = listed
    assert (ours["actor_kind"], ours["operator_id"]) == ("operator", str(operator.id))
    assert (ours["action"], ours["tenant_id"]) == ("impersonations:create", str(tenant.id))
    assert ours["target"] == answer.json()["user_id"]
    assert (ours["details"]["reason"], ours["details"]["minutes"]) == (REASON, 5)
    assert (theirs.actor_kind, theirs.actor_id) == ("operator", operator.id)
    assert (theirs.target_kind, theirs.target_id) == ("user", answer.json()["user_id"])
    assert theirs.details == ours["details"]
    assert theirs.correlation_id == ours["correlation_id"] == answer.headers["x-request-id"]
    for row in (str(theirs), str(ours)):
        assert answer.json()["access_token"] not in row


async def test_each_request_made_as_somebody_else_is_logged_with_both(
    app: FastAPI, client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant, database: Database
) -> None:
    given = (await impersonate(operator, tenant)).json()
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            await client.get("/v1/resources", headers=bearer(given["access_token"]))
        await tenant.client.get("/v1/resources")
        await operator.client.get("/v1/operators/me")
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["subject"], line["actor"]) for line in requests] == [
        (given["user_id"], str(operator.id)),
        (given["user_id"], str(operator.id)),
        (given["user_id"], None),
        (None, str(operator.id)),
    ]
    await app.state.recorder.flush()
    async with database.platform() as session:
        query = text("SELECT count(*) FROM usage_metrics WHERE tenant_id = :id")
        assert await session.scalar(query, {"id": tenant.id}) == 1, (
            "the tenant pays for its own requests only"
        )


async def test_the_user_may_be_named_by_id(operator: TestOperator, tenant: TestTenant) -> None:
    user_id = (await tenant.client.get("/v1/users/me")).json()["id"]
    answer = await impersonate(operator, tenant, email=None, user_id=user_id)
    assert (answer.status_code, answer.json()["user_id"]) == (201, user_id)


@pytest.mark.parametrize(
    "change",
    [
        {"reason": None},
        {"reason": "too short"},
        {"reason": " " * 20},
        {"reason": "line\nbreak in the reason"},
        {"reason": "x" * 501},
        {"minutes": 0},
        {"minutes": True},
        {"minutes": "5"},
        {"minutes": 16},
        {"minutes": -5},
        {"email": None},
        {"user_id": "0198a1b2-0000-7000-8000-000000000000"},
        {"role": "admin"},
    ],
    ids=str,
)
async def test_what_is_not_allowed_is_422_and_leaves_no_row(
    operator: TestOperator, tenant: TestTenant, database: Database, change: dict[str, Any]
) -> None:
    assert (await impersonate(operator, tenant, **change)).status_code == 422
    assert await trail_of(database, tenant) == []


async def test_nobody_acts_as_an_unknown_or_disabled_user_or_one_of_another_tenant(
    operator: TestOperator, tenant: TestTenant, stranger: TestTenant, database: Database
) -> None:
    async with database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE users SET state = 'disabled'"))
    user_id = str(uuid.uuid4())
    for change in (
        {"email": tenant.login["email"]},
        {"email": "nobody@acme.test"},
        {"email": stranger.login["email"]},
        {"email": None, "user_id": user_id},
    ):
        answer = await impersonate(operator, tenant, **change)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem-type:user-not-found")
    assert await trail_of(database, tenant) == []


async def test_nobody_acts_in_an_unknown_or_suspended_tenant(
    operator: TestOperator, tenant: TestTenant, database: Database, settings: Settings
) -> None:
    body = {"email": tenant.login["email"], "reason": REASON}
    answer = await operator.client.post(f"/v1/tenants/{uuid.uuid4()}/impersonations", json=body)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem-type:tenant-not-found")
    assert (await tenant.client.get("/v1/resources")).status_code == 200  # It is remembered as active.
    async with lifecycle_from(settings) as (lifecycle, _):
        await lifecycle.suspend(tenant.id)
    answer = await impersonate(operator, tenant)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:problem-type:tenant-state-conflict")
    assert await trail_of(database, tenant) == []


async def test_the_time_box_has_no_leeway_not_even_from_the_cache(
    app: FastAPI, client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant
) -> None:
    codec: TokenCodec = app.state.codec
    user_id = uuid.UUID((await tenant.client.get("/v1/users/me")).json()["id"])
    begun = datetime.now(UTC)
    token = codec.issue(
        user_id, tenant.id, "admin", begun, ttl=timedelta(minutes=1), actor=Actor(operator.id, 1)
    )
    expires_at = datetime.fromtimestamp(claims_of(token)["exp"], UTC)
    assert codec.verify(token, expires_at - timedelta(microseconds=1)).actor == Actor(operator.id, 1)
    with pytest.raises(InvalidToken) as caught:
        codec.verify(token, expires_at)
    assert caught.value.reason is Reason.EXPIRED
    # Remembered by the authenticator while it is good, and gone when its time is.
    short = codec.issue(user_id, tenant.id, "admin", ttl=timedelta(seconds=2), actor=Actor(operator.id, 1))
    assert (await client.get("/v1/resources", headers=bearer(short))).status_code == 200
    await asyncio.sleep(2.05)
    answer = await client.get("/v1/resources", headers=bearer(short))
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:problem-type:invalid-token")


@pytest.mark.parametrize("end", ["disabled", "new password"])
async def test_it_ends_with_the_operator(
    client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant, settings: Settings, end: str
) -> None:
    headers = bearer((await impersonate(operator, tenant)).json()["access_token"])
    assert (await client.get("/v1/resources", headers=headers)).status_code == 200
    accounts = operator_accounts_from(settings)
    if end == "disabled":
        await accounts.set_state(operator.email, OperatorState.DISABLED)
    else:
        await accounts.reset_password(operator.email, "another long password")
    assert (await client.get("/v1/resources", headers=headers)).status_code == 401
    assert (await tenant.client.get("/v1/resources")).status_code == 200, "the user goes on"
    if end == "disabled":
        await accounts.set_state(operator.email, OperatorState.ACTIVE)
        assert (await client.get("/v1/resources", headers=headers)).status_code == 401


async def test_it_opens_no_route_of_operators_and_no_other_tenant(
    client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant, stranger: TestTenant
) -> None:
    created = await stranger.client.post("/v1/resources", json={"name": "theirs"})
    headers = bearer((await impersonate(operator, tenant)).json()["access_token"])
    assert (await client.get("/v1/operators/me", headers=headers)).status_code == 403
    body = {"email": tenant.login["email"], "reason": REASON}
    assert (await client.post(path_of(tenant), json=body, headers=headers)).status_code == 403
    assert (await client.get(created.headers["location"], headers=headers)).status_code == 404


async def test_a_forged_actor_is_refused(
    app: FastAPI, client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant
) -> None:
    """Without the key nothing can be added or taken away; with any other shape even our own is refused."""
    token = (await impersonate(operator, tenant)).json()["access_token"]
    header, payload, signature = token.split(".")
    claims = claims_of(token)

    def changed(**members: Any) -> str:
        document = json.dumps({**claims, **members}).encode()
        return f"{header}.{base64.urlsafe_b64encode(document).rstrip(b'=').decode()}.{signature}"

    without = {name: value for name, value in claims.items() if name != "act"}
    encoded = base64.urlsafe_b64encode(json.dumps(without).encode()).rstrip(b"=").decode()
    forged = [
        changed(act={"sub": str(uuid.uuid4()), "epoch": 1}),
        changed(exp=claims["exp"] + 3600),
        f"{header}.{encoded}.{signature}",
    ]
    inner = app.state.codec._codec
    subject = uuid.UUID(claims["sub"])
    for act in (
        None, "", "x", [], {}, 1, True,
        {"sub": str(operator.id)},
        {"sub": str(operator.id), "epoch": "1"},
        {"sub": str(operator.id), "epoch": 0},
        {"sub": operator.id.hex, "epoch": 1},
        {"sub": str(operator.id), "epoch": 1, "act": {"sub": str(uuid.uuid4())}},
        {"sub": str(operator.id), "epoch": 2},
        {"sub": str(uuid.uuid4()), "epoch": 1},
        {"sub": str(subject), "epoch": 1},
    ):  # fmt: skip
        members = {"tid": str(tenant.id), "role": "admin", "act": act}
        forged.append(inner.sign(subject, members, ttl=timedelta(minutes=5), now=None))
    assert payload
    for number, forgery in enumerate(forged):
        answer = await client.get("/v1/resources", headers=bearer(forgery))
        assert (number, answer.status_code) == (number, 401)


async def test_it_cannot_be_refreshed(
    client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant, database: Database
) -> None:
    async with database.tenant(tenant.schema) as session:
        before = await session.scalar(text("SELECT count(*) FROM refresh_tokens"))
    token = (await impersonate(operator, tenant)).json()["access_token"]
    for body in ({"refresh_token": token[:256]}, {"refresh_token": ""}):
        answer = await client.post("/v1/auth/refresh", json=body, headers=bearer(token))
        assert answer.status_code in {401, 422}
    async with database.tenant(tenant.schema) as session:
        assert await session.scalar(text("SELECT count(*) FROM refresh_tokens")) == before


async def test_no_row_in_the_tenants_trail_means_no_token(
    operator: TestOperator, tenant: TestTenant, database_urls: DatabaseURLs
) -> None:
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        await connection.execute(
            text(f"ALTER TABLE {tenant.schema}.audit_logs ADD CONSTRAINT away CHECK (false) NOT VALID")
        )
    await engine.dispose()
    answer = await impersonate(operator, tenant)
    assert answer.status_code == 500
    assert "access_token" not in answer.text


async def test_what_is_done_as_somebody_is_seen_as_such(
    app: FastAPI, client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant
) -> None:
    """Routes that change credentials refuse by `principal.actor_id`; it is there for exactly these calls."""
    token = (await impersonate(operator, tenant)).json()["access_token"]
    authenticate = app.state.authenticator.authenticate
    principal = await authenticate(Headers(bearer(token)), "203.0.113.7")
    assert (principal.actor_id, principal.kind) == (operator.id, "user")
    own = await authenticate(
        Headers({"Authorization": tenant.client.headers["Authorization"]}), "203.0.113.7"
    )
    assert (own.actor_id, own.subject) == (None, principal.subject)
