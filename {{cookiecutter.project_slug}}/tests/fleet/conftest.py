"""A database of its own for each test of migrations, with as many tenants as it needs, and trees to run."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url, text

from app.core.context import tenant_schema
from app.core.database import owner_engine
from app.core.ids import new_id
from app.core.migrations import head_revision, versions_folder
from app.core.provisioning import OWNER_ROLE, provision_database
from app.fleet import Fleet, connections
from app.fleet.script import RevisionTree
from app.tenants.schema import create_schema
from tests.conftest import DatabaseURLs

HEAD = head_revision("tenant")
ADD_COLUMN = """
def upgrade():
    op.add_column("resources", sa.Column("color", sa.String(), server_default="none", nullable=False))

def downgrade():
    op.drop_column("resources", "color")
"""
# The sessions of a migrator in a database, but for those that ask about it.
OF_MIGRATOR = "FROM pg_stat_activity WHERE application_name = 'app-migrate' AND datname = current_database()"
BUILD_INDEX = """
def upgrade():
    with op.get_context().autocommit_block():
        op.create_index("ix_resources_name", "resources", ["name"], postgresql_concurrently=True)

def downgrade():
    with op.get_context().autocommit_block():
        op.drop_index("ix_resources_name", table_name="resources", postgresql_concurrently=True)
"""
INSERT_TENANT = """
    INSERT INTO platform.tenants (id, slug, name, state, placement, revision)
    VALUES (:id, :slug, :slug, :state, :placement, :revision)
"""


@dataclass(frozen=True, slots=True)
class Member:
    """A tenant as the tests made it."""

    id: uuid.UUID
    slug: str

    @property
    def schema(self) -> str:
        return tenant_schema(self.id)


@dataclass(frozen=True, slots=True)
class FleetDatabase:
    """A provisioned database whose platform is at head."""

    urls: DatabaseURLs

    @property
    def owners(self) -> dict[str, str]:
        return {"default": self.urls.owner}

    def fleet(self, tree: RevisionTree | None = None, **further: str) -> Fleet:
        return Fleet(self.owners | further, tenant=tree)

    async def add(
        self,
        number: int = 1,
        *,
        state: str = "active",
        placement: str = "default",
        revision: str | None = HEAD,
        with_schema: bool = True,
    ) -> list[Member]:
        """Tenants as onboarding makes their schemas, some in a transaction; in the order of their ids."""
        made = [Member(new_id(), f"f-{uuid.uuid4().hex[:12]}") for _ in range(number)]
        engine = owner_engine(self.urls.owner)
        common = {"state": state, "placement": placement, "revision": revision}
        for start in range(0, number, 10):
            async with engine.begin() as connection:
                for each in made[start : start + 10]:
                    values = {"id": each.id, "slug": each.slug, **common}
                    await connection.execute(text(INSERT_TENANT), values)
                    if with_schema:
                        await create_schema(connection, each.schema)
        await engine.dispose()
        return made

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        """As the owner."""
        connection = await asyncpg.connect(self.urls.owner)
        try:
            yield connection
        finally:
            await connection.close()

    async def run(self, script: str) -> None:
        async with self.connect() as connection:
            await connection.execute(script)

    async def value(self, query: str, *arguments: object) -> Any:
        async with self.connect() as connection:
            return await connection.fetchval(query, *arguments)

    async def until(self, query: str, *arguments: object) -> Any:
        """Ask again until the answer is neither nothing nor zero; fails after a while."""
        async with self.connect() as connection:
            for _ in range(2000):
                if answer := await connection.fetchval(query, *arguments):
                    return answer
                await asyncio.sleep(0.01)
        raise AssertionError(f"never: {query}")

    async def revisions(self, members: list[Member]) -> list[tuple[str | None, str | None]]:
        """What the registry and the schema say of each, at one moment."""
        found = []
        async with self.connect() as connection, connection.transaction(isolation="repeatable_read"):
            for each in members:
                registry = await connection.fetchval(
                    "SELECT revision FROM platform.tenants WHERE id = $1", each.id
                )
                own = await connection.fetchval(f"SELECT version_num FROM {each.schema}.alembic_version")
                found.append((registry, own))
        return found

    async def schemas_with_column(self, name: str) -> set[str]:
        async with self.connect() as connection:
            rows = await connection.fetch(
                "SELECT n.nspname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND a.attname = $1",
                name,
            )
        return {row["nspname"] for row in rows}

    async def index_is_valid(self, member: Member, name: str) -> bool | None:
        """None when there is no such index."""
        return await self.value(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", f"{member.schema}.{name}"
        )


MakeDatabase = Callable[[], Awaitable[FleetDatabase]]


@pytest.fixture(scope="session")
async def template(database_urls: DatabaseURLs) -> AsyncIterator[FleetDatabase]:
    """Beside the database of the other tests, with the same logins; those of each test are copies of it."""
    name = f"fleet_{uuid.uuid4().hex[:12]}"
    await provision_database(
        database_urls.superuser,
        database=name,
        owner_password=str(make_url(database_urls.owner).password),
        runtime_password=str(make_url(database_urls.runtime).password),
    )
    made = FleetDatabase(_renamed(database_urls, name))
    assert (await made.fleet().apply()).ok
    yield made
    await _as_superuser(database_urls, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def make_database(template: FleetDatabase) -> AsyncIterator[MakeDatabase]:
    """Databases with a platform at head and no tenant; dropped afterwards."""
    made: list[str] = []

    async def make() -> FleetDatabase:
        name = f"fleet_{uuid.uuid4().hex[:12]}"
        made.append(name)
        source = make_url(template.urls.owner).database
        await _as_superuser(template.urls, f"CREATE DATABASE {name} TEMPLATE {source} OWNER {OWNER_ROLE}")
        return FleetDatabase(_renamed(template.urls, name))

    yield make
    for name in made:
        await _as_superuser(template.urls, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(make_database: MakeDatabase) -> FleetDatabase:
    return await make_database()


def _renamed(urls: DatabaseURLs, database: str) -> DatabaseURLs:
    """The same logins on another database."""
    parsed = {key: make_url(url).set(database=database) for key, url in asdict(urls).items()}
    return DatabaseURLs(**{key: url.render_as_string(hide_password=False) for key, url in parsed.items()})


async def _as_superuser(urls: DatabaseURLs, statement: str) -> None:
    postgres = make_url(urls.superuser).set(database="postgres").render_as_string(hide_password=False)
    connection = await asyncpg.connect(postgres)
    await connection.execute(statement)
    await connection.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that the fleet's own connections send."""
    statements: list[str] = []
    connect = connections.connect

    async def listened(url: str, placement: str) -> Any:
        connection = await connect(url, placement)
        connection.add_query_logger(lambda record: statements.append(record.query))
        return connection

    monkeypatch.setattr(connections, "connect", listened)
    return statements


MakeTree = Callable[..., RevisionTree]


@pytest.fixture
def make_tree(tmp_path: Path) -> MakeTree:
    """The tenant tree's real revisions and, after its head, one with each of these bodies: x1, x2, …"""

    def make(*bodies: str, name: str = "tenant") -> RevisionTree:
        tree = "platform" if name == "platform" else "tenant"
        folder = tmp_path / f"versions-{uuid.uuid4().hex[:8]}"
        shutil.copytree(versions_folder(tree), folder, ignore=shutil.ignore_patterns("__pycache__"))
        down = head_revision(tree)
        for number, body in enumerate(bodies, start=1):
            header = f"import sqlalchemy as sa\nfrom alembic import op\nrevision = 'x{number}'\n"
            (folder / f"x{number}_added.py").write_text(f"{header}down_revision = '{down}'\n{body}")
            down = f"x{number}"
        return RevisionTree(tree, folder)

    return make
