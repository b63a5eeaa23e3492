"""The default roles hold on every route, and a route that declares nothing is closed."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from jose import jwt
from sqlalchemy import text

from app.access import (
    DEFAULT_ROLES,
    OPERATORS,
    PERSONAL,
    PUBLIC,
    GuardedRoute,
    compile_rules,
    declared_access,
    default_rules,
    requires,
)
from app.access.policies import PERMISSION_PATTERN
from app.core.database import Database
from app.core.openapi import api_routes
from tests.conftest import TestTenant
from tests.people import MakePerson, deny


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


def tenant_requests(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """Permission or `personal`, method and path of every route for tenants, with ids of nobody in it."""
    for route in api_routes(app):
        access = declared_access(route.endpoint)
        assert access is not None
        if access not in {PUBLIC, OPERATORS}:
            path = re.sub(r"\{name\}", "nobody", str(route.path))
            path = re.sub(r"\{[a-z_]+\}", lambda _: str(uuid.uuid4()), path)
            yield from ((access, method, path) for method in sorted(route.methods or ()))


def test_every_declaration_is_a_permission_or_one_of_three_words(app: FastAPI) -> None:
    known = {known.permission for known in app.state.permissions.all()}
    declared = {declared_access(route.endpoint) for route in api_routes(app)}
    assert declared == known | {PUBLIC, PERSONAL, OPERATORS}
    assert all(PERMISSION_PATTERN.fullmatch(permission) for permission in known)


def test_every_permission_and_no_other_is_told(app: FastAPI) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/access.md").read_text()
    told = re.findall(r"^\| `([a-z_]+:[a-z_]+)` \|", text, re.MULTILINE)
    assert sorted(told) == [known.permission for known in app.state.permissions.all()]


async def test_no_route_for_tenants_opens_without_a_credential(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    requests = list(tenant_requests(app))
    assert len(requests) >= 20
    for _, method, path in requests:
        for headers in ({}, {"Authorization": "Bearer stale"}, {"X-API-Key": "stale"}):
            answer = await client.request(method, path, content=b"{malformed", headers=headers)
            assert (method, path, answer.status_code) == (method, path, 401)


@pytest.mark.parametrize("role", list(DEFAULT_ROLES))
async def test_the_roles_hold_on_every_route(
    app: FastAPI, tenant: TestTenant, make_person: MakePerson, role: str
) -> None:
    """403 exactly where the role's rules say no; the body is not even read there."""
    policy = compile_rules(default_rules(role))
    person = await make_person(tenant, role=role)
    for permission, method, path in tenant_requests(app):
        if permission == PERSONAL:
            continue
        answer = await person.client.request(method, path, content=b"{malformed")
        allowed = policy.decide(permission).outcome == "allowed"
        assert (answer.status_code != 403) == allowed, (role, method, path, answer.text)
        assert answer.status_code != 401
        if answer.status_code == 403:
            assert answer.json()["permission"] == permission


async def test_what_is_personal_is_nobodys_to_take_and_no_keys(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, deny("*:*"))
    assert (await person.client.get("/v1/auth/sessions")).status_code == 200
    requests = [(method, path) for access, method, path in tenant_requests(app) if access == PERSONAL]
    assert len(requests) >= 3
    for method, path in requests:
        answer = await client.request(
            method, path, content=b"{malformed", headers={"X-API-Key": tenant.credentials.api_key}
        )
        assert (method, path, answer.status_code) == (method, path, 403)


async def test_a_token_that_claims_another_role_gets_the_one_its_person_has(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, role="read_only")
    claims = jwt.get_unverified_claims(person.client.headers["Authorization"].removeprefix("Bearer "))
    for role in ("admin", "emperor"):
        token = app.state.codec.issue(person.id, tenant.id, role, session_id=uuid.UUID(claims["sid"]))
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/v1/resources", headers=headers)).status_code == 200
        assert (await client.post("/v1/resources", json={"name": "x"}, headers=headers)).status_code == 403


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
    await app.state.epochs.roles_changed(tenant.id)
    assert (await tenant.client.get("/v1/resources")).status_code == 403


async def test_a_token_with_another_tenants_login_is_401(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant, stranger: TestTenant
) -> None:
    """Neither somebody else's person nor somebody else's session gets in."""
    created = await tenant.client.post("/v1/resources", json={"name": "mine"})
    me = (await tenant.client.get("/v1/users/me")).json()
    them = (await stranger.client.get("/v1/users/me")).json()
    for user, tenant_id, session_id in (
        (me, stranger.id, stranger.session_id),
        (them, tenant.id, tenant.session_id),
        (them, tenant.id, stranger.session_id),
    ):
        token = app.state.codec.issue(uuid.UUID(user["id"]), tenant_id, "admin", session_id=session_id)
        headers = {"Authorization": f"Bearer {token}"}
        for path in (created.headers["location"], "/v1/users/me"):
            assert (await client.get(path, headers=headers)).status_code == 401


async def test_a_token_for_a_tenant_that_does_not_exist_is_401(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    token = app.state.codec.issue(uuid.uuid4(), uuid.uuid4(), "admin", session_id=uuid.uuid4())
    answer = await client.get("/v1/resources", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
