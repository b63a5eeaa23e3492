"""Requests are served, and right, while the tables under them change."""

import asyncio
import itertools
from collections import Counter

import httpx

from app.core.settings import Settings
from app.main import create_app
from tests.conftest import TestTenant, tenant_maker
from tests.fleet.conftest import ADD_COLUMN, BUILD_INDEX, HEAD, OF_MIGRATOR, FleetDatabase, MakeTree

RESOURCES = "/v1/resources"
TENANTS = 6


class Visitor:
    """Creates, reads, changes and lists in one tenant, and compares every answer with what it wrote."""

    def __init__(self, tenant: TestTenant) -> None:
        self._tenant = tenant
        self.wrong: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.written = 0

    async def visit(self, until: asyncio.Event) -> None:
        for number in itertools.count():
            if until.is_set():
                return
            await self._round(f"{self._tenant.credentials.tenant} {number}")

    async def _round(self, name: str) -> None:
        client = self._tenant.client
        created = self._note(await client.post(RESOURCES, json={"name": name}), 201)
        if created.status_code != 201:
            return
        self.written += 1
        path = f"{RESOURCES}/{created.json()['id']}"
        self._expect(self._note(await client.get(path), 200), name)
        etag = {"If-Match": created.headers["etag"]}
        self._expect(
            self._note(await client.patch(path, json={"name": f"{name}!"}, headers=etag), 200), f"{name}!"
        )
        listed = self._note(await client.get(RESOURCES, params={"limit": 20}), 200)
        for item in listed.json().get("items", []):
            if not item["name"].startswith(self._tenant.credentials.tenant):
                self.wrong.append(f"another tenant's {item['name']}")

    def _note(self, answer: httpx.Response, expected: int) -> httpx.Response:
        self.statuses[answer.status_code] += 1
        if answer.status_code != expected:
            self.wrong.append(f"{answer.request.method} {answer.status_code}: {answer.text}")
        return answer

    def _expect(self, answer: httpx.Response, name: str) -> None:
        if answer.status_code == 200 and answer.json()["name"] != name:
            self.wrong.append(f"{answer.json()['name']} instead of {name}")


async def test_no_request_fails_or_is_wrong_while_columns_and_indexes_come(
    database: FleetDatabase, make_tree: MakeTree, settings: Settings
) -> None:
    urls = {"database_url": database.urls.runtime, "migration_database_url": database.urls.owner}
    own = Settings(_env_file=None, **(settings.model_dump() | urls))
    app = create_app(own)
    async with app.router.lifespan_context(app), tenant_maker(app) as make_tenant:
        tenants = [await make_tenant() for _ in range(TENANTS)]
        visitors = [Visitor(tenant) for tenant in tenants]
        done = asyncio.Event()
        visits = [asyncio.create_task(visitor.visit(done)) for visitor in visitors]
        await until_written(visitors, 3)
        async with database.connect() as report:
            # A report that reads for a while: the column has to give way, and to try again.
            await report.execute(f"BEGIN; SELECT count(*) FROM {tenants[0].schema}.resources")
            fleet = database.fleet(make_tree(ADD_COLUMN, BUILD_INDEX))
            applying = asyncio.create_task(fleet.apply())
            await database.until(f"SELECT count(*) = 1 {OF_MIGRATOR} AND wait_event_type = 'Lock'")
            await database.until(f"SELECT count(*) = 0 {OF_MIGRATOR} AND wait_event_type = 'Lock'")
            await report.execute("COMMIT")
            migrated = await applying
        before = [visitor.written for visitor in visitors]
        await until_written(visitors, max(before) + 2)
        done.set()
        await asyncio.gather(*visits)
    assert migrated.ok, migrated.as_json()
    assert [tenant.attempts > 0 for tenant in migrated.tenants] == [True] * TENANTS
    assert [visitor.wrong for visitor in visitors] == [[]] * TENANTS
    assert min(visitor.statuses[200] for visitor in visitors) > 10
    for tenant, visitor in zip(tenants, visitors, strict=True):
        assert await database.value(f"SELECT count(*) FROM {tenant.schema}.resources") == visitor.written
        assert (
            await database.value(f"SELECT version_num FROM {tenant.schema}.alembic_version") == "x2" != HEAD
        )


async def until_written(visitors: list[Visitor], number: int) -> None:
    for _ in range(2000):
        if all(visitor.written >= number for visitor in visitors):
            return
        await asyncio.sleep(0.01)
    raise AssertionError([visitor.wrong for visitor in visitors])
