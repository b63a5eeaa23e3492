"""Reads a module for whatever could leave a tenant: connections, sessions, routes, schemas and roles in SQL.

Each check yields what it found, as `line 7: …`. They keep mistakes out; what a tenant's role may not do, the
database refuses (docs/tenancy.md).
"""

import ast
import re
from collections.abc import Iterator
from typing import Final

# They may be named to say what is given, as an annotation does; not be made, and not be handed on to be made.
SESSION_CLASSES: Final = {"AsyncConnection", "AsyncEngine", "AsyncSession", "Session"}
ENGINE_MAKERS: Final = {
    "async_engine_from_config", "async_scoped_session", "async_sessionmaker", "create_async_engine",
    "create_engine", "engine_from_config", "owner_engine", "scoped_session", "sessionmaker",
}  # fmt: skip
# Without arguments: so engines are opened, while a service's own `begin(something)` is not meant.
OPENERS: Final = {"begin", "connect", "get_raw_connection", "raw_connection"}
# What leads from a session or a pool to the connection or the engine below it.
BELOW: Final = {
    "_engine", "driver_connection", "engine", "get_bind", "sync_connection", "sync_engine", "sync_session",
}  # fmt: skip
DRIVERS: Final = {"aiopg", "asyncpg", "pg8000", "psycopg", "psycopg2"}
STATE: Final = {"database", "databases", "owners"}
ROUTE_NAMES: Final = {"PLATFORM", "ROUTE_OPTION", "Route", "tenant_route"}
SQL_CALLS: Final = {
    "exec_driver_sql",
    "execute",
    "fetch",
    "fetchrow",
    "fetchval",
    "scalar",
    "scalars",
    "text",
}
ESCAPES: Final = re.compile(
    r"""(?<![@\w])platform"?\."?[a-z_]+    # a shared table by its qualified name
      | \bt_[0-9a-f]{32}\b                 # a tenant's schema or role
      | \b(?:SET|RESET)\s+(?:LOCAL\s+|SESSION\s+)?"?(?:ROLE|SCHEMA|AUTHORIZATION|ALL)\b
      | \bDISCARD\s+ALL\b
      | \bsearch_path\b | \bset_config\b | \bsession_authorization\b | \bpg_settings\b""",
    re.VERBOSE | re.IGNORECASE,
)
BEFORE_A_TABLE: Final = re.compile(
    r'\b(?:FROM|INTO|JOIN|ONLY|TABLE|TRUNCATE|UPDATE|USING)\s+"?$', re.IGNORECASE
)
BEHIND_A_SCHEMA: Final = re.compile(r'"?\.\s*"?[a-z_\0]')
# In a sentence small letters say nothing.
SQL_VERB: Final = re.compile(
    r"\b(?:FROM|INTO|JOIN|TABLE)\b|(?i:\b(?:alter|copy|delete|drop|insert|lock|select|truncate|update)\b)"
)


def last_name(node: ast.AST) -> str | None:
    """`create_engine` of `sqlalchemy.create_engine`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def called(node: ast.AST) -> str | None:
    """The last name of what is called."""
    return last_name(node.func) if isinstance(node, ast.Call) else None


def attributes(tree: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, str]]:
    """Where an attribute is looked up, of what, and its name; also by `getattr(object, "name")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node, node.value, node.attr
        elif isinstance(node, ast.Call) and called(node) == "getattr":
            match node.args:
                case [value, ast.Constant(value=str(name)), *_]:
                    yield node, value, name


def imported(tree: ast.AST) -> Iterator[tuple[str, str, ast.alias]]:
    """Line, module and name of each import; the module is empty for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            yield from ((f"line {node.lineno}", module, alias) for alias in node.names)


def own_connections(tree: ast.AST) -> Iterator[str]:
    """Each way in which a module gets at a connection that no route was given to."""
    for line, _, alias in imported(tree):
        if alias.name in ENGINE_MAKERS or (alias.name in SESSION_CLASSES and alias.asname):
            yield f"{line}: imports {alias.name}"
    for node, _, name in attributes(tree):
        if name in ENGINE_MAKERS | BELOW:
            yield f"line {node.lineno}: reaches for .{name}"
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = called(call)
        if name in ENGINE_MAKERS | {"driver_of"}:
            yield f"line {call.lineno}: calls {name}"
        elif name in OPENERS and not call.args and isinstance(call.func, ast.Attribute):
            yield f"line {call.lineno}: opens with .{name}()"
        for made in SESSION_CLASSES & {name, *map(last_name, call.args)}:
            yield f"line {call.lineno}: makes {made}"


def drivers(tree: ast.AST) -> Iterator[str]:
    """Each use of a database driver but for the errors it raises."""
    harmless = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and (node.attr.endswith("Error") or node.attr == "exceptions")
    }
    for line, module, alias in imported(tree):
        package = (module or alias.name).partition(".")[0]
        errors = module == "asyncpg.exceptions" or alias.name.endswith("Error") or alias.name == "exceptions"
        plain = alias.name == "asyncpg" and not module and not alias.asname
        if package in DRIVERS and not plain and not errors:
            yield f"{line}: imports {alias.name} of {package}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "asyncpg" and node not in harmless:
            yield f"line {node.lineno}: uses asyncpg"
        elif called(node) in {"import_module", "__import__"}:
            yield f"line {node.lineno}: imports by name"


def pools(tree: ast.AST) -> Iterator[str]:
    """Each pool that is made, or handed on to be made."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and "Database" in {called(node), *map(last_name, node.args)}:
            yield f"line {node.lineno}: makes a pool"


def platform_sessions(tree: ast.AST) -> Iterator[str]:
    """Each session on the shared tables, where all tenants' rows are."""
    return sessions(tree, "platform")


def tenant_sessions(tree: ast.AST) -> Iterator[str]:
    """Each session in a tenant that the module chose, and not the request."""
    return sessions(tree, "tenant")


def sessions(tree: ast.AST, kind: str) -> Iterator[str]:
    calls = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node, value, name in attributes(tree):
        # A method that is handed on is told from a field of the same name by what it is looked up on.
        if name == kind and (node in calls or str(last_name(value)).endswith(("database", "databases"))):
            yield f"line {node.lineno}: opens .{kind}()"


def state(tree: ast.AST) -> Iterator[str]:
    """Each use of the pools and engines that the service keeps in its state."""
    for node, value, name in attributes(tree):
        if name in STATE and last_name(value) == "state":
            yield f"line {node.lineno}: takes state.{name}"


def routes(tree: ast.AST) -> Iterator[str]:
    """Each way in which a module decides itself where a transaction or a table goes."""
    for line, module, alias in imported(tree):
        if module.startswith("app.") and alias.name in ROUTE_NAMES:
            yield f"{line}: imports {alias.name}"
        elif alias.name == "app.core.routing" or (module, alias.name) == ("app.core", "routing"):
            yield f"{line}: imports app.core.routing whole"
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "schema_translate_map":
            yield f"line {node.value.lineno}: translates schemas"
        elif isinstance(node, ast.Constant) and node.value == "schema_translate_map":
            yield f"line {node.lineno}: translates schemas"


def escaping_sql(tree: ast.AST) -> Iterator[str]:
    """Text that names a schema or changes the role, wherever it stands, also where the name is put in.

    Docstrings and foreign keys are no SQL that a module sends.
    """
    apart = {node for part in ast.walk(tree) for node in not_sent(part)}
    yield from tables_of_schemas(tree)
    for line, _, alias in imported(tree):
        if alias.name == "PLATFORM_SCHEMA":
            yield f"{line}: imports PLATFORM_SCHEMA"
    for node in ast.walk(tree):
        if called(node) == "set_config":
            yield f"line {node.lineno}: calls set_config"
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp) and node not in apart:
            yield from (f"line {node.lineno}: {found[0]}" for found in ESCAPES.finditer(written(node)))
        if isinstance(node, ast.JoinedStr):
            yield from qualified_by_value(node, in_sql=False)
        elif called(node) in SQL_CALLS and isinstance(node, ast.Call):
            parts = (part for argument in node.args for part in ast.walk(argument))
            for part in parts:
                if isinstance(part, ast.JoinedStr):
                    yield from qualified_by_value(part, in_sql=True)


def tables_of_schemas(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or called(node) not in {"table", "Table"}:
            continue
        # None is what `**` stands for.
        if {keyword.arg for keyword in node.keywords} & {"schema", None}:
            yield f"line {node.lineno}: a table of a schema of its choice"


def not_sent(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    elif called(node) in {"ForeignKey", "ForeignKeyConstraint"}:
        yield from ast.walk(node)


def written(node: ast.AST) -> str:
    """The text of a string as far as it is known; a value that is put in is a gap."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(map(written, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return written(node.left) + written(node.right)
    return "\0"


def qualified_by_value(string: ast.JoinedStr, *, in_sql: bool) -> Iterator[str]:
    """`{schema}.users`; where it is not known to be SQL, behind a word like FROM."""
    for position, value in enumerate(string.values):
        before = "".join(map(written, string.values[:position]))
        behind = "".join(map(written, string.values[position + 1 :]))
        if not isinstance(value, ast.FormattedValue) or not BEHIND_A_SCHEMA.match(behind):
            continue
        if in_sql or (BEFORE_A_TABLE.search(before) and SQL_VERB.search(written(string))):
            yield f"line {string.lineno}: a schema is put into SQL"


def undeclared_models(tree: ast.AST) -> Iterator[str]:
    """Classes with a table that are neither the platform's nor a tenant's, and what can hold such tables."""
    for node in ast.walk(tree):
        if called(node) in {"MetaData", "declarative_base"}:
            yield f"line {node.lineno}: {called(node)}"
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
