"""No query escapes its tenant: who may open connections, what SQL may name, and where each model belongs."""

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ARRAY, BigInteger, Enum, Identity, MetaData, Sequence, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from app.core.database import PLATFORM_SCHEMA, PlatformBase, TenantBase
from app.tenants.models import TenantState
from tests.scope import (
    drivers,
    escaping_sql,
    own_connections,
    platform_sessions,
    pools,
    routes,
    state,
    tenant_sessions,
    undeclared_models,
)

APP = Path(__file__).resolve().parents[1] / "app"
Check = Callable[[ast.AST], Iterator[str]]

# Who may do what, and why. Everyone else is given a session that is in its request's tenant.
ALLOWED: dict[Check, dict[str, str]] = {
    own_connections: {
        "cli/citus.py": "asks the registry, as the owner, which tenant has a slug",
        "core/aws.py": "makes a session of boto3, which reaches no database",
        "core/citus_provisioning.py": "prepares the nodes of a cluster, as their superuser",
        "core/database.py": "makes the pool that routes, and the owner's engine",
        "core/provisioning.py": "makes logins and the database, as the superuser",
        "core/routing.py": "puts the route into the driver's BEGIN",
        "operators/service.py": "changes operators, which the runtime login may not",
        "tenants/admin_passwords.py": "changes a password with its row in the trail, as the owner",
        "tenants/bootstrap.py": "asks the registry, as the owner, for the first tenant",
        "tenants/copying.py": "runs COPY on connections that it is given",
        "tenants/creation.py": "claims slugs and writes the trail, as the owner",
        "tenants/export.py": "reads a whole tenant at one moment, as the owner",
        "tenants/imports.py": "makes a tenant, as the owner",
        "tenants/isolation_routing.py": "the control of the isolation proof, which must leak",
        "tenants/isolation_twins.py": "gives two tenants the same rows, as the owner",
        "tenants/lifecycle.py": "changes the registry, as the owner",
        "tenants/move.py": "copies a tenant between databases, as their owner",
        "tenants/onboarding.py": "makes a tenant, as the owner",
        "tenants/operations.py": "locks a tenant and records steps, as the owner",
        "tenants/placements.py": "keeps the owner's engines",
        "tenants/purge.py": "deletes a tenant and searches for what is left, as the owner",
        "tenants/rebalance.py": "moves schemas between the nodes of a cluster, as the owner",
        "tenants/schema.py": "runs the scripts of a schema, as the owner",
    },
    drivers: {
        "core/routing.py": "its connection is one that cannot begin without a route",
        "fleet/connections.py": "migrates, as the owner, in messages that SQLAlchemy cannot send",
    },
    pools: {
        "cli/connections.py": "a command is a process of its own",
        "doctor/databases.py": "tries each login as the service would use it",
        "doctor/revisions.py": "asks the registry as the login that serves",
        "main.py": "makes the pools of the service",
        "tenants/isolation_routing.py": "the isolation proof measures a pool of its own",
    },
    platform_sessions: {
        "cli/audit.py": "verifies the trail of operators, and finds tenants to verify theirs",
        "cli/connections.py": "opens them for a command",
        "cli/lookup.py": "finds a tenant by its slug",
        "cli/operators.py": "lists operators",
        "cli/tenants.py": "shows the registry to whoever runs the service",
        "doctor/databases.py": "asks the server who it takes the login for",
        "doctor/revisions.py": "counts the tenants that are behind",
        "health/router.py": "asks whether the registry answers",
        "limits/service.py": "reads the limits of one tenant, which it names",
        "operators/dependencies.py": "gives operators, and nobody else, their session",
        "operators/impersonation.py": "records on the trail who acted for whom",
        "operators/sessions.py": "logs operators in, who belong to no tenant",
        "tenants/registry.py": "finds the tenant that a request belongs to",
        "usage/service.py": "writes what was metered, of many tenants in a batch",
    },
    tenant_sessions: {
        "access/service.py": "compiles the policies of the tenant it is asked for",
        "auth/authenticator.py": "looks a credential up in the tenant that it names",
        "auth/key_verifier.py": "looks an API key up in the tenant that it names",
        "auth/last_used.py": "writes what requests of each tenant noted",
        "auth/password_changes.py": "holds no connection while it hashes, in the tenant of the principal",
        "auth/sessions.py": "logs in to the tenant that the login names",
        "cli/audit.py": "verifies the trails of the tenants that it is told",
        "cli/connections.py": "opens them for a command",
        "core/database.py": "finds the pool of a tenant's database",
        "core/dependencies.py": "gives a request the session in its tenant",
        "operators/impersonation.py": "checks the user for whom an operator is to act",
        "tenants/isolation_routing.py": "the isolation proof chooses its tenants",
    },
    state: {
        "core/dependencies.py": "gives endpoints what they ask for",
        "health/router.py": "asks whether the database answers",
        "main.py": "keeps them there",
    },
    routes: {
        "core/database.py": "opens sessions on a route",
        "tenants/isolation_routing.py": "the control of the isolation proof, which must leak",
    },
    escaping_sql: {
        "core/citus_provisioning.py": "probes whether a node lets a role in",
        "core/database.py": "says where shared tables are, and empties the search path",
        "core/migrations.py": "runs revisions in a schema, as the owner",
        "core/provisioning.py": "withholds set_config, and empties the search path",
        "core/routing.py": "writes the route",
        "doctor/aws.py": "names values of Terraform, some of which are in an object `platform`",
        "fleet/apply.py": "migrates the platform, as the owner",
        "fleet/lint.py": "refuses revisions that name schemas",
        "fleet/messages.py": "migrates schemas, as the owner",
        "fleet/reconcile.py": "corrects the registry, as the owner",
        "fleet/refusals.py": "refuses revisions that change the role or the search path",
        "fleet/registry.py": "reads revisions, as the owner",
        "fleet/runner.py": "records revisions, as the owner",
        "tenants/copying.py": "copies the tables of the schemas it is given, as the owner",
        "tenants/export.py": "reads a tenant's rows of shared tables, as the owner",
        "tenants/imports.py": "writes a tenant's rows of shared tables, as the owner",
        "tenants/isolation_routing.py": "the control of the isolation proof, which must leak",
        "tenants/isolation_twins.py": "gives two tenants the same rows, as the owner",
        "tenants/purge.py": "deletes a tenant's rows of shared tables, as the owner",
        "tenants/schema.py": "makes schemas, as the owner",
        "usage/service.py": "asks the registry which tenants were purged, in a session on shared tables",
    },
}


def modules() -> list[str]:
    return sorted(str(path.relative_to(APP)) for path in APP.rglob("*.py"))


def parsed(module: str) -> ast.Module:
    return ast.parse((APP / module).read_text())


def misplaced_tables(metadata: MetaData, schema: str | None) -> list[str]:
    return [table.fullname for table in metadata.tables.values() if table.schema != schema]


def native_enums(metadata: MetaData) -> list[str]:
    """A type per schema, which a cached statement of another tenant does not fit: text and a CHECK do."""
    return [
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if any(isinstance(kind, Enum) and kind.native_enum for kind in kinds_within(column.type))
    ]


def kinds_within(kind: TypeEngine[Any]) -> Iterator[TypeEngine[Any]]:
    """A type, and those that it is made of: the items of an array, what a decorator decorates, variants."""
    yield kind
    for part in (getattr(kind, "item_type", None), getattr(kind, "impl_instance", None)):
        if isinstance(part, TypeEngine) and part is not kind:
            yield from kinds_within(part)
    for variant in kind._variant_mapping.values():
        yield from kinds_within(variant)


def sequence_columns(metadata: MetaData) -> list[str]:
    """An integer key that says nothing else is SERIAL, whose sequence a tenant's role may not use."""
    return [
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.default, Sequence)
        or (column is table.autoincrement_column and column.identity is None)
    ]


def found_in(names: Iterable[str], check: Check) -> dict[str, list[str]]:
    found = {name: list(check(parsed(name))) for name in names}
    return {name: faults for name, faults in found.items() if faults}


@pytest.mark.parametrize("check", ALLOWED, ids=lambda check: check.__name__)
def test_only_the_listed_modules_leave_their_tenant(check: Check) -> None:
    assert found_in(set(modules()) - ALLOWED[check].keys(), check) == {}


@pytest.mark.parametrize("check", ALLOWED, ids=lambda check: check.__name__)
def test_no_module_is_listed_for_nothing(check: Check) -> None:
    """It would let something through later."""
    assert set(found_in(ALLOWED[check], check)) == ALLOWED[check].keys()
    assert all(ALLOWED[check].values())


def test_every_model_is_declared_platform_or_tenant() -> None:
    assert found_in(set(modules()) - {"core/database.py"}, undeclared_models) == {}
    assert misplaced_tables(PlatformBase.metadata, PLATFORM_SCHEMA) == []
    assert misplaced_tables(TenantBase.metadata, None) == []


def test_every_model_module_takes_part_in_migrations() -> None:
    """A module that `migrations/env.py` does not import has tables that no check above sees."""
    environment = ast.parse((APP.parent / "migrations" / "env.py").read_text())
    imported = {
        alias.name for node in ast.walk(environment) if isinstance(node, ast.Import) for alias in node.names
    }
    assert {f"app.{path.parent.name}.models" for path in APP.glob("*/models.py")} <= imported
    assert all(module.count("/") == 1 for module in modules() if module.endswith("models.py"))


def test_no_model_uses_a_native_enum() -> None:
    assert native_enums(PlatformBase.metadata) == []
    assert native_enums(TenantBase.metadata) == []


def test_no_model_needs_a_sequence() -> None:
    assert sequence_columns(PlatformBase.metadata) == []
    assert sequence_columns(TenantBase.metadata) == []


# What passed when only SQL within a call was read, and a session on the shared tables was anyone's.
LEAK = """
from sqlalchemy import text

OUT = "RESET ROLE"
ALL = "SELECT slug FROM platform.tenants"

async def everyone(session):
    await session.execute(text(OUT))
    return await session.scalars(text(ALL))

async def everything(request):
    async with request.app.state.database.platform() as session:
        return await session.execute(text("SELECT * FROM usage_metrics"))
"""
SAMPLES = {
    "engine": (own_connections, "engine = sqlalchemy.create_engine(url)"),
    "owner's engine": (own_connections, "engine = owner_engine(url)"),
    "session": (own_connections, "async with AsyncSession(engine) as session: pass"),
    "connection": (own_connections, "async with database.engine.connect() as connection: pass"),
    "transaction": (own_connections, "async with self._engine.begin() as connection: pass"),
    "driver": (drivers, "connection = asyncpg.connect(url)"),
    "driver by another name": (drivers, "import asyncpg as pg"),
    "part of the driver": (drivers, "from asyncpg import connect"),
    "part of the driver's module": (drivers, "from asyncpg.connection import Connection"),
    "driver that is handed on": (drivers, "connection = open_with(asyncpg)"),
    "another driver": (drivers, "import psycopg.rows"),
    "driver by a string": (drivers, "importlib.import_module('asyncpg').connect"),
    "engine maker by another name": (own_connections, "from sqlalchemy import create_engine as made"),
    "engine maker that is handed on": (own_connections, "make = partial(sqlalchemy.create_engine, url)"),
    "session by another name": (own_connections, "from sqlalchemy.ext.asyncio import AsyncSession as Rows"),
    "session that is handed on": (own_connections, "open_ = partial(AsyncSession, engine)"),
    "engine below a session": (own_connections, "engine = session.get_bind()"),
    "engine of a pool": (own_connections, "engine = database.engine"),
    "engine by a string": (own_connections, "engine = getattr(database, '_engine')"),
    "driver below a connection": (own_connections, "await driver_of(connection).execute(script)"),
    "shared session": (platform_sessions, "async with database.platform() as session: pass"),
    "shared session of the state": (platform_sessions, "opened = request.app.state.database.platform"),
    "shared session that is handed on": (platform_sessions, "open_ = self._database.platform"),
    "shared session by a string": (platform_sessions, "open_ = getattr(database, 'platform')"),
    "session of another tenant": (
        tenant_sessions,
        "async with self._databases.tenant(other) as session: pass",
    ),
    "pool of the state": (state, "database = request.app.state.database"),
    "engines of the state": (state, "owners = request.app.state.owners"),
    "pools of the state by a string": (state, "databases = getattr(request.app.state, 'databases')"),
    "raw connection": (own_connections, "raw = await connection.get_raw_connection()"),
    "pool": (pools, "database = Database(url, pool_size=1)"),
    "route": (routes, "from app.core.routing import ROUTE_OPTION"),
    "route by its module": (routes, "from app.core import routing"),
    "route through another module": (routes, "from app.core.database import PLATFORM"),
    "pool that is handed on": (pools, "make = partial(Database, url)"),
    "translated schema by a string": (routes, "options = {'schema_translate_map': {None: other}}"),
    "translated schema": (routes, "session.connection(execution_options=dict(schema_translate_map={}))"),
    "shared table": (escaping_sql, "session.execute(text('SELECT * FROM platform.tenants'))"),
    "another tenant": (escaping_sql, f"session.execute(text('SELECT * FROM t_{'0' * 32}.users'))"),
    "schema put in": (escaping_sql, "session.execute(text(f'SELECT * FROM {other}.users'))"),
    "quoted schema put in": (escaping_sql, 'connection.exec_driver_sql(f\'DELETE FROM "{other}"."users"\')'),
    "role": (escaping_sql, "connection.execute('RESET ROLE')"),
    "other role": (escaping_sql, "session.execute(text('SET LOCAL ROLE ' + other))"),
    "path": (escaping_sql, "session.execute(text('SET search_path TO x'))"),
    "set_config": (escaping_sql, "session.scalar(text(\"SELECT set_config('role', 'x', true)\"))"),
    "set_config as a function": (escaping_sql, "session.scalar(select(func.set_config('role', 'x', True)))"),
    "role in a constant": (escaping_sql, "OUT = 'reset role'"),
    "shared table in a constant": (escaping_sql, "ALL = 'SELECT slug FROM platform.tenants'"),
    "shared table in quotes": (escaping_sql, 'ALL = \'SELECT slug FROM "platform"."tenants"\''),
    "shared table by its schema": (escaping_sql, "from app.core.routing import PLATFORM_SCHEMA"),
    "role in a part of a string": (escaping_sql, "sql = f'SET LOCAL ROLE {other}'"),
    "role in two strings": (escaping_sql, "sql = 'SET ' + 'ROLE ' + other"),
    "login": (escaping_sql, "OUT = 'SET SESSION AUTHORIZATION app_owner'"),
    "path by another name": (escaping_sql, "OUT = f\"SET SCHEMA '{other}'\""),
    "all settings": (escaping_sql, "OUT = 'DISCARD ALL'"),
    "settings by a view": (escaping_sql, "OUT = 'UPDATE pg_settings SET setting = $1'"),
    "schema put in before the call": (escaping_sql, "sql = f'SELECT * FROM {other}.users'"),
    "schema put in, in small letters": (escaping_sql, "sql = f'select * from {other}.users'"),
    "schema put into a part": (escaping_sql, "sql = f' FROM {other}.users'"),
    "name put in with its schema": (escaping_sql, "sql = f'SELECT * FROM {other}.{users}'"),
    "model without a base": (undeclared_models, "class Stray(Base):\n    __tablename__ = 'strays'"),
    "base of its own": (undeclared_models, "class Base(orm.DeclarativeBase): pass"),
    "table of neither kind": (
        undeclared_models,
        "strays = Table('strays', MetaData(), Column('id', Integer))",
    ),
    "table of a schema": (escaping_sql, "select(table('users', column('id'), schema=name))"),
    "table of a schema that is handed on": (escaping_sql, "select(table('users', column('id'), **where))"),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_checks_see_a_bad_sample(sample: str) -> None:
    check, source = SAMPLES[sample]
    tree = ast.parse(f"async def feature():\n    {source}" if "class " not in source else source)
    assert list(check(tree))


def test_a_module_that_leaks_by_constants_and_shared_sessions_is_seen() -> None:
    tree = ast.parse(LEAK)
    assert list(escaping_sql(tree)) == ["line 4: RESET ROLE", "line 5: platform.tenants"]
    assert list(platform_sessions(tree)) == ["line 12: opens .platform()"]
    assert list(state(tree)) == ["line 12: takes state.database"]


def test_the_checks_let_a_good_sample_pass() -> None:
    source = """
'''Says of platform.tenants and SET ROLE what is to be known.'''
import asyncpg
from asyncpg.exceptions import PostgresError
from sqlalchemy.ext.asyncio import AsyncSession

class Note(TenantBase):
    __tablename__ = "notes"

async def service(session: AsyncSession):
    tenant, platform = report.tenant, report.platform
    log.info(f"{tenant.slug}.{platform} went from {tenant}. It came from {path.stem}.py to {place}")
    except_for = (asyncpg.PostgresError, asyncpg.exceptions.UndefinedTableError)
    operation = await impersonations.begin(action)
    async with session.begin_nested():
        await session.execute(text("SELECT name FROM notes WHERE owner = 'a@platform.test'"))
"""
    for check in (*ALLOWED, undeclared_models):
        assert list(check(ast.parse(source))) == []


def test_the_checks_of_tables_see_bad_ones() -> None:
    class Decorated(TypeDecorator[TenantState]):
        impl = Enum(TenantState)
        cache_ok = True

    class SampleBase(DeclarativeBase):
        metadata = MetaData()

    class Sample(SampleBase):
        __tablename__ = "samples"
        __table_args__ = {"schema": "elsewhere"}  # noqa: RUF012

        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[TenantState]
        states: Mapped[list[TenantState]] = mapped_column(ARRAY(Enum(TenantState)))
        decorated: Mapped[TenantState] = mapped_column(Decorated())
        varied: Mapped[str] = mapped_column(Text().with_variant(Enum(TenantState), "postgresql"))
        checked: Mapped[TenantState] = mapped_column(Enum(TenantState, native_enum=False))
        number: Mapped[int] = mapped_column(Sequence("numbers"))

    class Numbered(SampleBase):
        __tablename__ = "numbered"

        id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)

    class Given(SampleBase):
        __tablename__ = "given"

        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    assert misplaced_tables(SampleBase.metadata, None) == ["elsewhere.samples"]
    assert native_enums(SampleBase.metadata) == [
        f"samples.{name}" for name in ("state", "states", "decorated", "varied")
    ]
    assert sequence_columns(SampleBase.metadata) == ["samples.id", "samples.number"]
    assert [made.__tablename__ for made in (Sample, Numbered, Given)] == ["samples", "numbered", "given"]
