"""People over HTTP: strangers see nobody."""

import httpx
import pytest

from app.core.database import Database
from app.users import service
from app.users.errors import EmailTaken
from tests.conftest import TestTenant


@pytest.mark.parametrize("path", ["/v1/users", "/v1/users/me"])
async def test_anonymous_gets_401(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 401


async def test_a_stranger_sees_nobody(tenant: TestTenant, stranger: TestTenant) -> None:
    me = (await tenant.client.get("/v1/users/me")).json()
    answer = await stranger.client.get(f"/v1/users/{me['id']}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem-type:user-not-found")
    listed = (await stranger.client.get("/v1/users")).json()["items"]
    assert [user["email"] for user in listed] == [stranger.login["email"]]


async def test_people_are_listed_and_read_without_their_hashes(tenant: TestTenant) -> None:
    (listed,) = (await tenant.client.get("/v1/users")).json()["items"]
    assert (await tenant.client.get(f"/v1/users/{listed['id']}")).json() == listed
    assert set(listed) == {
        "id",
        "email",
        "full_name",
        "role",
        "state",
        "last_login_at",
        "version",
        "created_at",
    }


async def test_an_email_is_taken_once_whatever_its_case(tenant: TestTenant, database: Database) -> None:
    async with database.tenant(tenant.schema) as session:
        with pytest.raises(EmailTaken):
            await service.create_user(
                session, email=tenant.login["email"].upper(), role="admin", password_hash="x"
            )
        created = await service.create_user(
            session, email="Grace@Acme.test", role="developer", password_hash="x"
        )
    assert created.email == "grace@acme.test"
