"""The default roles hold on every route, and a route that declares nothing is closed."""

import json
import uuid
from collections.abc import Iterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from app.access import (
    DEFAULT_ROLES,
    OPERATORS,
    PERSONAL,
    PUBLIC,
    GuardedRoute,
    declared_access,
    default_rules,
    requires,
)
from app.access.policies import compile_rules
from app.core.database import Database
from app.core.openapi import api_routes
from tests.conftest import TestTenant, client_of


def test_every_route_declares_its_access(app: FastAPI) -> None:
    routes = api_routes(app)
    assert len(routes) >= 13
    for route in routes:
        assert isinstance(route.original_route, GuardedRoute), route.path
        assert declared_access(route.endpoint) is not None, (
            f"{route.path} declares neither a permission nor public"
        )


def test_the_public_routes_are_known(app: FastAPI) -> None:
    assert {route.path for route in api_routes(app) if declared_access(route.endpoint) == "public"} == {
        "/v1/auth/login",
        "/v1/auth/refresh",
        "/v1/auth/logout",
        "/v1/operators/login",
        "/.well-known/jwks.json",
        "/health/live",
        "/health/ready",
    }


async def give_role(database: Database, tenant: TestTenant, role: str) -> None:
    """As if it had always been the admin's."""
    async with database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE users SET role = :role"), {"role": role})


@pytest.fixture
def undeclared(app: FastAPI) -> Iterator[FastAPI]:
    """Routes whose author forgot to declare anything, in both ways to forget it."""
    before = list(app.router.routes)
    guarded = APIRouter(route_class=GuardedRoute)
    guarded.add_api_route("/undeclared/guarded", lambda: "leaked")
    plain = APIRouter()
    plain.add_api_route("/undeclared/plain", lambda: "leaked")
    app.include_router(guarded)
    app.include_router(plain)
    yield app
    app.router.routes[:] = before


@pytest.mark.parametrize("path", ["/undeclared/guarded", "/undeclared/plain"])
async def test_a_route_without_a_declaration_is_403_even_for_an_admin(
    undeclared: FastAPI, tenant: TestTenant, path: str
) -> None:
    answer = await tenant.client.get(path)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:problem-type:forbidden")


def test_a_permission_has_two_words() -> None:
    for wrong in ("resources", "resources:*", "*:*", "a:b:c", ""):
        with pytest.raises(ValueError, match="not a permission"):
            requires(wrong)


@pytest.mark.parametrize("role", list(DEFAULT_ROLES))
async def test_the_roles_hold_on_every_route(
    app: FastAPI, tenant: TestTenant, database: Database, role: str
) -> None:
    """403 exactly where the role's rules say no; the body is not even read there."""
    await give_role(database, tenant, role)
    token = tenant.client.headers["Authorization"]
    policy = compile_rules(default_rules(role))
    async with client_of(app) as client:
        for route in api_routes(app):
            permission = declared_access(route.endpoint)
            if permission in {None, PUBLIC, OPERATORS, PERSONAL}:
                continue
            assert permission is not None
            path = (
                str(route.path)
                .replace("{resource_id}", str(uuid.uuid4()))
                .replace("{user_id}", str(uuid.uuid4()))
            )
            for method in route.methods or ():
                answer = await client.request(
                    method, path, headers={"Authorization": token}, content=b"{malformed"
                )
                assert (answer.status_code != 403) == policy.allows(permission), (role, method, path)
                if answer.status_code == 403:
                    assert answer.json()["permission"] == permission


async def test_the_role_of_a_token_is_not_believed(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    """It may have been signed before the person lost the role."""
    me = (await tenant.client.get("/v1/users/me")).json()
    await give_role(database, tenant, "read_only")
    await app.state.epochs.principal_changed(tenant.id, uuid.UUID(me["id"]))
    token = app.state.codec.issue(uuid.UUID(me["id"]), tenant.id, "admin", session_id=tenant.session_id)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/v1/resources", headers=headers)).status_code == 200
    answer = await client.post("/v1/resources", json={"name": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["permission"]) == (403, "resources:create")


async def test_a_key_is_narrowed_by_its_scopes(
    client: httpx.AsyncClient, tenant: TestTenant, database: Database
) -> None:
    async with database.tenant(tenant.schema) as session:
        await session.execute(
            text("UPDATE api_keys SET scopes = CAST(:scopes AS jsonb)"),
            {"scopes": json.dumps(["resources:read"])},
        )
    headers = {"X-API-Key": tenant.credentials.api_key}
    assert (await client.get("/v1/resources", headers=headers)).status_code == 200
    assert (await client.post("/v1/resources", json={"name": "x"}, headers=headers)).status_code == 403


async def test_a_stored_rule_that_is_not_understood_denies(
    app: FastAPI, tenant: TestTenant, database: Database
) -> None:
    async with database.tenant(tenant.schema) as session:
        await session.execute(text("""UPDATE rbac_policies SET rules = '["*:*"]'"""))
    app.state.policies._roles.evict(tenant.schema)
    assert (await tenant.client.get("/v1/resources")).status_code == 403


async def test_a_token_for_a_tenant_that_its_person_is_not_of_opens_nothing(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant
) -> None:
    created = await tenant.client.post("/v1/resources", json={"name": "mine"})
    me = (await tenant.client.get("/v1/users/me")).json()
    token = app.state.codec.issue(uuid.UUID(me["id"]), stranger.id, "admin", session_id=stranger.session_id)
    headers = {"Authorization": f"Bearer {token}"}
    for path in (created.headers["location"], "/v1/users/me"):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:problem-type:invalid-token")


async def test_a_token_for_a_tenant_that_does_not_exist_is_401(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    token = app.state.codec.issue(uuid.uuid4(), uuid.uuid4(), "admin", session_id=uuid.uuid4())
    answer = await client.get("/v1/resources", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
