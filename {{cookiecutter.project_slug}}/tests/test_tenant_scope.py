"""No query escapes its tenant: who may open connections, what SQL may name, and where each model belongs."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Enum, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.core.database import PLATFORM_SCHEMA, PlatformBase, TenantBase
from app.tenants.models import TenantState

APP = Path(__file__).resolve().parents[1] / "app"

# Who may open connections and transactions of their own. They work as the owner of the database, name the
# schema themselves and serve no tenant's request. Everyone else is given a session that is in its tenant.
OWN_CONNECTIONS = {
    "cli/citus.py",
    "core/citus_provisioning.py",
    "core/database.py",
    "core/provisioning.py",
    "fleet/connections.py",
    "operators/service.py",
    "tenants/bootstrap.py",
    "tenants/creation.py",
    "tenants/export.py",
    "tenants/imports.py",
    "tenants/isolation_routing.py",
    "tenants/isolation_twins.py",
    "tenants/lifecycle.py",
    "tenants/move.py",
    "tenants/onboarding.py",
    "tenants/operations.py",
    "tenants/placements.py",
    "tenants/purge.py",
    "tenants/rebalance.py",
    "tenants/schema.py",
}
# Who may name schemas in SQL besides: migrations work on all of them, as the owner.
SCHEMA_NAMERS = {"core/migrations.py", "fleet/registry.py"}
# Who may make a pool that routes, and who may say where a transaction goes.
POOLS = {"main.py", "cli/connections.py", "tenants/isolation_routing.py"}
ROUTES = {"core/database.py", "tenants/isolation_routing.py"}

MAKERS = {
    "AsyncConnection", "AsyncEngine", "AsyncSession", "Session", "async_sessionmaker", "create_async_engine",
    "create_engine", "owner_engine", "sessionmaker",
}  # fmt: skip
# Without arguments: so engines are opened, while a service's own `begin(something)` is not meant.
OPENERS = {"begin", "connect", "get_raw_connection", "raw_connection"}
ROUTE_NAMES = {"PLATFORM", "ROUTE_OPTION", "Route", "tenant_route"}
SQL_CALLS = {"exec_driver_sql", "execute", "fetch", "fetchrow", "fetchval", "text"}
ESCAPES = re.compile(
    r"""(?<![@\w])platform\.[a-z_]+        # a shared table by its qualified name
      | \bt_[0-9a-f]{32}\b                 # a tenant's schema or role
      | \b(?:SET|RESET)\s+(?:LOCAL\s+|SESSION\s+)?(?:ROLE|AUTHORIZATION)\b
      | \bsearch_path\b | \bset_config\b""",
    re.VERBOSE,
)


def modules() -> list[str]:
    return sorted(str(path.relative_to(APP)) for path in APP.rglob("*.py"))


def parsed(module: str) -> ast.Module:
    return ast.parse((APP / module).read_text())


def called(node: ast.AST) -> str | None:
    """The last name of what is called: `create_engine` of `sqlalchemy.create_engine(…)`."""
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def own_connections(tree: ast.AST) -> Iterator[str]:
    """Each way in which a module gets at a connection that no route was given to."""
    for node in ast.walk(tree):
        name = called(node)
        if name in MAKERS:
            yield f"line {node.lineno}: makes {name}"
        elif name in OPENERS and isinstance(node, ast.Call) and not node.args:
            if isinstance(node.func, ast.Attribute):
                yield f"line {node.lineno}: opens with .{name}()"
        elif name == "connect" and ast.unparse(node).startswith("asyncpg."):
            yield f"line {node.lineno}: connects past the pool"


def pools(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if called(node) == "Database":
            yield f"line {node.lineno}: makes a pool"


def routes(tree: ast.AST) -> Iterator[str]:
    """Each way in which a module decides itself where a transaction or a table goes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "app.core.routing":
            for alias in node.names:
                if alias.name in ROUTE_NAMES:
                    yield f"line {node.lineno}: imports {alias.name}"
        elif isinstance(node, ast.keyword) and node.arg == "schema_translate_map":
            yield f"line {node.value.lineno}: translates schemas"


def escaping_sql(tree: ast.AST) -> Iterator[str]:
    """SQL text that names a schema or changes the role, also where the name is put in (`{schema}.users`)."""
    for call in ast.walk(tree):
        if called(call) == "set_config":
            yield f"line {call.lineno}: calls set_config"
        if called(call) not in SQL_CALLS:
            continue
        assert isinstance(call, ast.Call)
        for argument in call.args:
            for node in ast.walk(argument):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield from (f"line {node.lineno}: {found}" for found in ESCAPES.findall(node.value))
                elif isinstance(node, ast.JoinedStr):
                    yield from qualified_by_value(node)


def qualified_by_value(string: ast.JoinedStr) -> Iterator[str]:
    for value, following in zip(string.values, string.values[1:], strict=False):
        put_in = isinstance(value, ast.FormattedValue) and isinstance(following, ast.Constant)
        if put_in and re.match(r'"?\.\s*"?[a-z_{]', str(following.value)):
            yield f"line {string.lineno}: a schema is put into SQL"


def undeclared_models(tree: ast.AST) -> Iterator[str]:
    """Classes with a table that are neither the platform's nor a tenant's."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        has_table = any(
            isinstance(target, ast.Name) and target.id in {"__tablename__", "__table__"}
            for statement in node.body
            for target in assigned(statement)
        )
        if "DeclarativeBase" in bases or (has_table and not bases & {"PlatformBase", "TenantBase"}):
            yield node.name


def assigned(statement: ast.stmt) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return statement.targets
    return [statement.target] if isinstance(statement, ast.AnnAssign) else []


def misplaced_tables(metadata: MetaData, schema: str | None) -> list[str]:
    return [table.fullname for table in metadata.tables.values() if table.schema != schema]


def native_enums(metadata: MetaData) -> list[str]:
    """A type per schema, which a cached statement of another tenant does not fit: text and a CHECK do."""
    return [
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, Enum) and column.type.native_enum
    ]


def found_in(names: Iterable[str], check: object) -> dict[str, list[str]]:
    assert callable(check)
    found = {name: list(check(parsed(name))) for name in names}
    return {name: faults for name, faults in found.items() if faults}


@pytest.mark.parametrize(
    ("check", "allowed"),
    [(own_connections, OWN_CONNECTIONS), (pools, POOLS), (routes, ROUTES)],
    ids=["connections", "pools", "routes"],
)
def test_only_the_listed_modules_open_or_route_connections(check: object, allowed: set[str]) -> None:
    assert found_in(set(modules()) - allowed, check) == {}
    # What is listed for nothing would let something through later.
    assert set(found_in(allowed, check)) == allowed


def test_no_feature_names_a_schema_in_sql() -> None:
    assert found_in(set(modules()) - OWN_CONNECTIONS - ROUTES - SCHEMA_NAMERS, escaping_sql) == {}
    assert set(found_in(SCHEMA_NAMERS, escaping_sql)) == SCHEMA_NAMERS


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


SAMPLES = {
    "engine": (own_connections, "engine = sqlalchemy.create_engine(url)"),
    "owner's engine": (own_connections, "engine = owner_engine(url)"),
    "session": (own_connections, "async with AsyncSession(engine) as session: pass"),
    "connection": (own_connections, "async with database.engine.connect() as connection: pass"),
    "transaction": (own_connections, "async with self._engine.begin() as connection: pass"),
    "driver": (own_connections, "connection = asyncpg.connect(url)"),
    "raw connection": (own_connections, "raw = await connection.get_raw_connection()"),
    "pool": (pools, "database = Database(url, pool_size=1)"),
    "route": (routes, "from app.core.routing import ROUTE_OPTION"),
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
    "model without a base": (undeclared_models, "class Stray(Base):\n    __tablename__ = 'strays'"),
    "base of its own": (undeclared_models, "class Base(orm.DeclarativeBase): pass"),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_checks_see_a_bad_sample(sample: str) -> None:
    check, source = SAMPLES[sample]
    tree = ast.parse(f"async def feature():\n    {source}" if "class " not in source else source)
    assert list(check(tree))


def test_the_checks_let_a_good_sample_pass() -> None:
    source = """
class Note(TenantBase):
    __tablename__ = "notes"

async def service(session):
    operation = await impersonations.begin(action)
    async with session.begin_nested():
        await session.execute(text("SELECT name FROM notes WHERE owner = 'a@platform.test'"))
"""
    for check in (own_connections, pools, routes, escaping_sql, undeclared_models):
        assert list(check(ast.parse(source))) == []


def test_the_checks_of_tables_see_bad_ones() -> None:
    class SampleBase(DeclarativeBase):
        metadata = MetaData()

    class Sample(SampleBase):
        __tablename__ = "samples"
        __table_args__ = {"schema": "elsewhere"}  # noqa: RUF012

        id: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[TenantState]

    assert misplaced_tables(SampleBase.metadata, None) == ["elsewhere.samples"]
    assert native_enums(SampleBase.metadata) == ["samples.state"]
    assert Sample.__table__.name == "samples"
