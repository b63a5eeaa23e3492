"""Which rule decided, for oneself, for a person and for a key; and it is what the routes do."""

import json
import re
import uuid
from pathlib import Path

import httpx
from fastapi import FastAPI
from sqlalchemy import text

from tests.access.test_roles import problem
from tests.conftest import TestTenant
from tests.people import MakePerson, allow, deny, make_role

EXPLAIN = "/v1/access/explain"
PAGE = (Path(__file__).resolve().parents[2] / "docs/access.md").read_text()


async def test_each_outcome_names_its_rules(tenant: TestTenant, make_person: MakePerson) -> None:
    archived = {"attribute": "data.state", "equals": "archived"}
    person = await make_person(
        tenant,
        allow("users:read"),
        allow("resources:update", owner=True),
        deny("resources:*", **archived),
        allow("resources:read"),
        deny("roles:*"),
        allow("roles:read"),
    )
    expected = {
        "users:read": ("allowed", [(0, "users:read", None)], "Rule 0 allows it, and none denies it."),
        "users:delete": ("denied", [], "No rule of the role {role} allows it."),
        "roles:read": ("denied", [(4, "roles:*", None)], "Rule 4 denies it, and deny wins."),
        "resources:update": (
            "conditional",
            [(1, "resources:update", {"owner": True}), (2, "resources:*", archived)],
            "Rule 1 allows it for some objects, and rule 2 denies it for some.",
        ),
        "resources:read": (
            "conditional",
            [(2, "resources:*", archived), (3, "resources:read", None)],
            "Rule 3 allows it, and rule 2 denies it for some.",
        ),
    }
    for permission, (outcome, rules, reason) in expected.items():
        own = await person.client.get(f"{EXPLAIN}/me", params={"permission": permission})
        told = own.json()
        assert (own.status_code, told["outcome"]) == (200, outcome)
        assert [(rule["index"], rule["permission"], rule["condition"]) for rule in told["rules"]] == rules
        assert told["reason"] == reason.format(role=told["role"])
        params = {"permission": permission, "user_id": str(person.id)}
        assert (await tenant.client.get(EXPLAIN, params=params)).json() == told
    assert (await person.client.get("/v1/users")).status_code == 200
    assert (await person.client.get("/v1/roles")).status_code == 403


async def test_a_key_is_explained_with_its_scopes(
    app: FastAPI, tenant: TestTenant, client: httpx.AsyncClient
) -> None:
    async with app.state.database.tenant(tenant.schema) as session:
        key_id = await session.scalar(
            text("UPDATE api_keys SET scopes = CAST(:scopes AS jsonb) RETURNING id"),
            {"scopes": json.dumps(["resources:read", "roles:read"])},
        )
    headers = {"X-API-Key": tenant.credentials.api_key}
    params = {"permission": "resources:update", "api_key_id": str(key_id)}
    told = (await tenant.client.get(EXPLAIN, params=params)).json()
    assert (told["outcome"], told["scopes"]) == ("denied", ["resources:read", "roles:read"])
    assert "scopes of the API key" in told["reason"]
    # A key asks about itself by naming nobody.
    own = await client.get(EXPLAIN, params={"permission": "resources:update"}, headers=headers)
    assert own.json() == told
    assert (await client.get(f"{EXPLAIN}/me?permission=roles:read", headers=headers)).status_code == 403
    async with app.state.database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE api_keys SET revoked_at = now()"))
    told = (await tenant.client.get(EXPLAIN, params=params | {"permission": "resources:read"})).json()
    assert (told["outcome"], told["reason"]) == ("denied", "The API key is revoked.")


async def test_who_is_disabled_may_nothing(tenant: TestTenant, make_person: MakePerson) -> None:
    person = await make_person(tenant, role="admin")
    await tenant.client.patch(person.path, json={"state": "disabled"})
    params = {"permission": "resources:read", "user_id": str(person.id)}
    told = (await tenant.client.get(EXPLAIN, params=params)).json()
    assert (told["outcome"], told["reason"]) == ("denied", "The person is disabled.")


async def test_only_who_may_read_roles_hears_of_others(tenant: TestTenant, make_person: MakePerson) -> None:
    person = await make_person(tenant, role="developer")
    params = {"permission": "resources:read", "user_id": str(person.id)}
    assert problem(await person.client.get(EXPLAIN, params=params)) == (403, "forbidden")
    own = await person.client.get(f"{EXPLAIN}/me", params={"permission": "resources:read"})
    assert own.json()["outcome"] == "allowed"


async def test_a_stranger_hears_of_nobody(
    app: FastAPI, tenant: TestTenant, stranger: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, role="developer")
    async with app.state.database.tenant(tenant.schema) as session:
        key_id = await session.scalar(text("SELECT id FROM api_keys"))
    for who in ({"user_id": str(person.id)}, {"api_key_id": str(key_id)}):
        answer = await stranger.client.get(EXPLAIN, params={"permission": "resources:read"} | who)
        assert answer.status_code == 404, answer.text


async def test_a_question_that_cannot_be_answered_says_why(tenant: TestTenant) -> None:
    both = {"user_id": str(uuid.uuid4()), "api_key_id": str(uuid.uuid4())}
    for params, status in (
        ({}, 422),
        ({"permission": "resources"}, 422),
        ({"permission": "resources:*"}, 422),
        ({"permission": "resources:reed"}, 422),
        ({"permission": "resources:read"} | both, 400),
    ):
        assert (await tenant.client.get(EXPLAIN, params=params)).status_code == status
        if len(params) < 3:
            own = await tenant.client.get(f"{EXPLAIN}/me", params=params)
            assert own.status_code == status


async def test_a_role_that_is_changed_is_explained_anew(tenant: TestTenant, make_person: MakePerson) -> None:
    name = await make_role(tenant, allow("resources:read"))
    person = await make_person(tenant, role=name)
    await tenant.client.patch(f"/v1/roles/{name}", json={"rules": [deny("*:read")]})
    told = (await person.client.get(f"{EXPLAIN}/me", params={"permission": "resources:read"})).json()
    assert (told["outcome"], told["rules"][0]["permission"]) == ("denied", "*:read")


async def test_the_role_of_the_documents_is_explained_as_they_tell(
    tenant: TestTenant, make_person: MakePerson
) -> None:
    (role,) = re.findall(r"-d '(\{\n.*?)'\n", PAGE, re.DOTALL)
    (answer,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert (await tenant.client.post("/v1/roles", json=json.loads(role))).status_code == 201
    person = await make_person(tenant, role="read_only")
    tag = (await tenant.client.get(person.path)).headers["etag"]
    given = await tenant.client.patch(person.path, json={"role": "editor"}, headers={"If-Match": tag})
    assert given.status_code == 200
    told = await person.client.get(f"{EXPLAIN}/me", params={"permission": "resources:update"})
    assert told.json() == json.loads(answer)
