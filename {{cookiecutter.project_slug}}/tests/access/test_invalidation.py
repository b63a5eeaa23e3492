"""A change of a role or of somebody's role acts on the next request, in every process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.core.settings import Settings
from app.main import create_app
from tests.conftest import TestTenant, client_of
from tests.people import MakePerson, Person, allow, make_role

NOWHERE = SecretStr("redis://127.0.0.1:9")
ROLE = "/v1/roles"
READ, CREATE = allow("resources:read"), allow("resources:create")


@pytest.fixture
async def other_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """Another process of the service, on the same servers."""
    application = create_app(settings)
    async with application.router.lifespan_context(application):
        yield application


def as_seen_by(client: httpx.AsyncClient, who: httpx.AsyncClient) -> httpx.AsyncClient:
    """Use one client with another's credential."""
    client.headers["Authorization"] = who.headers["Authorization"]
    return client


async def may_create(client: httpx.AsyncClient) -> bool:
    answer = await client.post("/v1/resources", json={"name": "x"})
    assert answer.status_code in {201, 403}, answer.text
    return answer.status_code == 201


async def test_a_changed_role_acts_in_another_process_on_the_next_request(
    other_app: FastAPI, tenant: TestTenant, make_person: MakePerson
) -> None:
    role = await make_role(tenant, READ)
    person = await make_person(tenant, role=role)
    async with client_of(other_app) as anonymous:
        there = as_seen_by(anonymous, person.client)
        for rules, expected in (([READ], False), ([CREATE], True), ([READ], False), ([CREATE], True)):
            await tenant.client.patch(f"{ROLE}/{role}", json={"rules": rules})
            assert await may_create(there) is expected
            assert await may_create(person.client) is expected


async def test_another_role_of_a_person_acts_in_another_process_on_the_next_request(
    other_app: FastAPI, tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, role="read_only")
    async with client_of(other_app) as anonymous:
        there = as_seen_by(anonymous, person.client)
        for role, expected in (("read_only", False), ("developer", True), ("read_only", False)):
            await tenant.client.patch(person.path, json={"role": role})
            assert await may_create(there) is expected
        await tenant.client.patch(person.path, json={"state": "disabled"})
        assert (await there.get("/v1/resources")).status_code == 401


async def test_without_redis_it_acts_within_seconds(
    settings: Settings, tenant: TestTenant, make_person: MakePerson
) -> None:
    role = await make_role(tenant, READ, CREATE)
    losing: Person = await make_person(tenant, role=role)
    demoted: Person = await make_person(tenant, role=role)
    async with AsyncExitStack() as stack:
        apps = [create_app(settings.model_copy(update={"redis_url": NOWHERE})) for _ in range(2)]
        for application in apps:
            await stack.enter_async_context(application.router.lifespan_context(application))
        here, there, there_too = [
            await stack.enter_async_context(client_of(apps[number])) for number in (0, 1, 1)
        ]
        as_seen_by(here, tenant.client)
        people = [as_seen_by(there, losing.client), as_seen_by(there_too, demoted.client)]
        assert [await may_create(client) for client in people] == [True, True]
        assert (await here.patch(demoted.path, json={"role": "read_only"})).status_code == 200
        assert (await here.patch(f"{ROLE}/{role}", json={"rules": [READ]})).status_code == 200
        await asyncio.sleep(5.2)
        assert [await may_create(client) for client in people] == [False, False]
