"""Operators log in: one answer for every wrong credential, throttled, recorded, and out when disabled."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.auth.passwords import PasswordHasher
from app.core.database import Database
from app.core.settings import Settings
from app.operators.models import OperatorState
from app.operators.service import operator_accounts_from
from app.operators.tokens import OperatorTokenCodec
from tests.conftest import MakeOperator, TestOperator, TestTenant
from tests.work import counted_work

LOGIN = "/v1/operators/login"
ME = "/v1/operators/me"


async def actions_on(database: Database, target: uuid.UUID) -> list[Any]:
    async with database.platform() as session:
        query = text(
            "SELECT * FROM operator_actions WHERE target = :id OR operator_id = :oid ORDER BY sequence"
        )
        return list((await session.execute(query, {"id": str(target), "oid": target})).all())


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_anonymous_gets_401(client: httpx.AsyncClient) -> None:
    for path in (ME, "/v1/operators/actions"):
        assert (await client.get(path)).status_code == 401
    answer = await client.post(f"/v1/tenants/{uuid.uuid4()}/impersonations", json={})
    assert answer.status_code == 401


async def test_login_answers_as_promised(client: httpx.AsyncClient, operator: TestOperator) -> None:
    body = {"email": f" {operator.email.upper()} ", "password": operator.password}
    answer = await client.post(LOGIN, json=body)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}, "and no refresh token"
    assert 0 < answer.json()["expires_in"] <= 900
    assert answer.headers["cache-control"] == "no-store"
    me = await client.get(ME, headers=bearer(answer.json()["access_token"]))
    assert (me.status_code, me.json()["email"]) == (200, operator.email)
    assert me.json()["last_login_at"] is not None
    assert set(me.json()) == {"id", "email", "last_login_at", "created_at"}


@pytest.fixture
async def refused_logins(
    operator: TestOperator, make_operator: MakeOperator, tenant: TestTenant, settings: Settings
) -> list[tuple[str, str]]:
    """Wrong password, unknown operator, disabled operator, and somebody of a tenant."""
    disabled = await make_operator()
    await operator_accounts_from(settings).set_state(disabled.email, OperatorState.DISABLED)
    return [
        (operator.email, "wrong"),
        ("nobody@platform.test", operator.password),
        (disabled.email, disabled.password),
        (tenant.login["email"], tenant.login["password"]),
    ]


async def test_every_wrong_credential_gets_the_same_answer_after_the_same_work(
    client: httpx.AsyncClient, refused_logins: list[tuple[str, str]]
) -> None:
    """Counted, not timed: one bcrypt and as many round trips each, so that the clock tells nothing."""
    documents, works = [], []
    for email, password in refused_logins:
        with counted_work() as work:
            answer = await client.post(LOGIN, json={"email": email, "password": password})
        assert answer.status_code == 401
        documents.append({name: value for name, value in answer.json().items() if name != "correlation_id"})
        works.append(work)
    assert all(document == documents[0] for document in documents)
    assert documents[0]["type"] == "urn:problem-type:invalid-credentials"
    assert works[0].trips.count("bcrypt") == 1
    assert all(each == works[0] for each in works)


async def test_logins_and_refused_ones_are_in_the_trail(
    client: httpx.AsyncClient, operator: TestOperator, database: Database
) -> None:
    await client.post(
        LOGIN, json={"email": operator.email, "password": "wrong"}, headers={"X-Request-ID": "guess-0001"}
    )
    created, logged_in, refused = await actions_on(database, operator.id)
    assert (created.actor_kind, created.action) == ("system", "operators:create")
    assert (logged_in.actor_kind, logged_in.operator_id) == ("operator", operator.id)
    assert logged_in.action == "operators:log_in"
    assert (refused.actor_kind, refused.operator_id) == ("system", None), "nobody proved to be anybody"
    assert (refused.action, refused.correlation_id) == ("operators:refuse_login", "guess-0001")


async def test_no_secret_gets_into_the_trail(
    client: httpx.AsyncClient, operator: TestOperator, database: Database
) -> None:
    """Not even a password that was typed into the field for the email."""
    await client.post(LOGIN, json={"email": operator.password, "password": "swordfish-swordfish"})
    async with database.platform() as session:
        rows = (await session.execute(text("SELECT t::text FROM operator_actions t"))).scalars().all()
    written = "".join(rows)
    assert "operators:refuse_login" in written
    for secret in (operator.password, operator.password.lower(), "swordfish", operator.token):
        assert secret not in written


@pytest.mark.parametrize(
    "change",
    [
        {"email": "nul\x00@platform.test"},
        {"email": 5},
        {"password": ""},
        {"password": "x" * 300},
        {"tenant": "a"},
    ],
)
async def test_a_malformed_login_is_422_and_does_not_repeat_the_password(
    client: httpx.AsyncClient, operator: TestOperator, change: dict[str, Any]
) -> None:
    answer = await client.post(LOGIN, json={"email": operator.email, "password": operator.password, **change})
    assert answer.status_code == 422
    assert operator.password not in answer.text


async def test_guessing_is_throttled_by_address(client: httpx.AsyncClient, operator: TestOperator) -> None:
    wrong = {"email": operator.email, "password": "wrong"}
    headers = bearer(operator.token)  # A token of one's own buys no more guesses.
    statuses = [(await client.post(LOGIN, json=wrong, headers=headers)).status_code for _ in range(34)]
    assert statuses[:30] == [401] * 30
    assert 429 in statuses[30:]
    assert (await operator.client.get(ME)).status_code == 200


async def test_operators_are_charged_to_a_bucket_of_their_own(
    operator: TestOperator, app: FastAPI, database: Database
) -> None:
    answer = await operator.client.get(ME)
    assert answer.headers["ratelimit-policy"].startswith('"operator";')
    await app.state.recorder.flush()
    async with database.platform() as session:
        query = text("SELECT count(*) FROM usage_metrics WHERE subject = :id")
        assert await session.scalar(query, {"id": operator.id}) == 0


async def test_a_disabled_operator_is_out_on_the_next_request(
    client: httpx.AsyncClient, operator: TestOperator, settings: Settings
) -> None:
    accounts = operator_accounts_from(settings)
    assert (await operator.client.get(ME)).status_code == 200
    await accounts.set_state(operator.email, OperatorState.DISABLED)
    answer = await operator.client.get(ME)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:problem-type:invalid-token")
    await accounts.set_state(operator.email, OperatorState.ACTIVE)
    assert (await operator.client.get(ME)).status_code == 401, (
        "a token from before does not come back to life"
    )
    body = {"email": operator.email, "password": operator.password}
    assert (await client.post(LOGIN, json=body)).status_code == 200


async def test_a_new_password_ends_the_tokens_that_are_out(
    client: httpx.AsyncClient, operator: TestOperator, settings: Settings
) -> None:
    await operator_accounts_from(settings).reset_password(operator.email, "another long password")
    assert (await operator.client.get(ME)).status_code == 401
    body = {"email": operator.email, "password": operator.password}
    assert (await client.post(LOGIN, json=body)).status_code == 401
    body["password"] = "another long password"
    assert (await client.post(LOGIN, json=body)).status_code == 200


async def test_one_who_is_disabled_while_the_password_is_checked_does_not_get_in(
    client: httpx.AsyncClient, operator: TestOperator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = PasswordHasher.verify

    async def slow(self: PasswordHasher, password: str, stored: str | None) -> Any:
        result = await verify(self, password, stored)
        await operator_accounts_from(settings).set_state(operator.email, OperatorState.DISABLED)
        return result

    monkeypatch.setattr(PasswordHasher, "verify", slow)
    body = {"email": operator.email, "password": operator.password}
    assert (await client.post(LOGIN, json=body)).status_code == 401


async def test_each_request_asks_the_database_once(operator: TestOperator) -> None:
    await operator.client.get(ME)
    with counted_work() as work:
        answers = await asyncio.gather(*(operator.client.get("/v1/resources") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {403}
    assert len(work.queries) == 5
    assert all("platform.operators" in query for query in work.queries)


async def test_an_expired_token_says_to_log_in_again(app: FastAPI, operator: TestOperator) -> None:
    codec: OperatorTokenCodec = app.state.operator_sessions._codec
    stale = codec.issue(operator.id, 1, now=datetime.now(UTC) - timedelta(hours=1))
    answer = await operator.client.get(ME, headers=bearer(stale))
    assert (answer.status_code, answer.json()["detail"]) == (401, "It has expired; log in again.")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO operators (id, email, password_hash) VALUES (gen_random_uuid(), 'm@x.test', 'x')",
        "UPDATE operators SET password_hash = 'x'",
        "UPDATE operators SET state = 'active'",
        "UPDATE operators SET epoch = 1",
        "UPDATE operators SET email = 'm@x.test'",
        "DELETE FROM operators",
        "UPDATE operator_actions SET action = 'x:y'",
        "DELETE FROM operator_actions",
        "TRUNCATE operator_actions",
    ],
)
async def test_the_runtime_login_can_neither_make_operators_nor_rewrite_the_trail(
    database: Database, statement: str
) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.platform() as session:
            await session.execute(text(statement))


@pytest.mark.parametrize("table", ["operators", "operator_actions"])
async def test_a_tenant_cannot_reach_operators_by_a_qualified_name(
    database: Database, tenant: TestTenant, table: str
) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.tenant(tenant.schema) as session:
            await session.execute(text(f"SELECT * FROM platform.{table}"))
