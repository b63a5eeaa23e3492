"""Roles over HTTP: anonymous and stranger first, then who may, then what is refused."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.access import roles
from tests.conftest import TestOperator, TestTenant
from tests.people import MakePerson, allow, deny, make_role

PATH = "/v1/roles"


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:problem-type:")


async def trail(app: FastAPI, tenant: TestTenant) -> list[tuple[str, str, Any]]:
    async with app.state.database.tenant(tenant.schema) as session:
        rows = await session.execute(
            text("SELECT action, target_id, details FROM audit_logs WHERE action <> 'auth.login' ORDER BY 1")
        )
        return [(row.action, row.target_id, row.details) for row in rows]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PATH),
        ("GET", PATH),
        ("GET", f"{PATH}/developer"),
        ("PATCH", f"{PATH}/developer"),
        ("DELETE", f"{PATH}/developer"),
        ("GET", "/v1/access/permissions"),
        ("GET", "/v1/access/explain?permission=roles:read"),
        ("GET", "/v1/access/explain/me?permission=roles:read"),
    ],
)
async def test_anonymous_gets_401(client: httpx.AsyncClient, method: str, path: str) -> None:
    assert problem(await client.request(method, path)) == (401, "unauthorized")


async def test_a_stranger_finds_changes_and_deletes_no_role(tenant: TestTenant, stranger: TestTenant) -> None:
    name = await make_role(tenant, allow("resources:read"))
    path = f"{PATH}/{name}"
    before = (await tenant.client.get(path)).json()
    for answer in (
        await stranger.client.get(path),
        await stranger.client.patch(path, json={"rules": []}),
        await stranger.client.delete(path),
    ):
        assert problem(answer) == (404, "role-not-found")
    assert (await tenant.client.get(path)).json() == before
    listed = (await stranger.client.get(PATH)).json()["items"]
    assert {role["name"] for role in listed} == {"admin", "developer", "read_only"}


async def test_a_role_is_created_read_changed_listed_and_deleted(app: FastAPI, tenant: TestTenant) -> None:
    rules = [allow("resources:*", owner=True), deny("resources:delete", attribute="data.n", equals=3)]
    body = {"name": "editor", "description": "Edits.", "rules": rules}
    created = await tenant.client.post(PATH, json=body)
    assert (created.status_code, created.headers["location"]) == (201, f"{PATH}/editor")
    assert created.headers["etag"] == '"1"'
    assert {**body, "is_default": False, "version": 1}.items() <= created.json().items()
    read = await tenant.client.get(f"{PATH}/editor")
    assert (read.json(), read.headers["etag"]) == (created.json(), '"1"')
    changed = await tenant.client.patch(
        f"{PATH}/editor", json={"rules": [allow("resources:read")]}, headers={"If-Match": '"1"'}
    )
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert changed.json()["rules"] == [allow("resources:read")]
    assert changed.json()["description"] == "Edits."
    assert changed.json()["updated_at"] > created.json()["updated_at"]
    first = (await tenant.client.get(PATH, params={"limit": 1})).json()
    assert [role["name"] for role in first["items"]] == ["editor"]
    rest = (await tenant.client.get(PATH, params={"cursor": first["next_cursor"]})).json()
    assert {role["name"] for role in rest["items"]} == {"admin", "developer", "read_only"}
    assert (await tenant.client.delete(f"{PATH}/editor")).status_code == 204
    assert problem(await tenant.client.get(f"{PATH}/editor")) == (404, "role-not-found")
    facts = {"description": "Edits.", "rules": rules, "version": 1}
    later = {"description": "Edits.", "rules": [allow("resources:read")], "version": 2}
    was, became = ({name: state[name] for name in ("rules", "version")} for state in (facts, later))
    assert await trail(app, tenant) == [
        ("roles.create", "editor", {"after": facts}),
        ("roles.delete", "editor", {"before": later}),
        ("roles.update", "editor", {"before": was, "after": became}),
    ]


async def test_what_an_operator_does_as_an_admin_is_on_the_trail_as_the_operators(
    app: FastAPI, client: httpx.AsyncClient, tenant: TestTenant, operator: TestOperator
) -> None:
    asked = {"email": tenant.login["email"], "reason": "Ticket 4711: a role is missing", "minutes": 1}
    acting = await operator.client.post(f"/v1/tenants/{tenant.id}/impersonations", json=asked)
    headers = {"Authorization": f"Bearer {acting.json()['access_token']}"}
    assert (await client.post(PATH, json={"name": "editor", "rules": []}, headers=headers)).status_code == 201
    async with app.state.database.tenant(tenant.schema) as session:
        query = text("SELECT actor_kind, actor_id FROM audit_logs WHERE action = 'roles.create'")
        assert (await session.execute(query)).all() == [("operator", operator.id)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Editor"},
        {"name": "x"},
        {"name": "a" * 64},
        {"name": "editor\n"},
        {"name": "../admin"},
        {"description": "x\x00"},
        {"rules": [allow("resources:read")] * 65},
        {"rules": [allow("resources")]},
        {"rules": [allow("res*:read")]},
        {"rules": [{"effect": "permit", "permission": "resources:read"}]},
        {"rules": [{"permission": "resources:read"}]},
        {"rules": [allow("resources:read") | {"when": "weekdays"}]},
        {"rules": [allow("resources:read", owner=False)]},
        {"rules": [allow("resources:read", owner=True, attribute="name", equals="x")]},
        {"rules": [allow("resources:read", attribute="name")]},
        {"rules": [allow("resources:read", attribute="data.0", equals="x")]},
        {"rules": [allow("resources:read", attribute="data.t'", equals="x")]},
        {"rules": [allow("resources:read", attribute="data.t", equals="x\x00")]},
        {"rules": [allow("resources:read", attribute="data.t", equals=1.5)]},
        {"rules": [allow("resources:read", attribute="data.t", equals=None)]},
        {"rules": [allow("resources:read", attribute="data.t", equals=2**60)]},
        {"rules": [allow("resources:read", attribute="data.t", equals=["x"])]},
        {"is_default": True},
    ],
)
async def test_what_is_no_role_is_422_and_names_the_field(tenant: TestTenant, wrong: dict[str, Any]) -> None:
    body = {"name": "editor", "rules": [allow("resources:read")]} | wrong
    answer = await tenant.client.post(PATH, json=body)
    assert problem(answer) == (422, "validation-failed")
    assert all(next(iter(wrong)) in error["field"] for error in answer.json()["errors"])
    assert problem(await tenant.client.get(f"{PATH}/editor")) == (404, "role-not-found")


async def test_a_permission_that_no_route_declares_is_422_and_lists_the_known(tenant: TestTenant) -> None:
    body = {"name": "editor", "rules": [allow("resources:reed")]}
    answer = await tenant.client.post(PATH, json=body)
    assert problem(answer) == (422, "unknown-permission")
    assert answer.json()["unknown"] == ["resources:reed"]
    assert {"resources:read", "roles:update", "users:delete"} <= set(answer.json()["known"])
    # A wildcard may be meant for what is yet to come.
    assert (await tenant.client.post(PATH, json=body | {"rules": [allow("reports:*")]})).status_code == 201
    answer = await tenant.client.patch(f"{PATH}/editor", json={"rules": [deny("resources:reed")]})
    assert problem(answer) == (422, "unknown-permission")


async def test_a_condition_that_no_route_would_keep_is_422(tenant: TestTenant) -> None:
    body = {"name": "editor", "rules": [allow("users:read", owner=True)]}
    answer = await tenant.client.post(PATH, json=body)
    assert problem(answer) == (422, "condition-not-evaluated")
    assert answer.json()["conditional"] == [
        f"resources:{it}" for it in ("create", "delete", "read", "update")
    ]


async def test_a_name_is_taken_once_also_by_two_at_once(tenant: TestTenant) -> None:
    body = {"name": "editor", "rules": []}
    answers = await asyncio.gather(*(tenant.client.post(PATH, json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert problem(await tenant.client.post(PATH, json=body | {"name": "admin"})) == (409, "role-name-taken")


async def test_of_two_who_change_the_same_version_one_is_told(tenant: TestTenant) -> None:
    path = f"{PATH}/{await make_role(tenant)}"
    answers = await asyncio.gather(
        *(
            tenant.client.patch(path, json={"description": text}, headers={"If-Match": '"1"'})
            for text in ("one", "two", "three")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    (won,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert (await tenant.client.get(path)).json() == won
    assert problem(await tenant.client.delete(path, headers={"If-Match": '"1"'})) == (412, "role-changed")


@pytest.mark.parametrize("name", ["admin", "developer", "read_only"])
async def test_default_roles_stay(tenant: TestTenant, name: str) -> None:
    before = (await tenant.client.get(f"{PATH}/{name}")).json()
    assert before["is_default"]
    changed = await tenant.client.patch(f"{PATH}/{name}", json={"rules": []})
    assert problem(changed) == (409, "default-role")
    assert problem(await tenant.client.delete(f"{PATH}/{name}")) == (409, "default-role")
    assert (await tenant.client.get(f"{PATH}/{name}")).json() == before


async def test_a_role_that_somebody_has_is_not_deleted(tenant: TestTenant, make_person: MakePerson) -> None:
    name = await make_role(tenant, allow("resources:read"))
    person = await make_person(tenant, role=name)
    assert problem(await tenant.client.delete(f"{PATH}/{name}")) == (409, "role-in-use")
    assert (await person.client.get("/v1/resources")).status_code == 200
    await tenant.client.patch(person.path, json={"role": "read_only"})
    assert (await tenant.client.delete(f"{PATH}/{name}")).status_code == 204


async def test_a_tenant_has_so_many_roles_and_no_more(
    tenant: TestTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "MAX_ROLES", 4)
    await make_role(tenant)
    answer = await tenant.client.post(PATH, json={"name": "one_more", "rules": []})
    assert problem(answer) == (409, "too-many-roles")


async def test_the_permissions_are_those_that_routes_declare(tenant: TestTenant) -> None:
    items = (await tenant.client.get("/v1/access/permissions")).json()["items"]
    assert [item["permission"] for item in items] == sorted(item["permission"] for item in items)
    known = {item["permission"]: item for item in items}
    assert known["resources:update"] == {
        "permission": "resources:update",
        "conditional": True,
        "routes": ["PATCH /v1/resources/{resource_id}"],
    }
    assert known["users:read"]["routes"] == ["GET /v1/users", "GET /v1/users/{user_id}"]
    assert not known["users:read"]["conditional"]
    assert not {"public", "personal", "operators"} & set(known)
