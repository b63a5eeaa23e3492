"""Another role for a person, disabled, removed: on the next request, and never the last admin."""

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from tests.conftest import TestTenant, client_of
from tests.people import MakePerson, Person

UNKNOWN = f"/v1/users/{uuid.UUID(int=7)}"


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:problem-type:")


async def me(tenant: TestTenant) -> dict[str, Any]:
    answer: dict[str, Any] = (await tenant.client.get("/v1/users/me")).json()
    return answer


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_anonymous_gets_401(client: httpx.AsyncClient, method: str) -> None:
    assert problem(await client.request(method, UNKNOWN, json={"role": "admin"})) == (401, "unauthorized")


async def test_a_stranger_changes_and_removes_nobody(
    tenant: TestTenant, stranger: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, role="developer")
    before = (await tenant.client.get(person.path)).json()
    for answer in (
        await stranger.client.patch(person.path, json={"role": "admin"}),
        await stranger.client.patch(person.path, json={"state": "disabled"}),
        await stranger.client.delete(person.path),
    ):
        assert problem(answer) == (404, "user-not-found")
    assert (await tenant.client.get(person.path)).json() == before


async def test_another_role_acts_on_the_next_request_of_the_same_token(
    app: FastAPI, tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, role="read_only")
    assert (await person.client.post("/v1/resources", json={"name": "x"})).status_code == 403
    changed = await tenant.client.patch(person.path, json={"role": "developer"})
    assert (changed.status_code, changed.json()["role"], changed.headers["etag"]) == (200, "developer", '"2"')
    assert (await person.client.post("/v1/resources", json={"name": "x"})).status_code == 201
    await tenant.client.patch(person.path, json={"role": "read_only"})
    assert (await person.client.post("/v1/resources", json={"name": "x"})).status_code == 403
    async with app.state.database.tenant(tenant.schema) as session:
        rows = await session.execute(
            text(
                "SELECT actor_kind, target_id, details FROM audit_logs"
                " WHERE action = 'users.update' ORDER BY sequence"
            )
        )
        first, second = rows.all()
    assert (first.actor_kind, first.target_id) == ("user", str(person.id))
    was, became = {"role": "read_only"}, {"role": "developer"}
    assert first.details == {"before": was, "after": became}
    assert second.details == {"before": became, "after": was}


async def test_who_is_disabled_is_out_at_once_and_stays_out(
    app: FastAPI, tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, role="developer")
    assert (await tenant.client.patch(person.path, json={"state": "disabled"})).status_code == 200
    assert (await person.client.get("/v1/resources")).status_code == 401
    async with client_of(app) as client:
        assert (await client.post("/v1/auth/login", json=person.login)).status_code == 401
        assert (await tenant.client.patch(person.path, json={"state": "active"})).status_code == 200
        # The old session does not come back to life.
        assert (await person.client.get("/v1/resources")).status_code == 401
        assert (await client.post("/v1/auth/login", json=person.login)).status_code == 200


async def test_who_is_removed_is_out_at_once_and_what_they_made_stays(
    tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, role="developer")
    made = await person.client.post("/v1/resources", json={"name": "x"})
    assert (await tenant.client.delete(person.path)).status_code == 204
    assert (await person.client.get("/v1/resources")).status_code == 401
    assert problem(await tenant.client.get(person.path)) == (404, "user-not-found")
    assert (await tenant.client.get(made.headers["location"])).json()["owner_id"] is None


async def test_a_change_of_an_old_version_is_412(tenant: TestTenant, make_person: MakePerson) -> None:
    person = await make_person(tenant, role="developer")
    tag = (await tenant.client.get(person.path)).headers["etag"]
    answers = await asyncio.gather(
        *(
            tenant.client.patch(person.path, json={"role": role}, headers={"If-Match": tag})
            for role in ("read_only", "admin")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert problem(await tenant.client.delete(person.path, headers={"If-Match": tag})) == (
        412,
        "user-changed",
    )
    assert (await tenant.client.get(person.path)).json()["version"] == 2


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({}, "validation-failed"),
        ({"role": None}, "validation-failed"),
        ({"role": "emperor\x00"}, "validation-failed"),
        ({"state": "invited"}, "validation-failed"),
        ({"email": "x@y.test"}, "validation-failed"),
        ({"role": "emperor"}, "unknown-role"),
    ],
)
async def test_what_cannot_be_is_422(
    tenant: TestTenant, make_person: MakePerson, body: dict[str, Any], slug: str
) -> None:
    person = await make_person(tenant, role="developer")
    answer = await tenant.client.patch(person.path, json=body)
    assert problem(answer) == (422, slug)
    if slug == "unknown-role":
        assert answer.json()["known"] == ["admin", "developer", "read_only"]


async def test_an_invited_person_is_not_made_active_by_others(
    app: FastAPI, tenant: TestTenant, make_person: MakePerson
) -> None:
    person = await make_person(tenant, role="developer")
    async with app.state.database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE users SET state = 'invited' WHERE id = :id"), {"id": person.id})
    assert problem(await tenant.client.patch(person.path, json={"state": "active"})) == (
        409,
        "not-yet-joined",
    )
    assert (await tenant.client.patch(person.path, json={"role": "read_only"})).status_code == 200


@pytest.mark.parametrize("change", [{"role": "developer"}, {"state": "disabled"}, None])
async def test_the_last_active_admin_stays(
    tenant: TestTenant, make_person: MakePerson, change: dict[str, str] | None
) -> None:
    admin = await me(tenant)
    path = f"/v1/users/{admin['id']}"
    other = await make_person(tenant, role="admin")
    # A disabled admin is none that could help.
    assert (await tenant.client.patch(other.path, json={"state": "disabled"})).status_code == 200

    async def attempt() -> httpx.Response:
        return await (tenant.client.patch(path, json=change) if change else tenant.client.delete(path))

    assert problem(await attempt()) == (409, "last-admin")
    assert await me(tenant) == admin
    assert (await tenant.client.patch(other.path, json={"state": "active"})).status_code == 200
    assert (await attempt()).status_code in {200, 204}


@pytest.mark.parametrize("way", ["demote", "disable", "remove", "leave"])
async def test_admins_who_act_at_once_leave_one(
    tenant: TestTenant, make_person: MakePerson, way: str
) -> None:
    """Each of five acts on the next, or on themselves, in the same moment."""
    first = await me(tenant)
    people = [await make_person(tenant, role="admin") for _ in range(4)]
    clients = [tenant.client, *(person.client for person in people)]
    paths = [f"/v1/users/{first['id']}", *(person.path for person in people)]
    targets = paths if way == "leave" else paths[1:] + paths[:1]

    async def act(client: httpx.AsyncClient, target: str) -> httpx.Response:
        if way == "remove":
            return await client.delete(target)
        change = {"state": "disabled"} if way == "disable" else {"role": "read_only"}
        return await client.patch(target, json=change)

    answers = await asyncio.gather(*map(act, clients, targets))
    assert {answer.status_code for answer in answers} <= {200, 204, 401, 403, 409}, [a.text for a in answers]
    left = [await client.get("/v1/users") for client in clients]
    admins = [
        user
        for answer in left
        if answer.status_code == 200
        for user in answer.json()["items"]
        if user["role"] == "admin" and user["state"] == "active"
    ]
    assert len({user["id"] for user in admins}) == 1


async def test_logins_go_on_while_people_are_changed(
    app: FastAPI, tenant: TestTenant, make_person: MakePerson
) -> None:
    people: list[Person] = [await make_person(tenant, role="admin") for _ in range(3)]

    async def log_in_often(person: Person) -> list[int]:
        async with client_of(app) as client:
            return [(await client.post("/v1/auth/login", json=person.login)).status_code for _ in range(5)]

    async def change_often(person: Person) -> list[int]:
        bodies = [{"role": role} for role in ("developer", "admin") * 3]
        return [(await tenant.client.patch(person.path, json=body)).status_code for body in bodies]

    results = await asyncio.gather(*map(log_in_often, people), *map(change_often, people))
    assert {status for statuses in results for status in statuses} == {200}


async def test_people_who_refresh_while_they_are_removed_are_refused_and_break_nothing(
    app: FastAPI, tenant: TestTenant, make_person: MakePerson
) -> None:
    """A removal and a refresh may wait for each other: then one is told to try again, which is no fault."""
    people = [await make_person(tenant, role="developer") for _ in range(6)]

    async def refresh_until_refused(person: Person) -> int:
        async with client_of(app) as client:
            answer = await client.post("/v1/auth/login", json=person.login)
            while answer.status_code in {200, 503}:
                if answer.status_code == 200:
                    body = {"refresh_token": answer.json()["refresh_token"]}
                answer = await client.post("/v1/auth/refresh", json=body)
            return answer.status_code

    async def remove(person: Person) -> int:
        await asyncio.sleep(0.1)
        while (answer := await tenant.client.delete(person.path)).status_code == 503:
            assert answer.headers["retry-after"] == "1"
        return answer.status_code

    results = await asyncio.gather(*map(refresh_until_refused, people), *map(remove, people))
    assert results == [401] * 6 + [204] * 6
