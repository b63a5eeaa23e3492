"""The gateway as a client sees it: order, correlation, limits, metering, body size, and its logs."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import text
from starlette.types import Message, Receive, Scope, Send

from app import gateway
from app.access import public
from app.access.requirements import GuardedRoute
from app.core.context import Principal
from app.core.database import Database
from app.core.logging import REDACTED, redact
from app.gateway.authenticate import Authenticate
from app.gateway.body_limit import BodyLimit
from app.gateway.client_address import client_address
from app.gateway.cors import Cors
from app.gateway.header_limit import HeaderLimit
from app.gateway.meter import Meter
from app.gateway.rate_limit import RateLimit
from app.gateway.request_log import RequestLog
from app.gateway.security_headers import SecurityHeaders
from app.gateway.tenant_context import TenantContext
from app.gateway.trusted_hosts import TrustedHosts
from app.tenants.models import Plan
from tests.conftest import MakeTenant, TestTenant
from tests.work import counted_work


def test_the_order_is_the_documented_one() -> None:
    """Who may call is known before they are counted, and counted before anything is metered or read."""
    refused_unread = (RequestLog, HeaderLimit, TrustedHosts)
    called_counted = (Authenticate, TenantContext, RateLimit, Meter, BodyLimit)
    assert (SecurityHeaders, Cors, *refused_unread, *called_counted) == gateway.ORDER


@pytest.fixture
def broken(app: FastAPI) -> Iterator[str]:
    """A route with a fault of its own."""
    before = list(app.router.routes)

    @public
    def fail() -> None:
        raise RuntimeError("the secret is swordfish")

    app.router.routes.append(GuardedRoute("/broken", fail))
    yield "/broken"
    app.router.routes[:] = before


async def test_a_fault_is_a_500_problem_without_internals(client: httpx.AsyncClient, broken: str) -> None:
    answer = await client.get(broken)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["correlation_id"] == answer.headers["x-request-id"]
    assert "swordfish" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("sent", ["abcdefgh", "a-b_c.d-12345678", "A" * 64])
async def test_a_good_request_id_is_kept(client: httpx.AsyncClient, sent: str) -> None:
    answer = await client.get("/health/live", headers={"X-Request-ID": sent})
    assert answer.headers["x-request-id"] == sent


@pytest.mark.parametrize(
    "sent", [b"short", b"A" * 65, b"a b c d e f", b'"}{"x":"y', b"\xff" * 10, b"a\tbcdefgh"]
)
async def test_a_bad_request_id_is_replaced(client: httpx.AsyncClient, sent: bytes) -> None:
    answer = await client.get("/health/live", headers={b"X-Request-ID": sent})
    assert uuid.UUID(hex=answer.headers["x-request-id"])


async def test_one_line_per_request_with_facts_and_no_secrets(
    client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await tenant.client.post("/v1/resources?api_key=hunter2", json={"name": "swordfish"})
        await client.post("/v1/auth/login", json={**tenant.login, "password": "swordfish"})
        await client.get("/evil%0A%7Binjected%7D", headers={"Authorization": "Bearer swordfish"})
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["path"], line["status"]) for line in requests][:2] == [
        ("/v1/resources", 201),
        ("/v1/auth/login", 401),
    ]
    assert requests[0]["tenant"] == tenant.login["tenant"]
    assert requests[0]["correlation_id"]
    written = json.dumps(lines)
    for secret in ("swordfish", "hunter2", tenant.client.headers["Authorization"]):
        assert secret not in written
    assert all("\n" not in json.dumps(line) for line in lines)


def test_secrets_are_redacted_by_name_and_in_urls() -> None:
    event = {
        "event": "x",
        "password": "a",
        "X-API-Key": "b",
        "nested": {"refresh_token": "c", "list": [{"authorization": "d"}]},
        "url": "postgresql://app:e@db/app",
        "count": 3,
    }
    cleaned = redact(None, "info", event)
    assert cleaned["password"] == cleaned["X-API-Key"] == REDACTED
    assert cleaned["nested"] == {"refresh_token": REDACTED, "list": [{"authorization": REDACTED}]}
    assert cleaned["url"] == f"postgresql://app:{REDACTED}@db/app"
    assert cleaned["count"] == 3


async def test_limits_are_announced_and_enforced(make_tenant: MakeTenant) -> None:
    tenant = await make_tenant(Plan.FREE)
    answer = await tenant.client.get("/v1/resources")
    assert '"tenant";q=100;w=60' in answer.headers["ratelimit-policy"]
    assert '"tenant";r=99;t=' in answer.headers["ratelimit"]
    assert answer.headers["x-ratelimit-limit"] == "100"
    answers = [await tenant.client.get("/v1/resources") for _ in range(110)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 0 < len(refused) <= 11
    last = refused[-1]
    assert last.json()["type"] == "urn:problem-type:rate-limited"
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert last.headers["x-ratelimit-remaining"] == "0"
    assert (await tenant.client.get("/health/live")).status_code == 200


async def test_guessing_passwords_is_throttled_by_address(
    client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    statuses = []
    for number in range(34):
        # One attempt for each account: those of one account are throttled by themselves.
        wrong = {**tenant.login, "email": f"nobody-{number}@acme.test", "password": "wrong"}
        statuses.append((await client.post("/v1/auth/login", json=wrong)).status_code)
    assert statuses[:30] == [401] * 30
    assert 429 in statuses[30:]
    assert (await tenant.client.get("/v1/resources")).status_code == 200


@pytest.mark.parametrize(
    ("forwarded", "trusted", "expected"),
    [
        (None, 0, "10.9.9.9"),
        ("1.1.1.1", 0, "10.9.9.9"),
        ("1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1", 1, "1.1.1.1"),
        ("6.6.6.6, 1.1.1.1, 2.2.2.2", 2, "1.1.1.1"),
        ("1.1.1.1", 2, "10.9.9.9"),
        (None, 1, "10.9.9.9"),
        ("", 1, "10.9.9.9"),
    ],
)
def test_an_address_is_believed_from_our_own_proxies_only(
    forwarded: str | None, trusted: int, expected: str
) -> None:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    assert client_address({"headers": headers, "client": ("10.9.9.9", 1)}, trusted) == expected


async def usage(app: FastAPI, database: Database, tenant: TestTenant) -> list[Any]:
    await app.state.recorder.flush()
    async with database.platform() as session:
        query = text("SELECT * FROM usage_metrics WHERE tenant_id = :id ORDER BY id")
        return list((await session.execute(query, {"id": tenant.id})).all())


async def test_every_request_of_a_tenant_is_metered(
    app: FastAPI, database: Database, tenant: TestTenant
) -> None:
    created = await tenant.client.post("/v1/resources", json={"name": "x"})
    missing = await tenant.client.get(f"/v1/resources/{uuid.uuid4()}")
    rows = await usage(app, database, tenant)
    assert [(row.method, row.route, row.status) for row in rows] == [
        ("POST", "/v1/resources", 201),
        ("GET", "/v1/resources/{resource_id}", 404),
    ]
    assert (rows[0].request_bytes, rows[0].response_bytes) == (
        len(created.request.content),
        len(created.content),
    )
    assert rows[1].response_bytes == len(missing.content)
    assert all(row.duration_us > 0 for row in rows)


class Recorder:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def record(self, event: Any) -> None:
        self.events.append(event)


async def test_a_client_that_leaves_is_metered_as_499(tenant: TestTenant) -> None:
    recorder = Recorder()

    async def hang(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(60)

    principal = Principal(tenant_id=tenant.id, subject=uuid.uuid4(), kind="user", role="admin")
    state = {"tenant": tenant, "principal": principal}
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": state}

    async def nothing(_message: Message | None = None) -> Any:
        await asyncio.sleep(60)

    task = asyncio.create_task(Meter(hang, recorder=recorder)(scope, nothing, nothing))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [event.status for event in recorder.events] == [499]


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"0x10", b"9" * 30, "１２".encode()])
async def test_a_strange_content_length_is_refused(length: bytes) -> None:
    sent: list[Message] = []

    async def application(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("reached the application")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", length)]}
    await BodyLimit(application, max_bytes=100)(scope, receive, send)
    assert sent[0]["status"] in {400, 413}


async def test_nothing_beyond_the_limit_reaches_the_application() -> None:
    read = 0
    sent: list[Message] = []

    async def application(_scope: Scope, receive: Receive, _send: Send) -> None:
        nonlocal read
        while True:
            message = await receive()
            read += len(message["body"])

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 40, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await BodyLimit(application, max_bytes=100)(scope, receive, send)
    assert read == 80
    assert sent[0]["status"] == 413


async def test_websockets_are_closed(app: FastAPI) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    wrapped = gateway.install(
        app,
        settings=app.state.settings,
        authenticator=app.state.authenticator,
        registry=app.state.registry,
        limiter=app.state.limiter,
        recorder=app.state.recorder,
    )
    await wrapped({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_a_warm_read_costs_three_round_trips_to_postgresql_and_one_to_redis(
    tenant: TestTenant,
) -> None:
    created = await tenant.client.post("/v1/resources", json={"name": "x"})
    for _ in range(3):
        await tenant.client.get(created.headers["location"])
    with counted_work() as work:
        answer = await tenant.client.get(created.headers["location"])
    assert answer.status_code == 200
    assert work.trips == ["redis", "BEGIN", "SELECT", "COMMIT"]
