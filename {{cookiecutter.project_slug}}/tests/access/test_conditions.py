"""Rules with conditions, over HTTP: whose resources one reads and changes, and that nothing slips by."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import select, text

from app.access import CurrentGrant, GuardedRoute, requires
from app.access.conditions import parse_condition
from app.access.policies import compile_rules
from app.access.rights import Rights
from app.core.database import mark_recorded
from app.core.dependencies import TenantSession
from app.resources.models import Resource
from app.resources.service import RESOURCES
from tests.access.test_roles import problem
from tests.conftest import TestTenant
from tests.people import MakePerson, Person, allow, deny, make_role

PATH = "/v1/resources"


async def create(client: Any, name: str = "thing", **data: Any) -> str:
    answer = await client.post(PATH, json={"name": name, "data": data})
    assert answer.status_code == 201, answer.text
    return f"{PATH}/{answer.json()['id']}"


async def listed(person: Person) -> set[str]:
    return {f"{PATH}/{item['id']}" for item in (await person.client.get(PATH)).json()["items"]}


async def test_who_may_read_only_their_own_sees_only_these(
    tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, allow("resources:*", owner=True))
    own, others = await create(person.client), await create(tenant.client)
    assert (await person.client.get(own)).status_code == 200
    assert await listed(person) == {own}
    before = (await tenant.client.get(others)).json()
    for answer in (
        await person.client.get(others),
        await person.client.patch(others, json={"name": "mine"}),
        await person.client.delete(others),
    ):
        assert problem(answer) == (404, "resource-not-found")
    assert (await tenant.client.get(others)).json() == before
    assert (await person.client.patch(own, json={"name": "mine"})).status_code == 200
    assert (await person.client.delete(own)).status_code == 204


async def test_pages_hold_what_one_may_read_and_nothing_is_skipped(
    tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, allow("resources:*", owner=True))
    own = []
    for _ in range(5):
        own.append(await create(person.client))
        await create(tenant.client)
    seen, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await person.client.get(PATH, params=params)).json()
        seen += [f"{PATH}/{item['id']}" for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == own[::-1]


async def test_who_reads_all_but_changes_their_own_gets_403_for_others(
    tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(
        tenant, allow("resources:read"), allow("resources:create"), allow("resources:*", owner=True)
    )
    others = await create(tenant.client)
    before = (await person.client.get(others)).json()
    for answer in (
        await person.client.patch(others, json={"name": "mine"}),
        await person.client.patch(others, json={"name": "mine"}, headers={"If-Match": '"7"'}),
        await person.client.delete(others),
    ):
        assert problem(answer) == (403, "forbidden")
        assert answer.json()["permission"] in {"resources:update", "resources:delete"}
    assert (await tenant.client.get(others)).json() == before
    own = await create(person.client)
    stale = {"If-Match": '"7"'}
    assert (await person.client.patch(own, json={"name": "x"}, headers=stale)).status_code == 412
    assert (await person.client.delete(own)).status_code == 204


async def test_a_conditional_deny_takes_away(tenant: TestTenant, make_person: MakePerson) -> None:
    secret = {"attribute": "data.secret", "equals": True}
    person = await make_person(tenant, allow("resources:*"), deny("resources:*", **secret))
    plain, hidden = await create(tenant.client, secret=1), await create(tenant.client, secret=True)
    assert await listed(person) == {plain}
    assert problem(await person.client.get(hidden)) == (404, "resource-not-found")
    assert problem(await person.client.delete(hidden)) == (404, "resource-not-found")
    answer = await person.client.post(PATH, json={"name": "x", "data": {"secret": True}})
    assert problem(answer) == (403, "forbidden")


async def test_nobody_takes_an_object_into_or_out_of_what_they_may_change(
    tenant: TestTenant, make_person: MakePerson
) -> None:
    blue = {"attribute": "data.team", "equals": "blue"}
    person = await make_person(tenant, allow("resources:read"), allow("resources:*", **blue))
    ours, theirs = await create(tenant.client, team="blue"), await create(tenant.client, team="red")
    for path, team in ((theirs, "blue"), (ours, "red")):
        before = (await tenant.client.get(path)).json()
        answer = await person.client.patch(path, json={"data": {"team": team}})
        assert problem(answer) == (403, "forbidden")
        assert (await tenant.client.get(path)).json() == before
    changed = await person.client.patch(ours, json={"data": {"team": "blue", "x": 1}})
    assert changed.status_code == 200
    assert (await person.client.post(PATH, json={"name": "x", "data": {"team": "red"}})).status_code == 403
    await create(person.client, team="blue")


async def test_a_key_owns_nothing(tenant: TestTenant, app: FastAPI, client: Any) -> None:
    name = await make_role(tenant, allow("resources:*", owner=True))
    others = await create(tenant.client)
    async with app.state.database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE api_keys SET role = :role"), {"role": name})
    headers = {"X-API-Key": tenant.credentials.api_key}
    assert (await client.get(PATH, headers=headers)).json()["items"] == []
    assert (await client.get(others, headers=headers)).status_code == 404
    assert (await client.post(PATH, json={"name": "x"}, headers=headers)).status_code == 403


async def test_an_attribute_that_resources_do_not_have_allows_nothing_and_denies_all(
    tenant: TestTenant, make_person: MakePerson
) -> None:
    colour = {"attribute": "colour", "equals": "blue"}
    path = await create(tenant.client, colour="blue")
    for rules_ in ([allow("resources:*", **colour)], [allow("resources:*"), deny("resources:*", **colour)]):
        person = await make_person(tenant, *rules_)
        assert await listed(person) == set()
        assert (await person.client.get(path)).status_code == 404


@pytest.fixture
def careless(app: FastAPI) -> Iterator[FastAPI]:
    """Routes whose authors did not think of conditions."""
    before = list(app.router.routes)
    router = APIRouter(route_class=GuardedRoute)

    @requires("resources:read")
    async def unaware() -> str:
        return "leaked"

    @requires("resources:create")
    async def forgetful(_grant: CurrentGrant, session: TenantSession) -> str:
        session.add(Resource(name="forgotten", data={}))
        await session.flush()
        mark_recorded(session)
        return "leaked"

    router.add_api_route("/careless/unaware", unaware)
    router.add_api_route("/careless/forgetful", forgetful, methods=["POST"])
    app.include_router(router)
    yield app
    app.router.routes[:] = before


async def test_a_route_that_does_not_look_at_the_object_is_refused_and_changes_nothing(
    careless: FastAPI, tenant: TestTenant, make_person: MakePerson
) -> None:
    for rules_ in ([allow("resources:*", owner=True)], [allow("*:*"), deny("*:*", owner=True)]):
        person = await make_person(tenant, *rules_)
        assert problem(await person.client.get("/careless/unaware")) == (403, "forbidden")
        assert problem(await person.client.post("/careless/forgetful")) == (403, "forbidden")
    assert (await tenant.client.get(PATH)).json()["items"] == []
    assert (await tenant.client.get("/careless/unaware")).status_code == 200
    assert (await tenant.client.post("/careless/forgetful")).status_code == 200
    assert careless is not None


async def test_a_wildcard_with_a_condition_opens_no_route_that_knows_none(
    tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, allow("*:*", owner=True))
    for path in ("/v1/users", person.path, "/v1/roles", "/v1/access/permissions"):
        assert problem(await person.client.get(path)) == (403, "forbidden")
    assert (await person.client.get(PATH)).status_code == 200


async def test_sql_and_python_decide_alike(app: FastAPI, tenant: TestTenant) -> None:
    """Every condition as an allow and as a deny, over every kind of row, by both ways."""
    me = uuid.UUID((await tenant.client.get("/v1/users/me")).json()["id"])
    values: list[Any] = [
        {}, {"team": "blue"}, {"team": "red"}, {"team": 1}, {"team": 1.0}, {"team": True}, {"team": None},
        {"team": "1"}, {"team": ["blue"]}, {"team": {"blue": 1}}, {"deep": {"team": "blue"}},
        {"deep": "blue"},
    ]  # fmt: skip
    attributes = (
        "data.team",
        "data.deep.team",
        "data.team.blue",
        "name",
        "name.x",
        "data",
        "colour",
        "owner_id",
    )
    stored: list[dict[str, Any]] = [{"owner": True}] + [
        {"attribute": attribute, "equals": equals}
        for attribute in attributes
        for equals in ("blue", "red", 1, 0, True, False, "1", "", "%", "'; --")
    ]
    async with app.state.database.tenant(tenant.schema) as session:
        session.add_all(
            Resource(name=name, owner_id=owner, data=data)
            for name in ("blue", "1")
            for owner in (me, None)
            for data in values
        )
        await session.flush()
        rows = (await session.scalars(select(Resource))).all()
        assert len(rows) == 4 * len(values)
        seen = set()
        for condition in stored:
            assert parse_condition(condition) is not None
            for rule in (
                [allow("resources:read", **condition)],
                [allow("resources:read"), deny("resources:read", **condition)],
            ):
                for person in (me, None):
                    grant = Rights(compile_rules(rule), person=person).grant("resources:read")
                    by_sql = set(await session.scalars(select(Resource.id).where(*grant.filters(RESOURCES))))
                    by_python = {row.id for row in rows if grant.allows(RESOURCES, row)}
                    assert by_sql == by_python, (rule, person)
                    seen.add(len(by_sql))
        await session.rollback()
    assert len(seen) >= 6, "the rows do not tell the conditions apart"
