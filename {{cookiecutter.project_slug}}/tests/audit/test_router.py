"""The audit trail over HTTP: anonymous, stranger and those without the permission first, then its filters."""

import re
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.audit import service as audit
from tests.commands import ROOT
from tests.conftest import TestOperator, TestTenant

PATH = "/v1/audit"
RESOURCES = "/v1/resources"
ROUTES = [PATH, f"{PATH}/1", f"{PATH}/checkpoint"]


async def entries(tenant: TestTenant, **params: Any) -> list[dict[str, Any]]:
    answer = await tenant.client.get(PATH, params={"limit": "100", **params})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def create(tenant: TestTenant, name: str = "thermostat", **data: Any) -> str:
    answer = await tenant.client.post(RESOURCES, json={"name": name, "data": data})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def use_role(app: FastAPI, tenant: TestTenant, role: str) -> None:
    """Give the tenant's admin another role, and log in anew."""
    async with app.state.database.tenant(tenant.schema) as session:
        await session.execute(text("UPDATE users SET role = :role"), {"role": role})
    answer = await tenant.client.post("/v1/auth/login", json=tenant.login)
    tenant.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


@pytest.mark.parametrize("path", ROUTES)
async def test_anonymous_gets_401(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize("role", ["read_only", "developer"])
async def test_only_admins_read_it(app: FastAPI, tenant: TestTenant, role: str) -> None:
    await create(tenant)
    await use_role(app, tenant, role)
    for path in ROUTES:
        answer = await tenant.client.get(path)
        assert (answer.status_code, answer.json()["permission"]) == (403, "audit:read")


async def test_a_stranger_sees_their_own_trail_only(tenant: TestTenant, stranger: TestTenant) -> None:
    resource = await create(tenant)
    await create(tenant)
    newest = (await entries(tenant))[0]
    assert await entries(stranger, target_kind="resource", target_id=resource) == []
    assert await entries(stranger, action="resources.*") == []
    answer = await stranger.client.get(f"{PATH}/{newest['sequence']}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem-type:audit-entry-not-found")
    cursor = (await tenant.client.get(PATH, params={"limit": 1})).json()["next_cursor"]
    answer = await stranger.client.get(PATH, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:problem-type:invalid-cursor")
    assert (await entries(tenant))[0] == newest


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nobody_writes_it(tenant: TestTenant, method: str) -> None:
    await create(tenant)
    before = await entries(tenant)
    for path in ROUTES:
        assert (await tenant.client.request(method, path, json={})).status_code == 405
    assert await entries(tenant) == before


async def test_what_is_created_changed_and_deleted_is_told(tenant: TestTenant) -> None:
    me = (await tenant.client.get("/v1/users/me")).json()["id"]
    resource = await create(tenant, "one", a=1, target=20.5)
    url = f"{RESOURCES}/{resource}"
    changed = await tenant.client.patch(url, json={"data": {"a": True}})
    await tenant.client.delete(url)
    deleted, updated, created = await entries(tenant, target_kind="resource", target_id=resource)
    data = {"a": 1, "target": 20.5}
    assert created["details"] == {"after": {"name": "one", "data": data, "owner_id": me}}
    assert updated["details"] == {"before": {"data": data}, "after": {"data": {"a": True}}}
    assert deleted["details"] == {"before": {"name": "one", "data": {"a": True}, "owner_id": me}}
    actions = [entry["action"] for entry in (created, updated, deleted)]
    assert actions == ["resources.create", "resources.update", "resources.delete"]
    assert {(entry["actor_kind"], entry["actor_id"]) for entry in (created, updated, deleted)} == {
        ("user", me)
    }
    assert updated["correlation_id"] == changed.headers["x-request-id"]
    assert updated["previous_hash"] == created["hash"]
    assert (await tenant.client.get(f"{PATH}/{updated['sequence']}")).json() == updated


async def test_one_is_not_true(tenant: TestTenant) -> None:
    """Python says that they are equal, and a trail must not."""
    resource = await create(tenant, a=1)
    await tenant.client.patch(f"{RESOURCES}/{resource}", json={"data": {"a": True}})
    assert (await entries(tenant))[0]["details"]["after"] == {"data": {"a": True}}


async def test_what_is_refused_leaves_no_entry(tenant: TestTenant) -> None:
    resource = await create(tenant)
    before = await entries(tenant)
    url = f"{RESOURCES}/{resource}"
    for method, path, headers in (
        ("PATCH", url, {"If-Match": '"7"'}),
        ("DELETE", url, {"If-Match": '"7"'}),
        ("PATCH", f"{RESOURCES}/{uuid.uuid4()}", {}),
        ("DELETE", f"{RESOURCES}/{uuid.uuid4()}", {}),
    ):
        body = {"name": "x"} if method == "PATCH" else None
        assert (await tenant.client.request(method, path, json=body, headers=headers)).status_code in {
            404,
            412,
        }
    assert await entries(tenant) == before


async def test_a_long_value_is_kept_as_its_digest(tenant: TestTenant) -> None:
    resource = await create(tenant, text="ü" * 3000)
    await tenant.client.patch(f"{RESOURCES}/{resource}", json={"data": {"text": "ü" * 2999}})
    updated, created = await entries(tenant, target_kind="resource", target_id=resource)
    assert created["details"]["after"]["data"]["bytes"] == 6000 + len('{"text":""}')
    before, after = updated["details"]["before"]["data"], updated["details"]["after"]["data"]
    assert before == created["details"]["after"]["data"]
    assert before["sha256"] != after["sha256"]


async def test_an_api_key_is_the_actor_of_what_it_does(tenant: TestTenant, client: httpx.AsyncClient) -> None:
    headers = {"X-API-Key": tenant.credentials.api_key}
    answer = await client.post(RESOURCES, json={"name": "x"}, headers=headers)
    assert answer.status_code == 201, answer.text
    (entry,) = await entries(tenant, actor_kind="api_key")
    assert entry["actor_id"] != (await tenant.client.get("/v1/users/me")).json()["id"]
    assert await entries(tenant, actor_kind="api_key", actor_id=entry["actor_id"]) == [entry]


async def test_behind_an_impersonation_the_operator_is_the_actor(
    tenant: TestTenant, operator: TestOperator, client: httpx.AsyncClient
) -> None:
    asked = {"email": tenant.credentials.email, "reason": "Ticket 4711", "minutes": 5}
    token = await operator.client.post(f"/v1/tenants/{tenant.id}/impersonations", json=asked)
    headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
    answer = await client.post(RESOURCES, json={"name": "x"}, headers=headers)
    assert answer.status_code == 201, answer.text
    (entry,) = await entries(tenant, action="resources.create")
    assert (entry["actor_kind"], entry["actor_id"]) == ("operator", str(operator.id))
    assert entry["details"]["acting_as"] == token.json()["user_id"]
    assert (await client.get(PATH, headers=headers)).status_code == 200


async def test_filters_are_joined_by_and(app: FastAPI, tenant: TestTenant) -> None:
    ada, key = uuid.uuid4(), uuid.uuid4()
    written: list[tuple[audit.ActorKind, uuid.UUID, str, str, str]] = [
        ("user", ada, "jobs.create", "job", "1"),
        ("api_key", key, "jobs.create", "job", "2"),
        ("user", ada, "jobs_archive.create", "job", "2"),
        ("user", ada, "jobs.cancel", "job", "2"),
        ("user", ada, "things:do", "thing", "2"),
    ]
    async with app.state.database.tenant(tenant.schema) as session:
        for kind, actor, action, target_kind, target_id in written:
            await audit.record(
                session,
                actor_kind=kind,
                actor_id=actor,
                action=action,
                target_kind=target_kind,
                target_id=target_id,
            )

    async def found(**params: str) -> list[int]:
        items = await entries(tenant, **params)
        facts = [
            (e["actor_kind"], uuid.UUID(e["actor_id"]), e["action"], e["target_kind"], e["target_id"])
            for e in items
            if e["actor_id"] in {str(ada), str(key)}
        ]
        return [written.index(fact) for fact in facts]

    assert await found() == [4, 3, 2, 1, 0]
    assert await found(actor_id=str(ada)) == [4, 3, 2, 0]
    assert await found(actor_kind="api_key") == [1]
    assert await found(action="jobs.create") == [1, 0]
    assert await found(action="jobs.*") == [3, 1, 0]
    assert await found(action="things:*") == [4]
    assert await found(target_kind="job") == [3, 2, 1, 0]
    assert await found(target_kind="job", target_id="2") == [3, 2, 1]
    assert await found(target_kind="job", target_id="2", actor_id=str(ada), action="jobs.*") == [3]
    assert await found(target_id="_", target_kind="job") == []


async def test_time_is_a_span_without_its_end(tenant: TestTenant) -> None:
    await create(tenant)
    await create(tenant)
    second, first = await entries(tenant, action="resources.create")
    between = {"from": first["occurred_at"], "to": second["occurred_at"]}
    assert await entries(tenant, action="resources.create", **between) == [first]
    assert await entries(tenant, action="resources.create", **{"from": second["occurred_at"]}) == [second]
    elsewhere = datetime.fromisoformat(second["occurred_at"]).astimezone(timezone(timedelta(hours=5)))
    assert await entries(tenant, action="resources.create", to=elsewhere.isoformat()) == [first]


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({"from": "2026-11-23T09:30:00"}, "from", "timezone"),
        ({"to": "yesterday"}, "to", "datetime"),
        ({"from": "2026-11-23T09:30:00Z", "to": "2026-11-23T09:30:00Z"}, "", "`from` must be before `to`"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from", "UTC"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "to", "UTC"),
        ({"actor_kind": "somebody"}, "actor_kind", "'user'"),
        ({"actor_id": "ada"}, "actor_id", "UUID"),
        ({"action": "*"}, "action", "pattern"),
        ({"action": "resources.create%"}, "action", "pattern"),
        ({"action": "resources.create\n"}, "action", "pattern"),
        ({"target_kind": "A"}, "target_kind", "pattern"),
        ({"target_id": "1"}, "", "target_kind"),
        ({"target_kind": "job", "target_id": "\x00"}, "target_id", "NUL"),
        ({"limit": "0"}, "limit", "greater"),
        ({"limit": "101"}, "limit", "less"),
        ({"cursor": "x" * 401}, "cursor", "400"),
    ],
    ids=str,
)
async def test_a_filter_that_makes_no_sense_is_told(
    tenant: TestTenant, params: dict[str, str], field: str, says: str
) -> None:
    answer = await tenant.client.get(PATH, params=params)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"].removeprefix("query").removeprefix(".") == field
    assert says in error["message"]


@pytest.mark.parametrize("sequence", ["0", "-1", "x", str(2**63), "1.5"])
async def test_what_is_no_sequence_is_told(tenant: TestTenant, sequence: str) -> None:
    assert (await tenant.client.get(f"{PATH}/{sequence}")).status_code == 422


async def test_the_last_possible_sequence_is_not_found(tenant: TestTenant) -> None:
    assert (await tenant.client.get(f"{PATH}/{2**63 - 1}")).status_code == 404


async def test_pages_hold_every_entry_once_newest_first(tenant: TestTenant) -> None:
    for number in range(5):
        await create(tenant, f"r{number}")
    expected = [entry["sequence"] for entry in await entries(tenant, action="resources.create")]
    seen: list[int] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "action": "resources.create"} | ({"cursor": cursor} if cursor else {})
        page = (await tenant.client.get(PATH, params=params)).json()
        seen += [entry["sequence"] for entry in page["items"]]
        await create(tenant, "added meanwhile")
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == expected
    assert seen == sorted(seen, reverse=True)


def test_the_docs_name_every_filter_and_column(app: FastAPI) -> None:
    page = (ROOT / "docs" / "audit.md").read_text()
    named = {
        name
        for row in re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    document = app.openapi()
    parameters = document["paths"][PATH]["get"]["parameters"]
    columns = document["components"]["schemas"]["AuditEntryRead"]["properties"]
    assert named == {parameter["name"] for parameter in parameters} | columns.keys()
