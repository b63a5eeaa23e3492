"""What no statement of a revision may do, and what to write instead."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from app.core.migrations import Tree
from app.fleet.sql import commands_of, without_strings

NO_ENUM: Final = (
    "it makes a native enum, which plans cached for another tenant break on; use text and a CHECK"
)
NO_SERIAL: Final = (
    "it makes a SERIAL column, whose sequence nobody but the owner may use, so that every insert would fail;"
    ' write sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True), which needs no such right, or'
    " sa.Uuid() for a UUIDv7; a number that the program gives says autoincrement=False"
)
NO_SEQUENCE: Final = (
    "it uses a sequence, which no tenant may use and which is lost when a tenant is exported or moved; write"
    " sa.Identity() in the column"
)
NO_REROUTING: Final = "it changes the role or the search path, which say whose tables it works on"
NO_SET_CONFIG: Final = (
    "it sets by set_config or pg_settings, which can change the role or the search path; write"
    " `SET LOCAL name = value`"
)

_REROUTING: Final = re.compile(
    r"(?:SET\s+(?:(?:SESSION|LOCAL)\s+)?\"?(?:search_path|schema|role|session_authorization"
    r"|session\s+authorization)|RESET|DISCARD)\b",
    re.IGNORECASE,
)
_SET_CONFIG: Final = re.compile(
    r"\bset_config\"?\s*\(|\bUPDATE\s+(?:pg_catalog\.)?pg_settings\b", re.IGNORECASE
)
_NATIVE_ENUM: Final = re.compile(r"CREATE\s+TYPE\b.*\bAS\s+ENUM\b", re.IGNORECASE | re.DOTALL)
_TABLE: Final = re.compile(r"(?:CREATE\b.*?|ALTER\s+(?:FOREIGN\s+)?)\bTABLE\b", re.IGNORECASE | re.DOTALL)
# As a type: a name before it, and behind it the end of the column or a constraint. Columns may be called so.
_SERIAL: Final = re.compile(
    r"""(?:"[^"]+"|\b(?!(?:ADD|ALTER|AND|BY|COLUMN|DROP|EXISTS|LIKE|NOT|ON|OR|REFERENCES|RENAME|TO)\b)[a-z_][\w$]*)
        \s+(?:BIG|SMALL)?SERIAL[248]?\b
        (?=\s*(?:[,);]|$|(?:NOT|NULL|PRIMARY|UNIQUE|DEFAULT|CONSTRAINT|REFERENCES|CHECK)\b))""",
    re.IGNORECASE | re.VERBOSE,
)
_SEQUENCE: Final = re.compile(
    r"CREATE\s+(?:(?:TEMP|TEMPORARY|UNLOGGED)\s+)?SEQUENCE\b|.*\bDEFAULT\s+nextval\s*\(",
    re.IGNORECASE | re.DOTALL,
)
# How a statement begins, and why it is refused.
_COMMANDS: Final = tuple(
    (re.compile(rf"{pattern}\b", re.IGNORECASE), reason)
    for pattern, reason in (
        (
            "VACUUM",
            "it runs VACUUM, which no transaction allows; autovacuum does it, and ANALYZE is allowed",
        ),
        (
            "REINDEX",
            "it runs REINDEX, which locks the table, or when cut off leaves an index that nothing repairs;"
            " build one of another name and drop the old one, both in autocommit_block()",
        ),
        (
            "CLUSTER",
            "it runs CLUSTER, which rewrites the table and keeps readers out; leave the order of rows"
            " alone and build an index for it",
        ),
        (
            r"ALTER\s+SYSTEM",
            "it changes the settings of the server (ALTER SYSTEM), which are set where the server is set up;"
            " write `SET LOCAL name = value` for this revision alone",
        ),
        (
            r"(?:CREATE|ALTER|DROP)\s+(?:DATABASE|ROLE|USER|GROUP|TABLESPACE|SUBSCRIPTION)",
            "it changes databases, roles or what else all databases share; `migrate provision` makes the"
            " logins, and onboarding the role of each tenant",
        ),
    )
)


def find_refused(tree: Tree, statements: Sequence[str]) -> Iterator[str]:
    """The reasons to refuse a rendered revision, of which some may be given more than once."""
    for statement in statements:
        plain = without_strings(statement)
        if _SET_CONFIG.search(plain):
            yield NO_SET_CONFIG
        for command in commands_of(plain):
            yield from _refusals(tree, command)


def _refusals(tree: Tree, command: str) -> Iterator[str]:
    if _NATIVE_ENUM.match(command):
        yield NO_ENUM
    if _TABLE.match(command) and _SERIAL.search(command):
        yield NO_SERIAL
    # What a platform revision makes it also grants, and it is never moved.
    if tree == "tenant" and _SEQUENCE.match(command):
        yield NO_SEQUENCE
    if _REROUTING.match(command):
        yield NO_REROUTING
    yield from (reason for begins, reason in _COMMANDS if begins.match(command))
