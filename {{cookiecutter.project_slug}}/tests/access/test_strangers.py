"""Another tenant's ids open nothing: every route that takes one is tried with those of somebody else."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.access import OPERATORS, PUBLIC, declared_access
from app.core.database import Database
from app.core.openapi import api_routes
from tests.conftest import TestTenant

FindId = Callable[[TestTenant], Awaitable[str]]


async def resource(tenant: TestTenant) -> str:
    answer = await tenant.client.post("/v1/resources", json={"name": "mine"})
    return str(answer.json()["id"])


async def person(tenant: TestTenant) -> str:
    return str((await tenant.client.get("/v1/users/me")).json()["id"])


async def user_session(tenant: TestTenant) -> str:
    return str(tenant.session_id)


async def entry(tenant: TestTenant) -> str:
    """One that the stranger's trail does not have: entries are numbered in each from 1."""
    for _ in range(3):
        await resource(tenant)
    newest = (await tenant.client.get("/v1/audit")).json()["items"][0]
    return str(newest["sequence"])


async def role(tenant: TestTenant) -> str:
    name = f"mine_{uuid.uuid4().hex[:8]}"
    assert (await tenant.client.post("/v1/roles", json={"name": name, "rules": []})).status_code == 201
    return name


async def api_key(tenant: TestTenant) -> str:
    answer = await tenant.client.post("/v1/api-keys", json={"name": "mine", "role": "read_only"})
    return str(answer.json()["id"])


# What a path may name, and how the tenant whose it is gets at one.
IDS: dict[str, FindId] = {
    "key_id": api_key,
    "name": role,
    "resource_id": resource,
    "sequence": entry,
    "session_id": user_session,
    "user_id": person,
}


def bodies(app: FastAPI) -> dict[tuple[str, str], Any]:
    """The documented example of each request's body."""
    document = app.openapi()
    found = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if name:
                schema = document["components"]["schemas"][name]
                found[method.upper(), path] = schema.get("example")
    return found


def routes_with_ids(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method, str(route.path))
        for route in api_routes(app)
        for method in sorted(route.methods or ())
        if "{" in str(route.path) and declared_access(route.endpoint) not in {PUBLIC, OPERATORS}
    ]


async def rows(database: Database, tenant: TestTenant) -> list[Any]:
    """Everything a tenant has but what reading may change: who logged in when, and the trail."""
    async with database.tenant(tenant.schema) as session:
        names = await session.scalars(
            text(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
                " AND tablename NOT IN ('alembic_version', 'audit_logs')"
            )
        )
        return [
            sorted((await session.scalars(text(f"SELECT row_to_json(r)::text FROM {name} r"))).all())
            for name in sorted(names)
        ]


async def test_every_route_with_an_id_is_404_for_a_stranger_and_leaves_everything(
    app: FastAPI, tenant: TestTenant, stranger: TestTenant, database: Database
) -> None:
    examples = bodies(app)
    routes = routes_with_ids(app)
    assert len(routes) >= 5
    ids = {name: await find(tenant) for name, find in IDS.items()}
    before = await rows(database, tenant)
    for method, path in routes:
        body = examples.get((method, path))
        assert body or (method, path) not in examples, f"{method} {path}: its body needs an example"
        answer = await ask(stranger.client, method, path.format(**ids), body)
        assert answer.status_code == 404, (method, path, answer.text)
        assert answer.json()["type"].endswith("not-found"), answer.text
    assert await rows(database, tenant) == before
    # The same ids work for whom they belong to: it was they that were refused.
    for path in [path for method, path in routes if method == "GET"]:
        assert (await ask(tenant.client, "GET", path.format(**ids), None)).status_code == 200, path


async def test_every_route_with_an_id_is_401_for_nobody(app: FastAPI, client: httpx.AsyncClient) -> None:
    for method, path in routes_with_ids(app):
        answer = await ask(client, method, path.format(**dict.fromkeys(IDS, str(uuid.uuid4()))), None)
        assert answer.status_code == 401, (method, path)


async def ask(client: httpx.AsyncClient, method: str, path: str, body: Any) -> httpx.Response:
    return await client.request(method, path, json=body)


@pytest.mark.parametrize("wrong", ["..%2f..", "%00", "0", "{}", "' OR 1=1 --", "9" * 500])
async def test_what_is_no_id_is_refused(app: FastAPI, tenant: TestTenant, wrong: str) -> None:
    for method, path in routes_with_ids(app):
        for name in IDS:
            if f"{{{name}}}" in path:
                answer = await ask(tenant.client, method, path.replace(f"{{{name}}}", wrong), None)
                assert answer.status_code in {400, 404, 405, 422}, (method, path, answer.text)
