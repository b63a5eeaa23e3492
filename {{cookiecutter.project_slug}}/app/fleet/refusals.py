"""What no command of a revision may do, and what to write instead.

A platform revision is held against a list of what is refused. A tenant's besides against one of what is
allowed: it runs in every tenant's schema as the login that owns them all.
"""

import re
from collections.abc import Iterator
from typing import Final

from app.core.migrations import Tree
from app.core.routing import PLATFORM_SCHEMA
from app.fleet.commands import UNKNOWN, Command, read_commands

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
NO_VIEW_OF_THE_OWNER: Final = (
    "it makes or leaves a view that runs as its owner, so that a tenant could write through it what it may"
    " not; write CREATE VIEW … WITH (security_invoker = true) AS …"
)
NO_DEFINER: Final = (
    "it makes a function SECURITY DEFINER, which runs as the owner of every tenant's tables and finds them by"
    " the caller's search path; leave it out, so that it runs as the tenant"
)
NO_UNKNOWN: Final = (
    "it runs a text whose command is only known when it runs; write out what EXECUTE begins with, as in"
    " EXECUTE 'REVOKE UPDATE ON notes FROM ' || name"
)
NO_SCHEMA: Final = "it names a schema ({}); a revision names no schema but its own tree's"
NO_TRANSACTION: Final = (
    "it controls the transaction inside of a block or function; the migrator begins and ends it"
)

_WORD: Final = r'"?[\w$]+"?'
_Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(*rules: tuple[str, str]) -> _Rules:
    return tuple((re.compile(pattern), reason) for pattern, reason in rules)


# Anywhere in a command.
_CONTAINED: Final = _rules(
    (r'(?<![\w"])"?set_config"? \(|\bupdate (?:only )?(?:"?pg_catalog"? \. )?"?pg_settings\b', NO_SET_CONFIG),
    (r"\buescape\b", "it changes the sign that escapes begin with (UESCAPE); write the letters themselves"),
    (r"^create type \S+(?: \. \S+)? as enum\b", NO_ENUM),
    (
        r"^(?:create|alter) (?:or replace )?(?:function|procedure|routine)\b(?:(?! begin atomic).)*\bset "
        r'"?(?:role|session_authorization|session authorization|standard_conforming_strings)\b',
        NO_REROUTING,
    ),
)
# How a command begins.
_BEGINNINGS: Final = _rules(
    (
        r'set (?:(?:session|local) )?"?(?:search_path|schema|role|session_authorization|session authorization'
        r"|standard_conforming_strings)\b|reset\b|discard\b",
        NO_REROUTING,
    ),
    (r"vacuum\b", "it runs VACUUM, which no transaction allows; autovacuum does it, and ANALYZE is allowed"),
    (
        r"reindex\b",
        "it runs REINDEX, which locks the table, or when cut off leaves an index that nothing repairs;"
        " build one of another name and drop the old one, both in autocommit_block()",
    ),
    (
        r"cluster\b",
        "it runs CLUSTER, which rewrites the table and keeps readers out; leave the order of rows"
        " alone and build an index for it",
    ),
    (
        r"alter system\b",
        "it changes the settings of the server (ALTER SYSTEM), which are set where the server is set up;"
        " write `SET LOCAL name = value` for this revision alone",
    ),
    (
        r"(?:create|alter|drop) (?:database|role|user|group|tablespace|subscription)\b",
        "it changes databases, roles or what else all databases share; `migrate provision` makes the"
        " logins, and onboarding the role of each tenant",
    ),
)
# Of a tenant's revision alone. What a platform revision makes it also grants, and it is never moved.
_TENANT_CONTAINED: Final = _rules(
    (r"^create (?:(?:temp|temporary|unlogged) )?sequence\b|\bdefault \(* ?nextval \(", NO_SEQUENCE),
    (r"\bsecurity definer\b", NO_DEFINER),
    (r"^alter .*\breset \([^)]*\bsecurity_invoker\b", NO_VIEW_OF_THE_OWNER),
    (r"^alter .*\bset \([^)]*\bsecurity_invoker = (?!(?:true|on|yes|1)\b)", NO_VIEW_OF_THE_OWNER),
    (
        r"^alter .*\bowner to\b|^(?:drop|reassign) owned\b",
        "it gives objects another owner; the login that migrates owns everything, and a tenant nothing",
    ),
    (
        r"^alter .*\brow level security\b|^(?:create|alter) policy\b",
        "it uses row-level security, which may hide rows from an export or a move; schema and role keep"
        " tenants apart",
    ),
    (r"^alter .*\bset schema\b", NO_SCHEMA.format("SET SCHEMA")),
    (
        r"^create (?:(?:global|local) )?temp(?:orary)?\b"
        r"|^(?:select|with) .*\binto temp(?:orary)? (?!from\b|,)",
        "it makes a temporary object, which the next tenants of the batch would find before their own;"
        " drop a plain table at the end",
    ),
    (
        r"^(?:create|alter) (?:or replace )?(?:function|procedure)\b.*\blanguage (?!plpgsql\b|sql\b)"
        r"|^do\b.*\blanguage (?!plpgsql\b)",
        "it is in a language that is not read here; write LANGUAGE plpgsql or sql, without quotes",
    ),
)
_TENANT_BEGINNINGS: Final = _rules(
    (
        r"create rule\b|create or replace rule\b",
        "it makes a rule, which runs as the owner of the table; write a trigger, which runs as the tenant",
    ),
    (
        r"create materialized view\b|refresh\b",
        "it makes a materialized view, which only the owner can refresh and which is empty after an import or"
        " a move; write a view, or a table that the program fills",
    ),
    (
        r"create (?:type|domain)\b|alter (?:type|domain)\b",
        "it makes a type, which plans cached for another tenant break on; use a built-in one and a CHECK",
    ),
    (
        r"(?:create|alter) extension\b",
        "it installs an extension, which the whole database shares, into the first tenant's schema; install"
        " it once in each database, by a platform revision",
    ),
    (r"(?:create|alter|drop) schema\b", NO_SCHEMA.format("CREATE, ALTER or DROP SCHEMA")),
    (
        r"grant\b|alter default privileges\b",
        "it grants rights; default privileges give a tenant the rows of every new table, and what a revision"
        " revoked stays revoked (say `irreversible`)",
    ),
    (
        r"revoke (?!.*\bon "
        r"(?!(?:all|database|domain|foreign|language|large|parameter|schema|tablespace|type)\b))",
        "it revokes what a tenant's revision does not give; REVOKE … ON takes a table or a function",
    ),
    (
        r"set (?!local\b|constraints\b)",
        "it sets for the whole session, in which other tenants follow; write `SET LOCAL name = value`",
    ),
)
_TENANT_ALLOWED: Final = re.compile(
    r"select\b|with\b|values\b|insert\b|update\b|delete\b|merge\b|truncate\b|analyze\b|lock\b|call\b|revoke\b|do\b"
    r"|set local\b|set constraints\b"
    r"|create (?:unlogged )?table\b|create (?:unique )?index\b|create statistics\b"
    r"|create (?:or replace )?(?:recursive )?view\b"
    r"|create (?:or replace )?(?:function|procedure|(?:constraint )?trigger)\b"
    r"|alter (?:table|index|view|function|procedure|routine|trigger|statistics)\b"
    r"|drop (?:table|index|view|materialized view|function|procedure|routine|trigger|statistics|sequence|type"
    r"|domain|rule|policy|aggregate)\b"
    r"|comment on (?:table|column|index|view|function|procedure|constraint|trigger|statistics)\b"
)
_VIEW: Final = re.compile(r"create (?:or replace )?(?:recursive )?view\b")
_INVOKER: Final = re.compile(r"\bwith \((?:[^)]*,)? security_invoker(?: = (?:true|on|yes|1))? [,)]")
_TRANSACTION: Final = re.compile(
    r"(?:abort|commit|release|rollback|savepoint|prepare transaction|start transaction)\b"
)
_TABLE: Final = re.compile(r"create\b.*?\btable\b|alter (?:foreign )?table\b")
# As a type: a name before it, and behind it the end of the column or a constraint. Columns may be called so.
_SERIAL: Final = re.compile(
    r"""(?:"[^"]+"|\.|\b(?!(?:add|alter|and|by|column|drop|exists|like|not|on|or|references|rename|to)\b)[a-z_][\w$]*)
        \ "?(?:big|small)?serial[248]?\b"?
        (?=\ ?(?:[,);]|$|(?:not|null|primary|unique|default|constraint|references|check)\b))""",
    re.VERBOSE,
)
_KIND: Final = "table|view|index|function|procedure|routine|trigger|statistics|sequence|type|domain"
# Where a name stands that may have a schema before it.
_QUALIFIED: Final = re.compile(
    r"(?:\bupdate|^merge into(?:.*? using)?|\binsert into|(?<!distinct )\bfrom|\bjoin|\breferences"
    r"|^lock(?: table)?|\bexecute (?:function|procedure)|\( like|\binherit|\bpartition(?: of)?"
    r"|^truncate(?: table)?|^analyze"
    r"|^(?:create|alter|drop|comment on)"
    rf" (?:(?:or replace|unlogged|recursive|unique|constraint|materialized) )*(?:{_KIND})"
    r"|^create (?:unique )?index [^(]*?\bon|^create (?:or replace )?(?:constraint )?trigger .*? on"
    r"|^revoke .*? on(?: table| function)?)"
    rf" (?:concurrently )?(?:if (?:not )?exists )?(?:only )?"
    rf'(?!"?(?:pg_catalog|information_schema)\b)({_WORD}) \. {_WORD}'
)
# In these calls FROM is no clause.
_FROM_IN_CALL: Final = re.compile(r"\b(?:extract|overlay|substring|trim) \([^()]* from\b")
_QUALIFIED_CALL: Final = re.compile(rf'(?<![\w$"])(?!"?pg_catalog\b)({_WORD}) \. {_WORD} \(')
_SHARED: Final = re.compile(rf'(?<![\w$"])"?({PLATFORM_SCHEMA}|public)"? \. {_WORD}')


def find_refused(tree: Tree, sql: str) -> Iterator[str]:
    """The reasons to refuse a rendered revision, of which some may be given more than once."""
    for command in read_commands(sql):
        yield from _refusals(command)
        if tree == "tenant":
            yield from _tenant_refusals(command)


def _refusals(command: Command) -> Iterator[str]:
    text = command.text
    yield from (reason for pattern, reason in _CONTAINED if pattern.search(text))
    yield from (reason for begins, reason in _BEGINNINGS if begins.match(text))
    if _TABLE.match(text) and _SERIAL.search(text):
        yield NO_SERIAL


def _tenant_refusals(command: Command) -> Iterator[str]:
    text = command.text
    reasons = [reason for pattern, reason in _TENANT_CONTAINED if pattern.search(text)]
    if not command.procedural:
        reasons += [reason for begins, reason in _TENANT_BEGINNINGS if begins.match(text)]
        if _VIEW.match(text) and not _INVOKER.search(text.partition(" as ")[0]):
            reasons.append(NO_VIEW_OF_THE_OWNER)
        if found := _name_of_a_schema(text):
            reasons.append(NO_SCHEMA.format(f"{found}…"))
        # At the top the form of the whole revision decides.
        is_control = _TRANSACTION.match(text) is not None
        if command.nested and is_control:
            reasons.append(NO_TRANSACTION)
        if not reasons and not is_control and not any(_refusals(command)):
            reasons += _unlisted(text, nested=command.nested)
    yield from reasons


def _name_of_a_schema(text: str) -> str | None:
    """A schema before a name, other than PostgreSQL's own; aliases stand before columns too."""
    clauses = _FROM_IN_CALL.sub("", text)
    found = _QUALIFIED.search(clauses) or _QUALIFIED_CALL.search(text) or _SHARED.search(text)
    return found and found[1]


def _unlisted(text: str, *, nested: bool) -> Iterator[str]:
    if _TENANT_ALLOWED.match(text) or (not nested and text in {"begin", "end"}):
        return
    words = text.split()[:2]
    if any(UNKNOWN in word for word in words):
        yield NO_UNKNOWN
    else:
        yield (
            f"it runs {' '.join(words).upper()}, which no tenant's revision may; it may change tables,"
            " indexes, views, functions, triggers, comments and rows"
        )
