"""Makes API keys over HTTP, and clients that call with them."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from app.auth.api_key_format import generate, parse
from app.core.database import Database
from tests.conftest import TestTenant, client_of

KEYS = "/v1/api-keys"


def slug(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem_type: str = answer.json()["type"]
    return problem_type.removeprefix("urn:problem-type:")


async def make_key(client: httpx.AsyncClient, role: str = "admin", **change: Any) -> dict[str, Any]:
    answer = await client.post(KEYS, json={"name": "import", "role": role, **change})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def make_role(database: Database, tenant: TestTenant, name: str, *allow: str, deny: str = "") -> str:
    rules = [{"effect": "allow", "permission": permission} for permission in allow]
    rules += [{"effect": "deny", "permission": deny}] if deny else []
    async with database.tenant(tenant.schema) as session:
        await session.execute(
            text(
                "INSERT INTO rbac_policies (id, name, rules)"
                " VALUES (gen_random_uuid(), :name, CAST(:rules AS jsonb))"
            ),
            {"name": name, "rules": json.dumps(rules)},
        )
    return name


@asynccontextmanager
async def holder_of(app: FastAPI, key: str | dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A client with an address of its own that sends a key."""
    async with client_of(app) as client:
        client.headers["X-API-Key"] = key if isinstance(key, str) else key["api_key"]
        yield client


async def status_of(app: FastAPI, key: str | dict[str, Any], path: str = "/v1/resources") -> int:
    async with holder_of(app, key) as client:
        return (await client.get(path)).status_code


def another_secret(key: str) -> str:
    """A well-formed key with the ids of this one."""
    brand = key.partition("_")[0]
    parsed = parse(key, brand)
    return generate(brand, live=False, tenant_id=parsed.tenant_id, key_id=parsed.key_id).plaintext
