"""A request that is repeated with its `Idempotency-Key` is done once and answered the same."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.core.context import tenant_schema
from app.core.database import Database
from app.core.idempotency import HEADER, REPLAYED, SWEPT_AT_ONCE
from app.core.settings import Settings
from app.main import create_app
from tests.conftest import TestTenant, client_of

RESOURCES = "/v1/resources"


async def create(client: httpx.AsyncClient, key: str, name: str = "one", **headers: str) -> httpx.Response:
    return await client.post(RESOURCES, json={"name": name}, headers={HEADER: key, **headers})


async def count(client: httpx.AsyncClient) -> int:
    return len((await client.get(RESOURCES, params={"limit": 100})).json()["items"])


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].removeprefix("urn:problem-type:")


async def test_a_repeated_request_is_done_once_and_answered_the_same(tenant: TestTenant) -> None:
    key = str(uuid.uuid4())
    first = await create(tenant.client, key)
    assert (first.status_code, first.headers.get(REPLAYED)) == (201, None)
    for _ in range(2):
        again = await create(tenant.client, key)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers[REPLAYED] == "true"
        for name in ("location", "etag", "content-type"):
            assert again.headers[name] == first.headers[name]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await count(tenant.client) == 1


async def test_without_a_key_or_with_another_it_is_done_again(tenant: TestTenant) -> None:
    for _ in range(2):
        await tenant.client.post(RESOURCES, json={"name": "one"})
        await create(tenant.client, str(uuid.uuid4()))
    assert await count(tenant.client) == 4


async def test_a_key_is_of_one_request(tenant: TestTenant) -> None:
    await create(tenant.client, "mine-1")
    assert problem(await create(tenant.client, "mine-1", "two")) == (422, "idempotency-key-reused")
    elsewhere = await tenant.client.post(f"{RESOURCES}?x=1", json={"name": "one"}, headers={HEADER: "mine-1"})
    assert problem(elsewhere) == (422, "idempotency-key-reused")
    assert await count(tenant.client) == 1


async def test_a_key_is_of_one_principal_and_one_tenant(tenant: TestTenant, stranger: TestTenant) -> None:
    first = await create(tenant.client, "shared")
    async with httpx.AsyncClient(transport=tenant.client._transport, base_url="http://test") as program:
        program.headers["X-API-Key"] = tenant.credentials.api_key
        by_program = await create(program, "shared")
    theirs = await create(stranger.client, "shared")
    assert len({answer.json()["id"] for answer in (first, by_program, theirs)}) == 3
    assert [REPLAYED in answer.headers for answer in (by_program, theirs)] == [False, False]


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "é", "a\tb", "\x7f"])
async def test_what_is_no_key_is_400_and_nothing_is_done(tenant: TestTenant, key: str) -> None:
    headers = [(HEADER.encode(), key.encode("latin-1"))]
    answer = await tenant.client.post(RESOURCES, json={"name": "one"}, headers=headers)
    assert problem(answer) == (400, "invalid-idempotency-key")
    assert await count(tenant.client) == 0


async def test_a_refusal_is_judged_anew(tenant: TestTenant) -> None:
    refused = await create(tenant.client, "later", "")
    assert refused.status_code == 422
    assert (await create(tenant.client, "later")).status_code == 201


async def test_only_requests_that_create_are_repeatable(tenant: TestTenant) -> None:
    """PATCH and DELETE may be repeated as they are, with If-Match."""
    made = await tenant.client.post(RESOURCES, json={"name": "one"})
    for _ in range(2):
        changed = await tenant.client.patch(
            made.headers["location"], json={"name": "two"}, headers={HEADER: "patch"}
        )
        assert (changed.status_code, REPLAYED in changed.headers) == (200, False)


@pytest.fixture
async def neighbour(settings: Settings, tenant: TestTenant) -> AsyncIterator[httpx.AsyncClient]:
    """Another process, with the same credential."""
    service = create_app(settings)
    async with service.router.lifespan_context(service), client_of(service) as client:
        client.headers["Authorization"] = tenant.client.headers["Authorization"]
        yield client


async def test_of_those_at_once_one_is_done_and_the_others_hear_of_it(
    tenant: TestTenant, neighbour: httpx.AsyncClient
) -> None:
    answers = await asyncio.gather(
        *(create(client, "at-once") for client in (tenant.client, neighbour) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    waiting = [answer for answer in answers if answer.status_code == 409]
    assert {problem(answer)[1] for answer in waiting} <= {"idempotency-key-in-use"}
    assert {answer.headers["retry-after"] for answer in waiting} <= {"1"}
    assert await count(tenant.client) == 1


async def test_one_under_way_is_409_until_its_transaction_ends(
    app: FastAPI, tenant: TestTenant, neighbour: httpx.AsyncClient, database: Database
) -> None:
    """Held up by a lock on the table that it writes to."""
    async with database.tenant(tenant.schema) as session:
        await session.execute(text("LOCK TABLE resources IN SHARE MODE"))
        slow = asyncio.create_task(create(tenant.client, "slow"))
        await asyncio.sleep(0.3)
        assert problem(await create(neighbour, "slow")) == (409, "idempotency-key-in-use")
    first = await slow
    again = await create(neighbour, "slow")
    assert (again.json()["id"], again.headers[REPLAYED]) == (first.json()["id"], "true")


async def test_nothing_is_kept_of_what_was_not_committed(
    tenant: TestTenant, database: Database, database_urls: Any
) -> None:
    from app.core.database import owner_engine

    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                f"ALTER TABLE {tenant_schema(tenant.id)}.resources ADD CONSTRAINT away CHECK (name <> 'one')"
            )
        )
    await engine.dispose()
    assert (await create(tenant.client, "undone")).status_code == 500
    async with database.tenant(tenant.schema) as session:
        assert await session.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0


async def test_neither_the_key_nor_the_answer_can_be_read_in_the_database(
    tenant: TestTenant, database: Database
) -> None:
    await create(tenant.client, "key-of-mine", "answer-of-mine")
    async with database.tenant(tenant.schema) as session:
        row = (await session.execute(text("SELECT * FROM idempotency_keys"))).mappings().one()
        await session.execute(
            text("UPDATE idempotency_keys SET status = 200, sealed_body = sealed_body || 'x'")
        )
    shown = str(dict(row))
    assert "mine" not in shown
    assert json.dumps(row["headers"])
    assert (await create(tenant.client, "key-of-mine", "answer-of-mine")).status_code == 500


async def test_answers_are_forgotten_after_a_day(tenant: TestTenant, database: Database) -> None:
    for index in range(SWEPT_AT_ONCE + 5):
        await create(tenant.client, f"key-{index}")
    async with database.tenant(tenant.schema) as session:
        await session.execute(
            text("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'")
        )
    again = await create(tenant.client, "key-0")
    assert REPLAYED not in again.headers
    async with database.tenant(tenant.schema) as session:
        left = await session.scalar(text("SELECT count(*) FROM idempotency_keys"))
    assert left is not None
    assert left <= 6


async def test_who_lost_the_right_gets_no_answer_again(
    app: FastAPI, tenant: TestTenant, database: Database
) -> None:
    await create(tenant.client, "once")
    me = (await tenant.client.get("/v1/users/me")).json()
    async with database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE users SET role = 'read_only'"))
    await app.state.epochs.principal_changed(tenant.id, uuid.UUID(me["id"]))
    assert (await create(tenant.client, "once")).status_code == 403


def test_it_is_documented_where_it_works(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    named = {
        path
        for path, operations in paths.items()
        for parameter in operations.get("post", {}).get("parameters", [])
        if parameter["name"] == HEADER
    }
    assert RESOURCES in named
    assert not named & {"/v1/auth/login", "/v1/auth/refresh", "/v1/operators/login"}
