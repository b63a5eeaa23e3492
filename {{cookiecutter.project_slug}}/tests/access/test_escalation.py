"""Nobody gives, changes or takes away rights that they lack, whichever way they try."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.access import Rights, compile_rules, default_rules, refuse_escalation
from app.access.errors import PrivilegeEscalation, UnknownRole
from tests.access.test_roles import problem
from tests.conftest import TestTenant
from tests.people import MakePerson, Person, allow, deny, make_role

ROLES = "/v1/roles"
MANAGER = (allow("roles:*"), allow("users:*"), allow("resources:read"))


@pytest.fixture
async def manager(tenant: TestTenant, make_person: MakePerson) -> Person:
    """May do everything to roles and people, and to resources nothing but read them."""
    return await make_person(tenant, *MANAGER)


@pytest.mark.parametrize(
    ("rule", "missing"),
    [
        (allow("*:*"), "*:*"),
        (allow("*:read"), "*:read"),
        (allow("resources:*"), "resources:*"),
        (allow("resources:update"), "resources:update"),
        (allow("resources:update", owner=True), "resources:update"),
        (allow("audit:*"), "audit:*"),
    ],
)
async def test_nobody_makes_a_role_of_more_than_they_have(
    tenant: TestTenant, manager: Person, rule: dict[str, Any], missing: str
) -> None:
    own = (await manager.client.get("/v1/users/" + str(manager.id))).json()["role"]
    for answer in (
        await manager.client.post(ROLES, json={"name": "mine", "rules": [*MANAGER, rule]}),
        await manager.client.patch(f"{ROLES}/{own}", json={"rules": [*MANAGER, rule]}),
    ):
        assert problem(answer) == (403, "privilege-escalation")
        assert answer.json()["permission"] == missing
    assert (await tenant.client.get(f"{ROLES}/mine")).status_code == 404
    assert (await tenant.client.get(f"{ROLES}/{own}")).json()["rules"] == list(MANAGER)


async def test_what_is_within_ones_rights_can_be_given(manager: Person) -> None:
    for number, rules in enumerate(
        ([allow("resources:read")], [allow("resources:read", owner=True)], [allow("*:*"), deny("*:*")], [])
    ):
        body = {"name": f"less_{number}", "rules": rules}
        assert (await manager.client.post(ROLES, json=body)).status_code == 201


@pytest.mark.parametrize("role", ["admin", "developer"])
async def test_nobody_gives_a_role_that_allows_more(
    tenant: TestTenant, manager: Person, make_person: MakePerson, role: str
) -> None:
    other = await make_person(tenant, allow("resources:read"))
    for person in (manager, other):
        before = (await tenant.client.get(person.path)).json()
        answer = await manager.client.patch(person.path, json={"role": role})
        assert problem(answer) == (403, "privilege-escalation")
        assert (await tenant.client.get(person.path)).json() == before


async def test_nobody_changes_or_removes_who_has_more(tenant: TestTenant, manager: Person) -> None:
    (admin,) = [
        user for user in (await tenant.client.get("/v1/users")).json()["items"] if user["role"] == "admin"
    ]
    path = f"/v1/users/{admin['id']}"
    for answer in (
        await manager.client.patch(path, json={"state": "disabled"}),
        await manager.client.patch(path, json={"role": "read_only"}),
        await manager.client.delete(path),
    ):
        assert problem(answer) == (403, "privilege-escalation")
    assert (await tenant.client.get(path)).json() == admin


async def test_nobody_changes_or_deletes_a_role_that_allows_more(tenant: TestTenant, manager: Person) -> None:
    path = f"{ROLES}/{await make_role(tenant, allow('*:*'), deny('roles:read'))}"
    for answer in (
        await manager.client.patch(path, json={"rules": []}),
        await manager.client.patch(path, json={"description": "mine"}),
        await manager.client.delete(path),
    ):
        assert problem(answer) == (403, "privilege-escalation")


async def test_a_deny_cannot_be_shed(tenant: TestTenant, make_person: MakePerson) -> None:
    """Neither by changing one's role, nor by a role without it, nor by taking another's."""
    person = await make_person(tenant, allow("*:*"), deny("audit:*"))
    own = (await tenant.client.get(person.path)).json()["role"]
    free = await make_role(tenant, allow("*:*"))
    for answer in (
        await person.client.patch(f"{ROLES}/{own}", json={"rules": [allow("*:*")]}),
        await person.client.post(ROLES, json={"name": "free_too", "rules": [allow("*:*")]}),
        await person.client.patch(person.path, json={"role": free}),
        await person.client.patch(person.path, json={"role": "admin"}),
    ):
        assert problem(answer) == (403, "privilege-escalation")
        assert answer.json()["permission"].startswith("audit:")
    assert (await person.client.patch(person.path, json={"role": "developer"})).status_code == 200


async def test_a_condition_cannot_be_shed(tenant: TestTenant, make_person: MakePerson) -> None:
    person = await make_person(tenant, allow("roles:*"), allow("resources:*", owner=True))
    for rule in (allow("resources:read"), allow("resources:read", attribute="name", equals="x")):
        answer = await person.client.post(ROLES, json={"name": "free", "rules": [rule]})
        assert problem(answer) == (403, "privilege-escalation")
    body = {"name": "same", "rules": [allow("resources:read", owner=True)]}
    assert (await person.client.post(ROLES, json=body)).status_code == 201


async def test_a_key_gives_no_more_than_its_scopes_leave_it(
    app: FastAPI, tenant: TestTenant, client: httpx.AsyncClient, manager: Person
) -> None:
    scopes = ["roles:*", "users:update", "resources:read"]
    async with app.state.database.tenant(tenant.schema) as session:
        await session.execute(
            text("UPDATE api_keys SET scopes = CAST(:scopes AS jsonb)"), {"scopes": json.dumps(scopes)}
        )
    headers = {"X-API-Key": tenant.credentials.api_key}
    for rule in ("*:*", "users:delete", "resources:*"):
        answer = await client.post(ROLES, json={"name": "mine", "rules": [allow(rule)]}, headers=headers)
        assert problem(answer) == (403, "privilege-escalation")
    for role in ("admin", "read_only"):
        answer = await client.patch(manager.path, json={"role": role}, headers=headers)
        assert problem(answer) == (403, "privilege-escalation")
    body = {"name": "mine", "rules": [allow("resources:read")]}
    assert (await client.post(ROLES, json=body, headers=headers)).status_code == 201


async def test_what_keys_and_invitations_ask(app: FastAPI, tenant: TestTenant) -> None:
    """The promise of `refuse_escalation`: a role narrowed by scopes is measured by what is left of it."""
    developer = Rights(compile_rules(default_rules("developer")))
    async with app.state.database.tenant(tenant.schema) as session:
        await refuse_escalation(session, developer, "read_only")
        await refuse_escalation(session, developer, "admin", ["resources:*", "users:read"])
        await refuse_escalation(session, developer, "admin", [])
        for scopes in (None, ["users:*"], ["*:read"]):
            with pytest.raises(PrivilegeEscalation):
                await refuse_escalation(session, developer, "admin", scopes)
        with pytest.raises(UnknownRole):
            await refuse_escalation(session, developer, "emperor")


async def test_a_role_whose_rules_are_not_understood_counts_as_all_rights(
    app: FastAPI, tenant: TestTenant, manager: Person
) -> None:
    """Today it allows nothing; to a later release it may allow everything. An admin can mend it."""
    name = await make_role(tenant)
    async with app.state.database.tenant(tenant.schema) as session:
        await session.execute(
            text("""UPDATE rbac_policies SET rules = '["*:*"]' WHERE name = :name"""), {"name": name}
        )
    for answer in (
        await manager.client.patch(manager.path, json={"role": name}),
        await manager.client.patch(f"{ROLES}/{name}", json={"rules": []}),
        await manager.client.delete(f"{ROLES}/{name}"),
    ):
        assert problem(answer) == (403, "privilege-escalation")
    assert (await tenant.client.patch(f"{ROLES}/{name}", json={"rules": []})).status_code == 200
    assert (await manager.client.delete(f"{ROLES}/{name}")).status_code == 204
