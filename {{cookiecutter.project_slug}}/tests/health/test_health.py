"""Live says that the process runs, ready that it can work."""

import secrets
from urllib.parse import urlsplit

import httpx
import pytest
import structlog
from fastapi import FastAPI

from app.core.settings import Settings
from app.main import create_app
from tests.conftest import TestOperator, TestTenant, client_of

NOBODY = "127.0.0.1:9"  # The discard port: nothing listens there.


async def test_live_and_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "ok"}
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ok", "checks": {"database": "ok", "redis": "ok"}},
    )


async def readiness(app: FastAPI) -> httpx.Response:
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.get("/health/live")).status_code == 200
        return await client.get("/health/ready")


async def test_ready_names_the_dependency_that_is_away(settings: Settings) -> None:
    for change, failed in (
        ({"database_url": f"postgresql://x:y@{NOBODY}/z"}, "database"),
        ({"redis_url": f"redis://{NOBODY}"}, "redis"),
    ):
        answer = await readiness(create_app(reconfigured(settings, **change)))
        assert answer.status_code == 503
        assert {name for name, status in answer.json()["checks"].items() if status == "failed"} == {failed}


async def test_a_request_without_its_database_is_503_and_says_when_to_return(
    settings: Settings, app: FastAPI
) -> None:
    lonely = create_app(reconfigured(settings, database_url=f"postgresql://x:y@{NOBODY}/z"))
    async with lonely.router.lifespan_context(lonely), client_of(lonely) as client:
        body = {"tenant": "acme", "email": "a@b.test", "password": "x"}
        answer = await client.post("/v1/auth/login", json=body)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:problem-type:unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize("fault", ["nobody listens", "wrong password"])
async def test_a_gateway_without_its_database_is_503_without_a_traceback(
    settings: Settings, tenant: TestTenant, operator: TestOperator, fault: str
) -> None:
    """Who calls, and for which tenant, is asked of the database before any route is."""
    url = urlsplit(settings.runtime_urls["default"])
    where = f"{url.hostname}:{url.port}" if fault == "wrong password" else NOBODY
    away = reconfigured(settings, database_url=f"postgresql://{url.username}:wrong@{where}{url.path}")
    lonely = create_app(away.model_copy(update={"secret_key": settings.secret_key}))
    credentials = (
        {"Authorization": tenant.client.headers["Authorization"]},
        {"Authorization": operator.client.headers["Authorization"]},
        {"X-API-Key": tenant.credentials.api_key},
    )
    async with lonely.router.lifespan_context(lonely), client_of(lonely) as client:
        with structlog.testing.capture_logs() as lines:
            answers = [await client.get("/v1/resources", headers=headers) for headers in credentials]
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:problem-type:unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    events = [line["event"] for line in lines if line["event"] != "request"]
    assert events == ["dependency_unavailable"] * len(credentials)
    assert not any("exc_info" in line for line in lines)


def reconfigured(settings: Settings, **changes: str) -> Settings:
    values = settings.model_dump() | {"secret_key": secrets.token_hex(32)} | changes
    return Settings(_env_file=None, **values)
