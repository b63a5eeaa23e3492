"""Refuses revisions that cannot be run over a fleet, with the reason."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.routing import PLATFORM_SCHEMA, SCHEMA_PATTERN
from app.fleet.errors import RevisionRefused
from app.fleet.refusals import NO_ENUM, NO_SCHEMA, find_refused
from app.fleet.script import Revision, RevisionTree
from app.fleet.sql import IndexStatement, is_transaction_control, split_statements

REVISION_PATTERN: Final = re.compile(r"\w{1,32}", re.ASCII)
QUALIFIED: Final = re.compile(rf'\b(?:{PLATFORM_SCHEMA}|public)"?\."?[A-Za-z_]|\b{SCHEMA_PATTERN.pattern}\b')
TENANT_NAME: Final = re.compile(rf"\b{SCHEMA_PATTERN.pattern}\b")
CONCURRENTLY: Final = re.compile(
    r"(?:(?:CREATE(?:\s+UNIQUE)?|DROP)\s+INDEX|REINDEX\b.*?)\s+CONCURRENTLY\b", re.IGNORECASE | re.DOTALL
)
# Names of Alembic's that only a revision with two behaviours has a use for.
ONLINE_ONLY: Final = {"get_bind", "is_offline_mode", "as_sql"}
ENUMS: Final = {"Enum", "ENUM"}

NO_DOWNGRADE: Final = 'it has no downgrade; write one, or say why there is none: `irreversible = "…"`'
CONCURRENT_RULE: Final = (
    "a revision with autocommit_block() holds one such block, in it named indexes created or dropped with"
    " postgresql_concurrently=True, and nothing else"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a revision is refused."""

    tree: str
    revision: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.tree} revision {self.revision} ({self.path.name}): {self.reason}"


def refuse_faulty(*trees: RevisionTree) -> None:
    """Raise RevisionRefused with every fault of the trees, one a line."""
    faults = [fault for tree in trees for fault in find_faults(tree)]
    if faults:
        raise RevisionRefused("\n" + "\n".join(f"  {fault}" for fault in faults))


def find_faults(tree: RevisionTree) -> list[Fault]:
    """The faults of a tree. Raises RevisionRefused when its revisions are no line or cannot be read."""
    return [
        Fault(tree.name, revision.id, revision.path, reason)
        for revision in tree.revisions
        # The same reason for both directions is said once.
        for reason in dict.fromkeys(_reasons(tree, revision))
    ]


def _reasons(tree: RevisionTree, revision: Revision) -> Iterator[str]:
    if not REVISION_PATTERN.fullmatch(revision.id):
        yield "its id may hold letters, digits and underscores, at most 32"
        return
    try:
        source = ast.parse(revision.path.read_bytes())
    except (SyntaxError, ValueError) as error:
        # Python overlooks in a comment what is no UTF-8.
        yield f"it cannot be read: {error}"
        return
    yield from _source_reasons(tree, source)
    irreversible = _irreversible(source)
    if irreversible == "":
        yield "`irreversible` must say why"
    can_go_back = irreversible is None and _has_downgrade(source)
    rendered = {}
    for direction in ("upgrade", "downgrade") if can_go_back else ("upgrade",):
        try:
            rendered[direction] = tree.render(revision, downgrade=direction == "downgrade")
        # The revision is code of the project's own; whatever it raises is the answer, also a wish to exit.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            yield (
                f"its {direction} cannot be rendered without a database"
                f" ({type(error).__name__}: {error}); write it as SQL that needs no answer"
            )
            continue
        yield from _sql_reasons(tree, rendered[direction], blocks=_calls(source, "autocommit_block"))
    does_nothing = _is_empty(rendered.get("downgrade", "")) and not _is_empty(rendered.get("upgrade", ""))
    if irreversible is None and (not can_go_back or ("downgrade" in rendered and does_nothing)):
        yield NO_DOWNGRADE


def _source_reasons(tree: RevisionTree, source: ast.Module) -> Iterator[str]:
    """What the rendering does not show."""
    for node in ast.walk(source):
        if isinstance(node, ast.Attribute) and node.attr in ONLINE_ONLY:
            yield f"it asks for {node.attr}, so what runs is not what was rendered; write plain SQL"
        if not isinstance(node, ast.Call):
            continue
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        schema = keywords.get("schema")
        if tree.name == "tenant" and schema is not None and not _is_constant(schema, None):
            yield "it names a schema; a tenant's tables are found by search_path"
    if any(_native_enums(source)):
        yield NO_ENUM


def _native_enums(source: ast.Module) -> Iterator[ast.AST]:
    """Each mention of an enum type but `Enum(…, native_enum=False)`.

    In SQL that adds a column there is but the type's name, and under another name or in a class of its own it
    could not be told from any other. Python's own enums are meant by what comes from the module `enum`.
    """
    pythons, text_types = set(), set()
    for node in ast.walk(source):
        if isinstance(node, ast.ImportFrom) and node.module == "enum":
            pythons |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            pythons |= {alias.asname or alias.name for alias in node.names if alias.name == "enum"}
        elif isinstance(node, ast.Call):
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            if _is_constant(keywords.get("native_enum"), value=False):
                text_types.add(node.func)
    for node in ast.walk(source):
        if isinstance(node, ast.ImportFrom) and node.module != "enum":
            yield from (alias for alias in node.names if alias.asname and alias.name in ENUMS)
        named = isinstance(node, ast.Name) and node.id in ENUMS - pythons
        attribute = isinstance(node, ast.Attribute) and node.attr in ENUMS
        if (named or attribute) and node not in text_types and ast.unparse(node).split(".")[0] not in pythons:
            yield node


def _sql_reasons(tree: RevisionTree, sql: str, *, blocks: int) -> Iterator[str]:
    """What the rendering shows."""
    statements = split_statements(sql)
    text = ";\n".join(statements)
    yield from find_refused(tree.name, sql)
    # Alembic's own last statement names the schema of its version table.
    names = QUALIFIED if tree.name == "tenant" else TENANT_NAME
    if found := names.search(text):
        yield NO_SCHEMA.format(f"{found[0]}…")
    if not any(map(is_transaction_control, statements)) and not _builds_concurrently(statements):
        return
    if not blocks:
        yield "it controls the transaction, or builds an index concurrently, outside of autocommit_block()"
    elif not _is_concurrent_shape(statements):
        yield CONCURRENT_RULE


def _is_concurrent_shape(statements: list[str]) -> bool:
    """COMMIT, the indexes, BEGIN, and the recording of the revision."""
    if len(statements) < 4:
        return False
    first, *inside, begin, _recording = statements
    return (first, begin) == ("COMMIT", "BEGIN") and all(map(IndexStatement.parse, inside))


def _builds_concurrently(statements: list[str]) -> bool:
    return any(map(CONCURRENTLY.match, statements))


def _is_empty(sql: str) -> bool:
    """Nothing but Alembic's recording of the revision."""
    return all("alembic_version" in statement for statement in split_statements(sql))


def _irreversible(source: ast.Module) -> str | None:
    """The reason a revision gives for having no downgrade; None when it gives none."""
    for node in source.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id == "irreversible" for target in targets):
            given = node.value.value if isinstance(node.value, ast.Constant) else ""
            return given.strip() if isinstance(given, str) else ""
    return None


def _has_downgrade(source: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "downgrade" for node in source.body)


def _calls(source: ast.Module, name: str) -> int:
    return sum(isinstance(node, ast.Attribute) and node.attr == name for node in ast.walk(source))


def _is_constant(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
