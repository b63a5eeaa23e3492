"""API keys over HTTP: made once, never more than their maker, rotated with an overlap, revoked at once."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.audit import chain
from app.audit.models import AuditLog
from app.auth import api_keys
from app.core.database import Database
from tests.auth.keys import KEYS, holder_of, make_key, make_role, slug, status_of
from tests.conftest import TestOperator, TestTenant
from tests.work import counted_work

READ = {
    "id", "name", "display_prefix", "role", "scopes", "created_by", "created_at", "expires_at",
    "last_used_at", "revoked_at", "replaced_by",
}  # fmt: skip


def routes(key_id: str) -> list[tuple[str, str, Any]]:
    return [
        ("POST", KEYS, {"name": "x", "role": "read_only"}),
        ("GET", KEYS, None),
        ("GET", f"{KEYS}/{key_id}", None),
        ("POST", f"{KEYS}/{key_id}/rotate", {}),
        ("DELETE", f"{KEYS}/{key_id}", None),
    ]


async def rows_of(database: Database, tenant: TestTenant) -> list[Any]:
    async with database.tenant(tenant.schema) as session:
        return list((await session.execute(text("SELECT * FROM api_keys ORDER BY id"))).mappings())


async def test_anonymous_gets_401(client: httpx.AsyncClient) -> None:
    for method, path, body in routes(str(uuid.uuid4())):
        assert (await client.request(method, path, json=body)).status_code == 401, (method, path)


@pytest.mark.parametrize("role", ["developer", "read_only"])
async def test_other_roles_get_403(app: FastAPI, tenant: TestTenant, role: str) -> None:
    key = await make_key(tenant.client, role)
    async with holder_of(app, key) as client:
        for method, path, body in routes(key["id"]):
            assert (await client.request(method, path, json=body)).status_code == 403, (method, path)
    assert await status_of(app, key) == 200


async def test_another_tenants_key_is_404_and_unchanged(
    app: FastAPI, database: Database, tenant: TestTenant, stranger: TestTenant
) -> None:
    key = await make_key(tenant.client)
    before = await rows_of(database, tenant)
    for method, path, body in routes(key["id"])[2:]:
        answer = await stranger.client.request(method, path, json=body)
        assert (answer.status_code, slug(answer)) == (404, "api-key-not-found"), (method, path)
    assert key["id"] not in (await stranger.client.get(KEYS)).text
    assert await rows_of(database, tenant) == before
    assert await status_of(app, key) == 200


async def test_a_key_is_shown_once_and_opens_what_its_role_allows(app: FastAPI, tenant: TestTenant) -> None:
    answer = await tenant.client.post(KEYS, json={"name": "nightly import", "role": "developer"})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert set(made) == READ | {"api_key"}
    assert answer.headers["location"] == f"{KEYS}/{made['id']}"
    me = (await tenant.client.get("/v1/users/me")).json()
    assert (made["created_by"], made["revoked_at"], made["last_used_at"]) == (me["id"], None, None)
    read = await tenant.client.get(answer.headers["location"])
    assert read.json() == {name: made[name] for name in READ}
    async with holder_of(app, made) as client:
        assert (await client.post("/v1/resources", json={"name": "x"})).status_code == 201
        assert (await client.get(KEYS)).status_code == 403


async def test_the_list_pages_newest_first_and_tells_no_secret(tenant: TestTenant) -> None:
    made = [await make_key(tenant.client, name=f"key {number}") for number in range(3)]
    first = (await tenant.client.get(KEYS, params={"limit": 2})).json()
    cursor = first["next_cursor"]
    second = await tenant.client.get(KEYS, params={"limit": 2, "cursor": cursor})
    listed = [*first["items"], *second.json()["items"]]
    assert [key["name"] for key in listed] == ["key 2", "key 1", "key 0", "first key"]
    assert all(set(key) == READ for key in listed)
    written = str(listed)
    assert "bcrypt" not in written
    for key in made:
        assert key["api_key"].split("_")[3] not in written
        assert key["api_key"].split("_")[2] not in written
    others = await tenant.client.get("/v1/resources", params={"cursor": cursor})
    assert slug(others) == "invalid-cursor"


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "two\nlines"},
        {"name": "nul\x00"},
        {"role": ""},
        {"role": "Admin"},
        {"role": "admin'; DROP TABLE api_keys"},
        {"role": None},
        {"scopes": []},
        {"scopes": "resources:read"},
        {"scopes": ["resources"]},
        {"scopes": ["resources:read "]},
        {"scopes": ["resources:read\n"]},
        {"scopes": ["Resources:read"]},
        {"scopes": ["resources:**"]},
        {"scopes": ["resources:" + "a" * 200]},
        {"scopes": ["resources:read"] * 51},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2099-01-01T00:00:00"},
        {"expires_at": "9999-12-31T23:59:59-12:00"},
        {"expires_at": "tomorrow"},
        {"created_by": str(uuid.uuid4())},
        {"api_key": "mine"},
    ],
)
async def test_a_bad_key_is_422_and_none_is_made(
    tenant: TestTenant, database: Database, change: dict[str, Any]
) -> None:
    answer = await tenant.client.post(KEYS, json={"name": "x", "role": "admin", **change})
    assert (answer.status_code, slug(answer)) == (422, "validation-failed")
    assert len(await rows_of(database, tenant)) == 1


async def test_an_unknown_role_is_422(tenant: TestTenant) -> None:
    answer = await tenant.client.post(KEYS, json={"name": "x", "role": "nobody"})
    assert (answer.status_code, slug(answer)) == (422, "unknown-role")


async def test_scopes_narrow_the_role(app: FastAPI, tenant: TestTenant) -> None:
    key = await make_key(tenant.client, "developer", scopes=["resources:read", "resources:read", "*:create"])
    assert key["scopes"] == ["resources:read", "*:create"]
    async with holder_of(app, key) as client:
        made = await client.post("/v1/resources", json={"name": "x"})
        assert (made.status_code, (await client.get("/v1/resources")).status_code) == (201, 200)
        assert (await client.delete(made.headers["location"])).status_code == 403
        assert (await client.get("/v1/users")).status_code == 403
        assert (await client.post(KEYS, json={"name": "x", "role": "read_only"})).status_code == 403


async def test_a_key_in_use_ends_when_it_expires(app: FastAPI, tenant: TestTenant) -> None:
    end = datetime.now(UTC) + timedelta(seconds=1)
    key = await make_key(tenant.client, expires_at=end.isoformat())
    assert await status_of(app, key) == 200
    await asyncio.sleep((end - datetime.now(UTC)).total_seconds() + 0.01)
    assert await status_of(app, key) == 401
    assert (await tenant.client.get(f"{KEYS}/{key['id']}")).json()["revoked_at"] is None


MAKER = ("api_keys:*", "resources:*")


@pytest.mark.parametrize(
    ("maker", "asked"),
    [
        ({"role": "maker"}, {"role": "admin"}),
        ({"role": "maker"}, {"role": "developer"}),
        ({"role": "maker"}, {"role": "reader_of_others"}),
        ({"role": "maker"}, {"role": "developer", "scopes": ["*:read"]}),
        ({"role": "maker"}, {"role": "unlimited_but_for_users"}),
        ({"role": "admin", "scopes": ["api_keys:create", "resources:read"]}, {"role": "admin"}),
        ({"role": "admin", "scopes": ["api_keys:create"]}, {"role": "read_only"}),
        ({"role": "admin", "scopes": ["api_keys:create"]}, {"role": "admin", "scopes": ["*:create"]}),
        ({"role": "unlimited_but_for_users"}, {"role": "admin"}),
        ({"role": "unlimited_but_for_users"}, {"role": "read_only"}),
    ],
)
async def test_nobody_makes_a_key_that_may_do_more_than_they(
    app: FastAPI, database: Database, tenant: TestTenant, maker: dict[str, Any], asked: dict[str, Any]
) -> None:
    await make_role(database, tenant, "maker", *MAKER)
    await make_role(database, tenant, "reader_of_others", "others:read")
    await make_role(database, tenant, "unlimited_but_for_users", "*:*", deny="users:read")
    key = await make_key(tenant.client, **maker)
    async with holder_of(app, key) as client:
        answer = await client.post(KEYS, json={"name": "more", **asked})
    assert (answer.status_code, slug(answer)) == (403, "privilege-escalation")
    assert [row["name"] for row in await rows_of(database, tenant)] == ["first key", "import"]


@pytest.mark.parametrize(
    ("maker", "asked"),
    [
        ({"role": "maker"}, {"role": "maker"}),
        ({"role": "maker"}, {"role": "admin", "scopes": ["resources:read"]}),
        ({"role": "admin", "scopes": ["api_keys:create"]}, {"role": "admin", "scopes": ["api_keys:create"]}),
        ({"role": "unlimited_but_for_users"}, {"role": "read_only", "scopes": ["resources:*", "jobs:*"]}),
    ],
)
async def test_a_key_makes_one_that_may_do_as_much(
    app: FastAPI, database: Database, tenant: TestTenant, maker: dict[str, Any], asked: dict[str, Any]
) -> None:
    await make_role(database, tenant, "maker", *MAKER)
    await make_role(database, tenant, "unlimited_but_for_users", "*:*", deny="users:read")
    key = await make_key(tenant.client, **maker)
    async with holder_of(app, key) as client:
        made = await make_key(client, **asked)
    assert made["created_by"] is None


async def test_a_key_makes_none_that_outlives_it(app: FastAPI, tenant: TestTenant) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    key = await make_key(tenant.client, expires_at=end.isoformat())
    later = (end + timedelta(seconds=1)).isoformat()
    async with holder_of(app, key) as client:
        for method, path, body in (
            ("POST", KEYS, {"name": "x", "role": "admin"}),
            ("POST", KEYS, {"name": "x", "role": "admin", "expires_at": later}),
            ("POST", f"{KEYS}/{key['id']}/rotate", {"expires_at": later}),
        ):
            answer = await client.request(method, path, json=body)
            assert (answer.status_code, slug(answer)) == (403, "api-key-outlives-maker")
        made = await make_key(client, expires_at=end.isoformat())
        rotated = await client.post(f"{KEYS}/{made['id']}/rotate", json={})
    assert datetime.fromisoformat(rotated.json()["expires_at"]) == end


async def test_an_operator_who_acts_as_a_user_revokes_keys_and_makes_none(
    client: httpx.AsyncClient, database: Database, operator: TestOperator, tenant: TestTenant
) -> None:
    key = await make_key(tenant.client)
    body = {"email": tenant.login["email"], "reason": "Ticket 4711: a key leaked"}
    answer = await operator.client.post(f"/v1/tenants/{tenant.id}/impersonations", json=body)
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    for path, sent in ((KEYS, {"name": "x", "role": "read_only"}), (f"{KEYS}/{key['id']}/rotate", {})):
        answer = await client.post(path, json=sent)
        assert (answer.status_code, slug(answer)) == (403, "forbidden")
    assert (await client.delete(f"{KEYS}/{key['id']}")).status_code == 204
    async with database.tenant(tenant.schema) as session:
        query = text("SELECT actor_kind, actor_id FROM audit_logs ORDER BY sequence DESC LIMIT 1")
        assert tuple((await session.execute(query)).one()) == ("operator", operator.id)


async def test_a_tenant_has_so_many_working_keys(tenant: TestTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MAX_ACTIVE_KEYS", 2)
    key = await make_key(tenant.client)
    for path, body in ((KEYS, {"name": "x", "role": "read_only"}), (f"{KEYS}/{key['id']}/rotate", {})):
        answer = await tenant.client.post(path, json=body)
        assert (answer.status_code, slug(answer)) == (409, "too-many-api-keys")
    assert (await tenant.client.delete(f"{KEYS}/{key['id']}")).status_code == 204
    await make_key(tenant.client)


async def test_the_secret_is_hashed_before_a_connection_is_taken(tenant: TestTenant) -> None:
    key = await make_key(tenant.client)
    for path, body in ((KEYS, {"name": "x", "role": "read_only"}), (f"{KEYS}/{key['id']}/rotate", {})):
        await tenant.client.get(KEYS)
        with counted_work() as work:
            assert (await tenant.client.post(path, json=body)).status_code == 201
        assert work.trips.count("bcrypt") == 1
        assert work.trips.index("bcrypt") < work.trips.index("BEGIN")


async def test_a_rotated_key_works_on_beside_its_successor(app: FastAPI, tenant: TestTenant) -> None:
    old = await make_key(tenant.client, "developer", scopes=["resources:*"])
    before = datetime.now(UTC)
    answer = await tenant.client.post(f"{KEYS}/{old['id']}/rotate", json={})
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    new = answer.json()
    assert answer.headers["location"] == f"{KEYS}/{new['id']}"
    assert new["id"] != old["id"]
    for name in ("name", "role", "scopes", "expires_at", "replaced_by"):
        assert new[name] == old[name], name
    assert [await status_of(app, key) for key in (old, new)] == [200, 200]
    read = (await tenant.client.get(f"{KEYS}/{old['id']}")).json()
    assert (read["replaced_by"], read["revoked_at"]) == (new["id"], None)
    left = datetime.fromisoformat(read["expires_at"]) - before
    assert timedelta(hours=23, minutes=59) < left < timedelta(hours=24, minutes=1)


async def test_a_rotated_key_in_use_ends_with_the_overlap(app: FastAPI, tenant: TestTenant) -> None:
    old = await make_key(tenant.client)
    assert await status_of(app, old) == 200
    new = (await tenant.client.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 1})).json()
    assert await status_of(app, old) == 200
    await asyncio.sleep(1.1)
    assert [await status_of(app, key) for key in (old, new)] == [401, 200]


async def test_without_overlap_the_old_key_ends_at_once(app: FastAPI, tenant: TestTenant) -> None:
    old = await make_key(tenant.client)
    assert await status_of(app, old) == 200
    new = (await tenant.client.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 0})).json()
    assert [await status_of(app, key) for key in (old, new)] == [401, 200]


async def test_an_overlap_does_not_lengthen_a_key(tenant: TestTenant) -> None:
    end = datetime.now(UTC) + timedelta(minutes=5)
    old = await make_key(tenant.client, expires_at=end.isoformat())
    later = (end + timedelta(days=90)).isoformat()
    answer = await tenant.client.post(f"{KEYS}/{old['id']}/rotate", json={"expires_at": later})
    assert datetime.fromisoformat(answer.json()["expires_at"]) == end + timedelta(days=90)
    read = (await tenant.client.get(f"{KEYS}/{old['id']}")).json()
    assert datetime.fromisoformat(read["expires_at"]) == end


@pytest.mark.parametrize(
    "body",
    [
        {"overlap_seconds": -1},
        {"overlap_seconds": 604_801},
        {"overlap_seconds": "60"},
        {"overlap_seconds": 1.5},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"role": "admin"},
        [],
    ],
)
async def test_a_bad_rotation_is_422_and_changes_nothing(
    tenant: TestTenant, database: Database, body: Any
) -> None:
    before = await rows_of(database, tenant)
    answer = await tenant.client.post(f"{KEYS}/{before[0]['id']}/rotate", json=body)
    assert (answer.status_code, slug(answer)) == (422, "validation-failed")
    assert await rows_of(database, tenant) == before


async def test_only_a_working_key_without_a_successor_is_rotated(
    tenant: TestTenant, database: Database
) -> None:
    revoked, rotated, expired = [await make_key(tenant.client) for _ in range(3)]
    await tenant.client.delete(f"{KEYS}/{revoked['id']}")
    await tenant.client.post(f"{KEYS}/{rotated['id']}/rotate", json={})
    async with database.tenant(tenant.schema) as session:
        change = "created_at = now() - interval '2 d', expires_at = now() - interval '1 d'"
        await session.execute(text(f"UPDATE api_keys SET {change} WHERE id = :id"), {"id": expired["id"]})
    count = len(await rows_of(database, tenant))
    for key in (revoked, rotated, expired):
        answer = await tenant.client.post(f"{KEYS}/{key['id']}/rotate", json={})
        assert (answer.status_code, slug(answer)) == (409, "api-key-not-rotatable")
    assert len(await rows_of(database, tenant)) == count


async def test_of_rotations_at_once_one_succeeds(tenant: TestTenant) -> None:
    key = await make_key(tenant.client)
    path = f"{KEYS}/{key['id']}/rotate"
    answers = await asyncio.gather(*(tenant.client.post(path, json={}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_a_key_is_not_rotated_into_the_hands_of_somebody_with_less(
    app: FastAPI, database: Database, tenant: TestTenant
) -> None:
    await make_role(database, tenant, "rotator", "api_keys:rotate")
    admin_key, rotator = await make_key(tenant.client), await make_key(tenant.client, "rotator")
    async with holder_of(app, rotator) as client:
        answer = await client.post(f"{KEYS}/{admin_key['id']}/rotate", json={"overlap_seconds": 0})
        assert (answer.status_code, slug(answer)) == (403, "privilege-escalation")
        own = await client.post(f"{KEYS}/{rotator['id']}/rotate", json={"overlap_seconds": 0})
        assert own.status_code == 201
    assert await status_of(app, admin_key) == 200


async def test_a_revoked_key_is_refused_on_its_next_request_and_stays_listed(
    app: FastAPI, tenant: TestTenant
) -> None:
    key, other = await make_key(tenant.client), await make_key(tenant.client)
    assert [await status_of(app, each) for each in (key, other)] == [200, 200]
    revoked_at = set()
    for _ in range(2):
        assert (await tenant.client.delete(f"{KEYS}/{key['id']}")).status_code == 204
        revoked_at.add((await tenant.client.get(f"{KEYS}/{key['id']}")).json()["revoked_at"])
    assert [await status_of(app, each) for each in (key, other)] == [401, 200]
    assert len(revoked_at) == 1
    assert None not in revoked_at
    assert key["id"] in (await tenant.client.get(KEYS)).text


async def test_the_trail_tells_who_did_what_and_no_secret(
    app: FastAPI, database: Database, tenant: TestTenant
) -> None:
    maker = await make_key(tenant.client)
    async with holder_of(app, maker) as client:
        key = await make_key(client, "developer", scopes=["resources:read"])
        new = (await client.post(f"{KEYS}/{key['id']}/rotate", json={"overlap_seconds": 60})).json()
        for _ in range(2):
            await client.delete(f"{KEYS}/{key['id']}")
    async with database.tenant(tenant.schema) as session:
        query = text("SELECT * FROM audit_logs WHERE actor_id = :id ORDER BY sequence")
        rows = (await session.execute(query, {"id": maker["id"]})).mappings().all()
        whole = str((await session.execute(text("SELECT a::text FROM audit_logs a"))).scalars().all())
        await chain.verify(session, AuditLog)
    assert [(row["actor_kind"], row["action"], row["target_id"]) for row in rows] == [
        ("api_key", "api_keys.create", key["id"]),
        ("api_key", "api_keys.rotate", new["id"]),
        ("api_key", "api_keys.revoke", key["id"]),
    ]
    assert (rows[0]["details"]["after"]["role"], rows[0]["details"]["after"]["scopes"]) == (
        "developer",
        ["resources:read"],
    )
    assert (rows[1]["details"]["replaces"], rows[1]["details"]["overlap_seconds"]) == (key["id"], 60)
    for made in (maker, key, new):
        assert made["api_key"].split("_")[3] not in whole
    assert "bcrypt" not in whole
