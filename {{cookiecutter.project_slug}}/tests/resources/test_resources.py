"""Resources over HTTP: anonymous and stranger first, then the owner, then what is refused."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import text

from app.core.validation import MAX_JSON_INTEGER, MIN_JSON_INTEGER
from app.resources.schemas import ResourceCreate
from tests.conftest import TestTenant

PATH = "/v1/resources"
SOMEBODY = "0198a1b2-0000-7000-8000-000000000000"
UNKNOWN = f"{PATH}/{SOMEBODY}"


async def create(tenant: TestTenant, name: str = "thermostat", **data: Any) -> dict[str, Any]:
    answer = await tenant.client.post(PATH, json={"name": name, "data": data})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["correlation_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["type"].removeprefix("urn:problem-type:")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PATH),
        ("GET", PATH),
        ("GET", UNKNOWN),
        ("PATCH", UNKNOWN),
        ("DELETE", UNKNOWN),
    ],
)
async def test_anonymous_gets_401(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path, json={"name": "x"} if method in {"POST", "PATCH"} else None)
    assert problem(answer) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_stranger_reads_404(tenant: TestTenant, stranger: TestTenant) -> None:
    resource = await create(tenant)
    answer = await stranger.client.get(f"{PATH}/{resource['id']}")
    assert problem(answer) == (404, "resource-not-found")


async def test_a_stranger_changes_nothing(tenant: TestTenant, stranger: TestTenant) -> None:
    resource = await create(tenant)
    answer = await stranger.client.patch(f"{PATH}/{resource['id']}", json={"name": "mine"})
    assert problem(answer) == (404, "resource-not-found")
    assert (await tenant.client.get(f"{PATH}/{resource['id']}")).json() == resource


async def test_a_stranger_deletes_nothing(tenant: TestTenant, stranger: TestTenant) -> None:
    resource = await create(tenant)
    answer = await stranger.client.delete(f"{PATH}/{resource['id']}")
    assert problem(answer) == (404, "resource-not-found")
    assert (await tenant.client.get(f"{PATH}/{resource['id']}")).json() == resource


async def test_a_stranger_lists_nothing(tenant: TestTenant, stranger: TestTenant) -> None:
    await create(tenant)
    assert (await stranger.client.get(PATH)).json() == {"items": [], "next_cursor": None}


async def test_a_stranger_creates_in_their_own_tenant(tenant: TestTenant, stranger: TestTenant) -> None:
    await create(stranger)
    assert (await tenant.client.get(PATH)).json()["items"] == []


async def test_a_cursor_of_another_tenant_or_collection_is_refused(
    tenant: TestTenant, stranger: TestTenant
) -> None:
    for index in range(2):
        await create(tenant, str(index))
    cursor = (await tenant.client.get(PATH, params={"limit": 1})).json()["next_cursor"]
    answer = await stranger.client.get(PATH, params={"cursor": cursor})
    assert problem(answer) == (400, "invalid-cursor")
    answer = await tenant.client.get("/v1/users", params={"cursor": cursor})
    assert problem(answer) == (400, "invalid-cursor")


async def test_create_read_change_delete(tenant: TestTenant) -> None:
    data = {"list": [1, 2.5, None, True], "text": "ü😀", "deep": {"a": {"b": {}}}}
    created = await tenant.client.post(PATH, json={"name": "one", "data": data})
    assert (created.status_code, created.json()["data"], created.json()["version"]) == (201, data, 1)
    location = created.headers["location"]
    read = await tenant.client.get(location)
    assert (read.status_code, read.json(), read.headers["etag"]) == (200, created.json(), '"1"')
    changed = await tenant.client.patch(location, json={"name": "two"})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert (changed.json()["name"], changed.json()["data"]) == ("two", data)
    deleted = await tenant.client.delete(location)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert problem(await tenant.client.get(location)) == (404, "resource-not-found")
    assert problem(await tenant.client.delete(location)) == (404, "resource-not-found")


async def test_a_person_owns_what_they_create(tenant: TestTenant) -> None:
    me = (await tenant.client.get("/v1/users/me")).json()
    assert (await create(tenant))["owner_id"] == me["id"]


async def test_a_person_who_was_deleted_writes_nothing_more(tenant: TestTenant, app: FastAPI) -> None:
    me = (await tenant.client.get("/v1/users/me")).json()
    async with app.state.database.tenant(tenant.schema) as session:
        await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": me["id"]})
    answer = await tenant.client.post(PATH, json={"name": "x"})
    assert problem(answer) == (401, "unauthorized")
    assert answer.json()["detail"] == "The user of this token is gone."


async def test_a_201_is_never_sent_before_the_commit(tenant: TestTenant) -> None:
    """Many at once, each read back over another connection at the moment its answer arrives."""

    async def round_trip(index: int) -> int:
        created = await create(tenant, str(index))
        return (await tenant.client.get(f"{PATH}/{created['id']}")).status_code

    assert await asyncio.gather(*(round_trip(index) for index in range(30))) == [200] * 30


async def test_pages_hold_every_row_once_newest_first(tenant: TestTenant) -> None:
    names = [(await create(tenant, f"r{index}"))["name"] for index in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await tenant.client.get(PATH, params=params)).json()
        seen += [item["name"] for item in page["items"]]
        if seen == names[:3:-1]:
            await create(tenant, "added meanwhile")
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == names[::-1]


@pytest.mark.parametrize(
    "tag", ['"2"', '"999"', '"2147483648"', '"9999999999"', f'"{"9" * 60}"', '"0"', '"x"', 'W/"1"', '""']
)
async def test_another_version_is_412_and_changes_nothing(tenant: TestTenant, tag: str) -> None:
    resource = await create(tenant)
    path = f"{PATH}/{resource['id']}"
    for answer in (
        await tenant.client.patch(path, json={"name": "lost"}, headers={"If-Match": tag}),
        await tenant.client.delete(path, headers={"If-Match": tag}),
    ):
        assert problem(answer) == (412, "resource-changed")
    assert (await tenant.client.get(path)).json() == resource


async def test_of_two_concurrent_changes_with_the_same_tag_one_wins(tenant: TestTenant) -> None:
    path = f"{PATH}/{(await create(tenant))['id']}"
    answers = await asyncio.gather(
        *(
            tenant.client.patch(path, json={"name": f"n{index}"}, headers={"If-Match": '"1"'})
            for index in range(6)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 5


@pytest.mark.parametrize(
    "tag", ["1", '"1', 'w/"1"', '"1" OR 1=1', '"1" "2"', '"1", 2', "*, *", '*, "1"', "", " , "]
)
async def test_a_malformed_tag_is_400(tenant: TestTenant, tag: str) -> None:
    path = f"{PATH}/{(await create(tenant))['id']}"
    answer = await tenant.client.patch(path, json={"name": "x"}, headers={"If-Match": tag})
    assert problem(answer) == (400, "invalid-entity-tag")
    answer = await tenant.client.get(path, headers={"If-None-Match": tag})
    assert problem(answer) == (400, "invalid-entity-tag")


@pytest.mark.parametrize("tags", [['"7", "1"'], ['W/"1", "1"'], ['"a,b" ,, "1",'], ['"7"', '"1"'], ["*"]])
async def test_one_tag_of_several_that_is_current_is_enough(tenant: TestTenant, tags: list[str]) -> None:
    path = f"{PATH}/{(await create(tenant))['id']}"
    answer = await tenant.client.patch(path, json={"name": "x"}, headers=[("If-Match", tag) for tag in tags])
    assert answer.status_code == 200


@pytest.mark.parametrize("tags", ['"7", "8"', 'W/"1"', 'W/"1", "2"', '"1,"', '"01"', '"4294967297"'])
async def test_no_current_tag_among_several_is_412(tenant: TestTenant, tags: str) -> None:
    resource = await create(tenant)
    path = f"{PATH}/{resource['id']}"
    answer = await tenant.client.patch(path, json={"name": "lost"}, headers={"If-Match": tags})
    assert problem(answer) == (412, "resource-changed")
    assert (await tenant.client.get(path)).json() == resource


async def test_what_a_client_has_already_is_304(tenant: TestTenant) -> None:
    path = f"{PATH}/{(await create(tenant))['id']}"
    for tags in ('"1"', 'W/"1"', '"9", "1"', "*"):
        answer = await tenant.client.get(path, headers={"If-None-Match": tags})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"')
    await tenant.client.patch(path, json={"name": "newer"})
    answer = await tenant.client.get(path, headers={"If-None-Match": '"1"'})
    assert (answer.status_code, answer.json()["name"]) == (200, "newer")


BAD_BODIES = [
    ({}, "body.name"),
    ({"name": ""}, "body.name"),
    ({"name": "   "}, "body.name"),
    ({"name": "a" * 201}, "body.name"),
    ({"name": "nul\x00"}, "body.name"),
    ({"name": "line\nbreak"}, "body.name"),
    ({"name": 1}, "body.name"),
    ({"name": "x", "data": []}, "body.data"),
    ({"name": "x", "data": "text"}, "body.data"),
    ({"name": "x", "data": {"nul": "\x00"}}, "body.data"),
    ({"name": "x", "data": {"nul\x00": 1}}, "body.data"),
    ({"name": "x", "data": {"big": 2**64}}, "body.data"),
    ({"name": "x", "unknown": 1}, "body.unknown"),
    ({"name": "x", "owner_id": SOMEBODY}, "body.owner_id"),
    ({"name": "x", "tenant_id": SOMEBODY}, "body.tenant_id"),
    ([], "body"),
    (None, "body"),
    ("text", "body"),
]


@pytest.mark.parametrize(("body", "field"), BAD_BODIES)
async def test_a_bad_body_is_422_names_the_field_and_writes_nothing(
    tenant: TestTenant, body: Any, field: str
) -> None:
    answer = await tenant.client.post(PATH, json=body)
    assert problem(answer) == (422, "validation-failed")
    assert field in {fault["field"] for fault in answer.json()["errors"]}
    assert (await tenant.client.get(PATH)).json()["items"] == []


RAW_BODIES = [
    (b"{", 400),
    (b"{'name': 'x'}", 400),
    (b"\xff\xfe", 400),
    ('{"name": "x"}'.encode("utf-16"), 400),
    ('{"name": "x"}'.encode("utf-16-le"), 400),
    (b'\xef\xbb\xbf{"name": "x"}', 400),
    (b'{"name": "x\xff"}', 400),
    (b'{"name": "x", "name": "y"}', 400),
    (b'{"name": "x", "data": {"a": [{"b": 1, "b": 1}]}}', 400),
    (b'{"name": "x", "\\u006eame": "y"}', 400),
    (b'{"name": "x", "data": {"a": NaN}}', 400),
    (b'{"name": "x", "data": {"a": -Infinity}}', 400),
    (b'{"name": "x", "data": {"a": 1e999}}', 422),
    (b'{"name": "\\ud800"}', 422),
    (b'{"name": "x", "data": {"\\udfff": 1}}', 422),
    (b'{"name": "x", "data": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", 422),
    (b'{"name": "x", "data": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400),
    (b'{"name": "x", "data": {"a": ' + b"9" * 5000 + b"}}", 400),
    (b"", 422),
]


@pytest.mark.parametrize(("body", "status"), RAW_BODIES)
async def test_json_that_cannot_be_stored_is_refused_and_writes_nothing(
    tenant: TestTenant, body: bytes, status: int
) -> None:
    answer = await tenant.client.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert problem(answer) == (status, "malformed-json" if status == 400 else "validation-failed")
    assert (await tenant.client.get(PATH)).json()["items"] == []


async def test_a_body_that_is_not_json_is_refused(tenant: TestTenant) -> None:
    answer = await tenant.client.post(PATH, content=b'{"name": "x"}', headers={"Content-Type": "text/plain"})
    assert problem(answer)[0] == 415


async def test_a_large_body_is_413_and_writes_nothing(tenant: TestTenant) -> None:
    answer = await tenant.client.post(PATH, json={"name": "x", "data": {"a": "b" * 10_000_000}})
    assert problem(answer) == (413, "payload-too-large")

    async def endless() -> Any:
        yield b'{"name": "x", "data": {"a": "'
        for _ in range(200):
            yield b"b" * 50_000

    headers = {"Content-Type": "application/json"}
    answer = await tenant.client.post(PATH, content=endless(), headers=headers)
    assert problem(answer) == (413, "payload-too-large")
    assert (await tenant.client.get(PATH)).json()["items"] == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{PATH}/not-a-uuid", 422),
        (f"{PATH}/%00", 422),
        (f"{UNKNOWN}%00", 422),
        (f"{PATH}?limit=0", 422),
        (f"{PATH}?limit=101", 422),
        (f"{PATH}?limit=x", 422),
        (f"{PATH}?cursor=forged", 400),
        (f"{PATH}?cursor=%00", 400),
        (f"{PATH}?cursor={'a' * 5000}", 422),
        ("/v1/nothing", 404),
        (f"{PATH}/", 404),
        (f"{PATH}/../../etc/passwd", 404),
    ],
)
async def test_a_bad_address_is_a_problem(tenant: TestTenant, path: str, status: int) -> None:
    answer = await tenant.client.get(path, headers={"Host": "evil.test"})
    assert problem(answer)[0] == status
    assert "evil.test" not in f"{answer.headers} {answer.text}"


async def test_a_wrong_method_is_405(tenant: TestTenant) -> None:
    assert problem(await tenant.client.put(PATH, json={})) == (405, "method-not-allowed")


async def test_an_empty_change_is_refused(tenant: TestTenant) -> None:
    path = f"{PATH}/{(await create(tenant))['id']}"
    for body in ({}, {"name": None}, {"name": None, "data": None}):
        assert problem(await tenant.client.patch(path, json=body))[0] == 422


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(MIN_JSON_INTEGER, MAX_JSON_INTEGER)
    # JSONB keeps decimal digits, so beyond 2^53 a float comes back as the integer that its digits spell.
    | st.floats(-(2**53), 2**53)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)


@given(name=st.text(max_size=250), data=st.dictionaries(st.text(max_size=10), json_values, max_size=5))
def test_what_the_schema_accepts_is_storable(name: str, data: dict[str, Any]) -> None:
    """The model accepts or raises its own error, and never accepts NUL or control characters."""
    try:
        body = ResourceCreate(name=name, data=data)
    except ValidationError:
        return
    assert 0 < len(body.name) <= 200
    assert "\x00" not in body.name
    assert body.name.encode()


async def test_any_accepted_document_comes_back_as_it_was(tenant: TestTenant) -> None:
    documents: list[dict[str, Any]] = []

    @given(
        st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), json_values
        )
    )
    def collect(document: dict[str, Any]) -> None:
        documents.append(document)

    collect()
    for document in documents[:60]:
        answer = await tenant.client.post(PATH, json={"name": "x", "data": document})
        if answer.status_code == 422:
            continue
        assert answer.status_code == 201, (document, answer.text)
        stored = (await tenant.client.get(answer.headers["location"])).json()["data"]
        assert stored == document
