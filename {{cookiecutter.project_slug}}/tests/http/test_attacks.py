"""What an attacker writes into a request is neither repeated, nor believed, nor logged as more than it is."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from app.core.openapi import api_routes
from app.core.settings import Settings
from app.main import create_app
from tests.conftest import TestTenant, client_of

EVIL = "evil.example"
ALWAYS = ("content-security-policy", "x-content-type-options", "referrer-policy", "cache-control")


@pytest.fixture
async def strict(settings: Settings) -> AsyncIterator[FastAPI]:
    """The service as a deployment has it: one host, one origin."""
    update = {"allowed_hosts": ("test",), "cors_origins": ("https://app.example.com",)}
    application = create_app(settings.model_copy(update=update))
    async with application.router.lifespan_context(application):
        yield application


@pytest.mark.parametrize("path", ["/health/live", "/nothing", "/v1/resources", "/docs", "/openapi.json"])
async def test_every_answer_carries_the_headers(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert [name for name in ALWAYS if name not in answer.headers] == []
    assert "server" not in answer.headers
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/v1/resources", "/docs", "/.well-known/jwks.json", "/v1/resources/"])
async def test_another_host_is_refused_and_not_repeated(strict: FastAPI, path: str) -> None:
    async with client_of(strict) as client:
        answer = await client.get(path, headers={"Host": EVIL})
        assert (answer.status_code, EVIL in answer.text + str(answer.headers)) == (421, False)
        forwarded = await client.get(path, headers={"X-Forwarded-Host": EVIL, "Forwarded": f"host={EVIL}"})
        assert EVIL not in forwarded.text + str(forwarded.headers)


@pytest.mark.parametrize(
    "host", ["", "a b", "test/x", "test@evil", "test:99999", "test\tx", "[::1", "te?st#"]
)
async def test_a_malformed_host_is_400(client: httpx.AsyncClient, host: str) -> None:
    answer = await client.get("/health/live", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_load_balancer_asks_for_health_by_address(strict: FastAPI) -> None:
    async with client_of(strict) as client:
        assert (await client.get("/health/live", headers={"Host": "10.0.1.7:8000"})).status_code == 200


async def test_a_page_of_ours_can_read_a_refusal_and_another_cannot(strict: FastAPI) -> None:
    async with client_of(strict) as client:
        ours = await client.get("/v1/nothing", headers={"Origin": "https://app.example.com"})
        assert ours.headers["access-control-allow-origin"] == "https://app.example.com"
        for origin in ("https://evil.example", "null", "https://app.example.com.evil.example"):
            theirs = await client.get("/v1/nothing", headers={"Origin": origin})
            assert "access-control-allow-origin" not in theirs.headers
            assert "access-control-allow-credentials" not in theirs.headers
        asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PATCH"}
        preflight = await client.options("/v1/resources", headers=asked)
        assert preflight.status_code == 200
        assert "ratelimit" not in preflight.headers


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("/" + "a" * 9000, {}, 414), ("/?" + "a=1&" * 2500, {}, 414), ("/", {"X-Big": "a" * 40_000}, 431)],
)
async def test_what_is_oversized_is_refused(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], status: int
) -> None:
    assert (await client.get(path, headers=headers)).status_code == status


async def test_a_method_is_what_was_sent(tenant: TestTenant) -> None:
    override = {"X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}
    created = await tenant.client.post("/v1/resources?_method=DELETE", json={"name": "x"}, headers=override)
    assert created.status_code == 201
    refused = await tenant.client.request("TRACE", created.headers["location"])
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, PATCH, DELETE")


def request_models(app: FastAPI) -> dict[str, type[BaseModel]]:
    fields = {
        (route.path, *sorted(route.methods or ())): route.original_route.body_field
        for route in api_routes(app)
    }  # type: ignore[attr-defined]
    return {str(path): field.field_info.annotation for path, field in fields.items() if field is not None}


def test_no_request_model_takes_a_member_that_it_does_not_name(settings: Settings) -> None:
    """Mass assignment: `role`, `owner_id`, `version` or `state` in any body is an error."""
    models = request_models(create_app(settings.model_copy(update={"sign_up_enabled": True})))
    assert len(models) >= 8
    for path, model in models.items():
        assert model.model_config.get("extra") == "forbid", path


@pytest.mark.parametrize("member", ["id", "owner_id", "version", "tenant_id", "state", "role", "created_at"])
async def test_a_member_of_the_services_own_changes_nothing(tenant: TestTenant, member: str) -> None:
    created = await tenant.client.post("/v1/resources", json={"name": "x"})
    path, extra = created.headers["location"], {"name": "y", member: "7"}
    for answer in (
        await tenant.client.patch(path, json=extra),
        await tenant.client.post("/v1/resources", json=extra),
    ):
        assert answer.status_code == 422
    assert (await tenant.client.get(path)).json() == created.json()


@pytest.mark.parametrize("path", ["/a%0d%0aSet-Cookie:x=1", "/%1b[31m%0a{}", "/a%00b", "/" + "z" * 5000])
async def test_a_log_line_stays_one_json_object(
    client: httpx.AsyncClient, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await client.get(path, headers={"X-Request-ID": "x\x1b[31m evil", "User-Agent": "\x1b[2J"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (404, False)
    lines: list[Any] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["status"] for line in lines if line["message"] == "request"] in ([404], [])
