"""No change goes unrecorded: what a route forgets to record is rolled back, and no route lacks that net."""

import ast
import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import text

from app.access import OPERATORS, PUBLIC, GuardedRoute, declared_access, requires
from app.audit.chain import verify
from app.audit.dependencies import CurrentTrail
from app.audit.models import AuditLog
from app.core.dependencies import SAFE_METHODS, TenantSession, tenant_session
from app.core.openapi import api_routes
from app.core.settings import Settings
from app.main import create_app
from tests.conftest import TestTenant
from tests.test_architecture import APP
from tests.work import counted_work

RESOURCES = "/v1/resources"
RENAME = text("UPDATE resources SET name = 'changed'")

# Anybody may call these, so no tenant's session is opened for them; they record in one of their own.
PUBLIC_CHANGES = {
    "POST /v1/auth/login": "the session begins in the service, which records it",
    "POST /v1/auth/refresh": "a session goes on as it was recorded; a stolen token ends it",
    "POST /v1/auth/logout": "the session ends in the service, which records it",
    "POST /v1/operators/login": "is in the trail of the platform",
    "POST /v1/sign-up": "makes the tenant; is in the trail of the platform",
}
# Routes for tenants that change something in another session than TenantSession, and record it there.
OTHER_SESSIONS = {"POST /v1/auth/password": "holds no connection while it hashes"}


@contextmanager
def serving(app: FastAPI, endpoint: Callable[..., Any], method: str) -> Iterator[str]:
    before = list(app.router.routes)
    app.router.routes.append(GuardedRoute("/forgetful", endpoint, methods=[method], status_code=204))
    yield "/forgetful"
    app.router.routes[:] = before


async def names(app: FastAPI, tenant: TestTenant) -> list[str]:
    async with app.state.database.tenant(tenant.schema) as session:
        return list(await session.scalars(text("SELECT name FROM resources")))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_what_was_not_recorded_is_rolled_back(app: FastAPI, tenant: TestTenant, method: str) -> None:
    await tenant.client.post(RESOURCES, json={"name": "as it was"})

    @requires("resources:update")
    async def forgetful(session: TenantSession) -> None:
        await session.execute(RENAME)

    with serving(app, forgetful, method) as path:
        answer = await tenant.client.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:problem-type:internal-error")
    assert await names(app, tenant) == ["as it was"]


async def test_what_was_recorded_is_kept(app: FastAPI, tenant: TestTenant) -> None:
    await tenant.client.post(RESOURCES, json={"name": "as it was"})

    @requires("resources:update")
    async def careful(session: TenantSession, trail: CurrentTrail) -> None:
        await session.execute(RENAME)
        await trail.record(session, "resources.rename", target_kind="resource")

    with serving(app, careful, "POST") as path:
        assert (await tenant.client.post(path)).status_code == 204
    assert await names(app, tenant) == ["changed"]


async def test_a_route_may_say_that_it_changed_nothing(app: FastAPI, tenant: TestTenant) -> None:
    @requires("resources:read")
    async def explain(session: TenantSession, trail: CurrentTrail) -> None:
        trail.nothing_changed(session)

    with serving(app, explain, "POST") as path:
        assert (await tenant.client.post(path)).status_code == 204


async def test_a_change_whose_record_cannot_be_written_does_not_happen(
    app: FastAPI, tenant: TestTenant
) -> None:
    created = await tenant.client.post(RESOURCES, json={"name": "as it was"})
    url = f"{RESOURCES}/{created.json()['id']}"
    async with app.state.owners.registry.begin() as connection:
        table = f"{tenant.schema}.audit_logs"
        await connection.execute(text(f"ALTER TABLE {table} ADD CONSTRAINT away CHECK (false) NOT VALID"))
    for method, path in (("POST", RESOURCES), ("PATCH", url), ("DELETE", url)):
        body = None if method == "DELETE" else {"name": "changed"}
        assert (await tenant.client.request(method, path, json=body)).status_code == 500
    assert await names(app, tenant) == ["as it was"]


def changes(app: FastAPI, *, public: bool) -> dict[str, APIRoute]:
    """The routes of unsafe methods that anybody may call, or a tenant's principals."""
    found = {}
    for route in api_routes(app):
        access = declared_access(route.endpoint)
        if access == OPERATORS or (access == PUBLIC) != public:
            continue
        for method in sorted(set(route.methods or ()) - SAFE_METHODS):
            found[f"{method} {route.path}"] = route.original_route
    return found


def sessions_of(dependant: Dependant) -> int:
    here = sum(each.call is tenant_session for each in dependant.dependencies)
    return here + sum(map(sessions_of, dependant.dependencies))


def test_every_change_is_made_in_the_session_that_must_be_recorded(settings: Settings) -> None:
    routes = changes(create_app(settings), public=False)
    assert len(routes) >= 3
    without = {name for name, route in routes.items() if not sessions_of(route.dependant)}
    assert without == OTHER_SESSIONS.keys()


def test_what_anybody_may_change_is_listed_with_how_it_is_recorded(settings: Settings) -> None:
    open_app = create_app(settings.model_copy(update={"sign_up_enabled": True}))
    assert changes(open_app, public=True).keys() == PUBLIC_CHANGES.keys()


def test_no_feature_lists_a_secret_among_what_it_records() -> None:
    """The lists are explicit; this sees a slip."""
    listed: dict[str, set[str]] = {}
    for module in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            target = getattr(node, "target", None) or (getattr(node, "targets", None) or [None])[0]
            if isinstance(target, ast.Name) and target.id.startswith("AUDITED"):
                named = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                listed[str(module.relative_to(APP))] = {str(name) for name in named}
    assert listed["resources/service.py"] == {"name", "data", "owner_id"}
    for module, fields in listed.items():
        for word in ("hash", "password", "secret", "token"):
            assert not any(word in name for name in fields), f"{module} records a {word}"


async def test_a_change_costs_one_statement_more(tenant: TestTenant) -> None:
    created = await tenant.client.post(RESOURCES, json={"name": "x"})
    url = f"{RESOURCES}/{created.json()['id']}"
    await tenant.client.patch(url, json={"name": "y"})
    trips = {}
    for method, path in (("POST", RESOURCES), ("PATCH", url), ("DELETE", url)):
        body = None if method == "DELETE" else {"name": "z"}
        with counted_work() as work:
            assert (await tenant.client.request(method, path, json=body)).is_success
        trips[method] = work.trips
    assert trips == {
        "POST": ["redis", "BEGIN", "INSERT", "INSERT", "COMMIT"],
        "PATCH": ["redis", "BEGIN", "SELECT", "UPDATE", "INSERT", "COMMIT"],
        "DELETE": ["redis", "BEGIN", "DELETE", "INSERT", "COMMIT"],
    }


async def test_many_requests_at_once_are_each_recorded_once(app: FastAPI, tenant: TestTenant) -> None:
    answers = await asyncio.gather(
        *(tenant.client.post(RESOURCES, json={"name": f"r{number}"}) for number in range(60))
    )
    assert {answer.status_code for answer in answers} == {201}
    async with app.state.database.tenant(tenant.schema) as session:
        await verify(session, AuditLog)
        recorded = await session.scalars(
            text("SELECT details -> 'after' ->> 'name' FROM audit_logs WHERE action = 'resources.create'")
        )
        assert sorted(recorded) == sorted(f"r{number}" for number in range(60))


async def test_what_is_told_as_before_is_what_the_change_replaced(app: FastAPI, tenant: TestTenant) -> None:
    """Also between changes of one resource at once."""
    created = await tenant.client.post(RESOURCES, json={"name": "n"})
    url = f"{RESOURCES}/{created.json()['id']}"
    await asyncio.gather(*(tenant.client.patch(url, json={"name": f"n{number}"}) for number in range(20)))
    async with app.state.database.tenant(tenant.schema) as session:
        rows = await session.scalars(
            text("SELECT details FROM audit_logs WHERE action = 'resources.update' ORDER BY sequence")
        )
        told = [(row["before"]["name"], row["after"]["name"]) for row in rows]
    assert len(told) == 20
    assert [before for before, _ in told] == ["n", *(after for _, after in told[:-1])]
