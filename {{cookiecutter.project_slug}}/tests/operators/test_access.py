"""Operators and tenants are two worlds: no credential of one opens a route of the other."""

import base64
import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from jose import jws
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.access import (
    OPERATORS,
    PUBLIC,
    GuardedRoute,
    declared_access,
    declared_action,
    operators_only,
)
from app.auth.key_folder import generate_key_pair
from app.auth.key_ring import KeyRing
from app.auth.tokens import TOKEN_TYPE, JWTCodec
from app.core.database import Database, owner_engine
from app.core.errors import Conflict
from app.core.openapi import api_routes
from app.operators import CurrentAction
from app.operators.tokens import OPERATOR_TOKEN_TYPE, OperatorTokenCodec
from tests.conftest import DatabaseURLs, MakeTenant, TestOperator, TestTenant

ME = "/v1/operators/me"


def requests_of(app: FastAPI, *, operators: bool) -> list[tuple[str, str]]:
    """Method and path of every route that is for operators, or for tenants."""
    found = []
    for route in api_routes(app):
        access = declared_access(route.endpoint)
        if access in {None, PUBLIC} or (access == OPERATORS) != operators:
            continue
        path = str(route.path)
        while "{" in path:
            head, _, tail = path.partition("{")
            path = head + str(uuid.uuid4()) + tail.partition("}")[2]
        found += [(method, path) for method in sorted(route.methods or ())]
    return found


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_no_credential_of_a_tenant_opens_a_route_of_operators(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant
) -> None:
    """Not even an admin's, and not for its own tenant; the body is not even read."""
    requests = requests_of(app, operators=True)
    assert len(requests) >= 3
    for method, path in requests:
        own = path.replace(path.split("/")[3], str(tenant.id)) if "/tenants/" in path else path
        for headers in (
            {"Authorization": tenant.client.headers["Authorization"]},
            {"X-API-Key": tenant.credentials.api_key},
        ):
            answer = await client.request(method, own, headers=headers, content=b"{malformed")
            assert (method, path, answer.status_code) == (method, path, 403)
        assert (await client.request(method, own, content=b"{malformed")).status_code == 401
        answer = await client.request(method, own, headers=bearer("stale"), content=b"{malformed")
        assert answer.status_code == 401


async def test_no_token_of_an_operator_opens_a_route_of_tenants(app: FastAPI, operator: TestOperator) -> None:
    requests = requests_of(app, operators=False)
    assert len(requests) >= 8
    for method, path in requests:
        answer = await operator.client.request(method, path, content=b"{malformed")
        assert (method, path, answer.status_code) == (method, path, 403)


async def test_two_credentials_are_refused_whichever_comes_first(
    client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant
) -> None:
    theirs, ours = tenant.client.headers["Authorization"], f"Bearer {operator.token}"
    for headers in (
        [("Authorization", theirs), ("Authorization", ours)],
        [("Authorization", ours), ("Authorization", theirs)],
        [("Authorization", ours), ("X-API-Key", tenant.credentials.api_key)],
    ):
        for path in (ME, "/v1/resources"):
            assert (await client.get(path, headers=headers)).status_code == 401


def swapped_tokens(
    app: FastAPI, operator: TestOperator, tenant: TestTenant, strange_keys: KeyRing
) -> dict[str, str]:
    """Tokens that are almost an operator's: each is wrong in one thing, and signed by us where it can be."""
    settings, ring = app.state.settings, app.state.key_ring
    issuer = settings.jwt_issuer

    def signed(token_type: str, audience: str, key_ring: KeyRing = ring, **members: Any) -> str:
        codec = JWTCodec(key_ring, token_type=token_type, issuer=issuer, audience=audience)
        claims = {"tid": str(tenant.id), "role": "admin", "epoch": 1, **members}
        return codec.sign(operator.id, claims, ttl=timedelta(minutes=5), now=None)

    good = signed(OPERATOR_TOKEN_TYPE, settings.operator_audience)
    header, payload, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))

    def encode(part: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()

    kid = ring.signing_key.kid
    rest = f"{payload}.{signature}"
    return {
        "": good,
        "audience of tenants": signed(OPERATOR_TOKEN_TYPE, settings.jwt_audience),
        "type of tenants": signed(TOKEN_TYPE, settings.operator_audience),
        "no type we know": signed("JWT", settings.operator_audience),
        "both audiences": jws.sign(
            {**claims, "aud": [settings.operator_audience, settings.jwt_audience]},
            ring.signing_key.prepared,
            headers={"typ": OPERATOR_TOKEN_TYPE, "kid": kid},
            algorithm="RS256",
        ),
        "type swapped after signing": f"{encode({'alg': 'RS256', 'typ': TOKEN_TYPE, 'kid': kid})}.{rest}",
        "strange key": signed(OPERATOR_TOKEN_TYPE, settings.operator_audience, strange_keys),
        "strange key under our kid": jws.sign(
            claims,
            strange_keys.signing_key.prepared,
            headers={"typ": OPERATOR_TOKEN_TYPE, "kid": kid},
            algorithm="RS256",
        ),
        "unknown kid": f"{encode({'alg': 'RS256', 'typ': OPERATOR_TOKEN_TYPE, 'kid': 'x'})}.{rest}",
        "alg none": f"{encode({'alg': 'none', 'typ': OPERATOR_TOKEN_TYPE, 'kid': kid})}.{payload}.",
        "another subject": f"{header}.{encode({**claims, 'sub': str(uuid.uuid4())})}.{signature}",
        "no epoch": signed(OPERATOR_TOKEN_TYPE, settings.operator_audience, epoch=None),
        "epoch as text": signed(OPERATOR_TOKEN_TYPE, settings.operator_audience, epoch="1"),
        "epoch is true": signed(OPERATOR_TOKEN_TYPE, settings.operator_audience, epoch=True),
        "epoch to come": signed(OPERATOR_TOKEN_TYPE, settings.operator_audience, epoch=2),
        "epoch too large for the database": signed(
            OPERATOR_TOKEN_TYPE, settings.operator_audience, epoch=2**70
        ),
    }


@pytest.fixture
def strange_keys(tmp_path: Path) -> KeyRing:
    generate_key_pair(tmp_path)
    return KeyRing.load(tmp_path)


async def test_a_token_with_one_thing_swapped_opens_neither_world(
    app: FastAPI,
    client: httpx.AsyncClient,
    operator: TestOperator,
    tenant: TestTenant,
    strange_keys: KeyRing,
) -> None:
    tokens = swapped_tokens(app, operator, tenant, strange_keys)
    assert (await client.get(ME, headers=bearer(tokens.pop("")))).status_code == 200
    for name, token in tokens.items():
        for path in (ME, "/v1/resources"):
            answer = await client.get(path, headers=bearer(token))
            assert (name, path, answer.status_code) == (name, path, 401)


async def test_a_token_of_an_operator_who_never_was_is_401(app: FastAPI, client: httpx.AsyncClient) -> None:
    codec: OperatorTokenCodec = app.state.operator_sessions._codec
    assert (await client.get(ME, headers=bearer(codec.issue(uuid.uuid4(), 1)))).status_code == 401


async def test_a_user_whose_id_is_an_operators_is_no_operator(
    app: FastAPI, client: httpx.AsyncClient, operator: TestOperator, tenant: TestTenant, database: Database
) -> None:
    async with database.tenant(tenant.schema) as session:
        await session.execute(
            text("INSERT INTO users (id, email, role) VALUES (:id, 'twin@acme.test', 'admin')"),
            {"id": operator.id},
        )
        await session.execute(text("UPDATE sessions SET user_id = :id"), {"id": operator.id})
    token = app.state.codec.issue(operator.id, tenant.id, "admin", session_id=tenant.session_id)
    assert (await client.get(ME, headers=bearer(token))).status_code == 403


def test_what_changes_something_must_name_its_action() -> None:
    @operators_only()
    def change() -> None: ...

    router = APIRouter(route_class=GuardedRoute)
    router.add_api_route("/read", change, methods=["GET"])
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(ValueError, match="name the action"):
            router.add_api_route("/change", change, methods=[method])
    for wrong in ("", "suspend", "tenants.suspend", "Tenants:suspend", "a:b:c", "*:*"):
        with pytest.raises(ValueError, match="not an action"):
            operators_only(action=wrong)


@pytest.fixture
def extra_routes(app: FastAPI) -> Iterator[None]:
    """Two routes of another feature: one forgets the trail, one reads it right."""
    before = list(app.router.routes)
    router = APIRouter(route_class=GuardedRoute)

    @router.post("/forgets")
    @operators_only(action="things:forget")
    async def forget() -> str:
        return "done"

    @router.post("/refuses")
    @operators_only(action="things:refuse")
    async def refuse(action: CurrentAction) -> str:
        raise Conflict(action.action)

    app.include_router(router)
    yield
    app.router.routes[:] = before


@pytest.mark.usefixtures("extra_routes")
async def test_an_action_that_nobody_recorded_does_not_succeed(operator: TestOperator) -> None:
    answer = await operator.client.post("/forgets")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:problem-type:internal-error")
    answer = await operator.client.post("/refuses")
    assert (answer.status_code, answer.json()["detail"]) == (409, "things:refuse")


# What each route needs in order to succeed. A new one must be added here, or the test below says so.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/tenants"): {"name": "Traced", "admin_email": "ada@traced.test"},
    ("PATCH", "/v1/tenants/{tenant_id}"): {"plan": "pro"},
    ("DELETE", "/v1/tenants/{tenant_id}"): None,
    ("POST", "/v1/tenants/{tenant_id}/suspend"): None,
    ("POST", "/v1/tenants/{tenant_id}/resume"): None,
    ("POST", "/v1/tenants/{tenant_id}/restore"): None,
    ("POST", "/v1/tenants/{tenant_id}/onboarding/resume"): None,
    ("POST", "/v1/tenants/{tenant_id}/onboarding/cancel"): None,
    ("POST", "/v1/tenants/{tenant_id}/impersonations"): {"reason": "The trail is away"},
}
INTERRUPTED = (
    "UPDATE platform.tenants SET state = 'provisioning' WHERE id = :id",
    "INSERT INTO platform.tenant_operations (id, tenant_id, kind, step, parameters) VALUES"
    " (gen_random_uuid(), :id, 'onboard', 'activate',"
    ' \'{"admin_email": "ada@x.test", "requests_per_minute": null}\')',
)
STATES = {
    "/v1/tenants/{tenant_id}/resume": ("UPDATE platform.tenants SET state = 'suspended' WHERE id = :id",),
    "/v1/tenants/{tenant_id}/restore": ("UPDATE platform.tenants SET state = 'deleting' WHERE id = :id",),
    "/v1/tenants/{tenant_id}/onboarding/resume": INTERRUPTED,
    "/v1/tenants/{tenant_id}/onboarding/cancel": INTERRUPTED,
}


async def arranged(owner: AsyncEngine, method: str, path: str, tenant: TestTenant) -> tuple[str, Any]:
    """The request, once the tenant is in the state in which it succeeds."""
    body = BODIES[method, path]
    if path.endswith("/impersonations"):
        body = {**body, "email": tenant.login["email"]}
    async with owner.begin() as connection:
        for statement in STATES.get(path, ()):
            await connection.execute(text(statement), {"id": tenant.id})
    return path.replace("{tenant_id}", str(tenant.id)), body


async def contents(connection: Any, schema: str) -> dict[str, str]:
    """All rows of a tenant and of the platform, but for the logins that the test itself made."""
    names = await connection.execute(
        text("SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('platform', :schema)"),
        {"schema": schema},
    )
    found = {}
    for schema_name, table in names.all():
        rows = await connection.execute(text(f"SELECT t::text FROM {schema_name}.{table} t ORDER BY 1"))
        found[f"{schema_name}.{table}"] = "\n".join(rows.scalars())
    return found


async def test_no_action_takes_place_without_its_row_in_the_trail(
    app: FastAPI,
    operator: TestOperator,
    make_tenant: MakeTenant,
    database: Database,
    database_urls: DatabaseURLs,
) -> None:
    """With a trail that cannot be written nothing succeeds and nothing changes; with one that can, each
    leaves exactly one row. So action and row are one transaction, or the row is first."""
    routes = [
        (method, str(route.path), declared_action(route.endpoint))
        for route in api_routes(app)
        for method in sorted(route.methods or ())
        if declared_access(route.endpoint) == OPERATORS and method not in {"GET", "HEAD"}
    ]
    assert {(method, path) for method, path, _ in routes} == set(BODIES)
    engine = owner_engine(database_urls.owner)
    forbid = (
        "CREATE FUNCTION platform.fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the trail is away'; END $$",
        "CREATE TRIGGER fail BEFORE INSERT ON platform.operator_actions"
        " FOR EACH ROW EXECUTE FUNCTION platform.fail()",
    )
    try:
        for method, path, action in routes:
            tenant = await make_tenant()
            url, body = await arranged(engine, method, path, tenant)
            await app.state.recorder.flush()
            async with engine.begin() as connection:
                before = await contents(connection, tenant.schema)
                for statement in forbid:
                    await connection.execute(text(statement))
            try:
                answer = await operator.client.request(method, url, json=body)
            finally:
                async with engine.begin() as connection:
                    await connection.execute(text("DROP FUNCTION platform.fail() CASCADE"))
            assert (path, answer.status_code) == (path, 500)
            async with engine.begin() as connection:
                assert await contents(connection, tenant.schema) == before, path
            answer = await operator.client.request(method, url, json=body)
            assert answer.status_code < 300, answer.text
            async with database.platform() as session:
                query = text(
                    "SELECT action FROM operator_actions"
                    " WHERE operator_id = :id AND correlation_id = :request"
                )
                parameters = {"id": operator.id, "request": answer.headers["x-request-id"]}
                assert (await session.scalars(query, parameters)).all() == [action]
    finally:
        await engine.dispose()


async def test_the_document_tells_the_two_worlds_apart(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    assert paths[ME]["get"]["security"] == [{"operatorToken": []}]
    assert paths[ME]["get"]["x-access"] == "operators"
    assert paths["/v1/resources"]["get"]["x-access"] == "tenant"
    assert paths["/v1/operators/login"]["post"]["x-access"] == "public"
