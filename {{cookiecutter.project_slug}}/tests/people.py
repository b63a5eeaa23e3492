"""People of a tenant with a role of a test's choice, each with a client that is logged in."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.users import service
from tests.conftest import TestTenant, client_of

PASSWORD = "a password of tests"  # opens nothing elsewhere


@dataclass(frozen=True, slots=True)
class Person:
    id: uuid.UUID
    login: dict[str, str]
    client: httpx.AsyncClient

    @property
    def path(self) -> str:
        return f"/v1/users/{self.id}"


MakePerson = Callable[..., Awaitable[Person]]


async def make_role(tenant: TestTenant, *rules: dict[str, Any], name: str | None = None) -> str:
    """A role of these rules, made by the tenant's admin."""
    name = name or f"r_{uuid.uuid4().hex[:12]}"
    answer = await tenant.client.post("/v1/roles", json={"name": name, "rules": list(rules)})
    assert answer.status_code == 201, answer.text
    return name


def allow(permission: str, **condition: Any) -> dict[str, Any]:
    return _rule("allow", permission, condition)


def deny(permission: str, **condition: Any) -> dict[str, Any]:
    return _rule("deny", permission, condition)


def _rule(effect: str, permission: str, condition: dict[str, Any]) -> dict[str, Any]:
    return {"effect": effect, "permission": permission, **({"condition": condition} if condition else {})}


async def log_in(app: FastAPI, stack: AsyncExitStack, login: dict[str, str]) -> httpx.AsyncClient:
    client = await stack.enter_async_context(client_of(app))
    answer = await client.post("/v1/auth/login", json=login)
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


@pytest.fixture
async def make_person(app: FastAPI) -> AsyncIterator[MakePerson]:
    """A person with a role, or with one that is made of the given rules."""

    async def make(tenant: TestTenant, *rules: dict[str, Any], role: str | None = None) -> Person:
        role = role or await make_role(tenant, *rules)
        email = f"p-{uuid.uuid4().hex[:12]}@people.test"
        password_hash = await app.state.hasher.hash(PASSWORD)
        async with app.state.database.tenant(tenant.schema) as session:
            user = await service.create_user(session, email=email, role=role, password_hash=password_hash)
        login = {"tenant": tenant.credentials.tenant, "email": email, "password": PASSWORD}
        return Person(user.id, login, await log_in(app, stack, login))

    async with AsyncExitStack() as stack:
        yield make
