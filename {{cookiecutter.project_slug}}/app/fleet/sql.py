"""Reads SQL just far enough: where statements end, what is text in them, and which build or drop an index."""

import re
from dataclasses import dataclass
from typing import Final, Self

# What may hide a semicolon, and the semicolon itself. Strings follow standard_conforming_strings.
_TOKEN: Final = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|\b[eE]'(?:[^'\\]|\\.|'')*'"
    r"|'(?:[^']|'')*'"
    r'|"(?:[^"]|"")*"'
    r"|(?<![\w$])\$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$"
    r"|(?P<end>;)",
    re.DOTALL,
)
_NAME: Final = r'(?:"[^"]+"|[A-Za-z_][\w$]*)'
_INDEX: Final = re.compile(
    rf"(?P<verb>CREATE(?:\s+UNIQUE)?|DROP)\s+INDEX\s+CONCURRENTLY\s+"
    rf"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?P<qualified>(?:{_NAME}\.)?(?P<name>{_NAME}))(?P<rest>(?:\s.*)?)",
    re.DOTALL | re.IGNORECASE,
)
_TRANSACTION_CONTROL: Final = re.compile(
    r"(?:BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE\s+TRANSACTION)\b",
    re.IGNORECASE,
)

_CODE: Final = re.compile(r"DO\b", re.IGNORECASE)
# Where a statement of PL/pgSQL ends or begins, also one that is put together as a string.
_STEP: Final = re.compile(r";|\b(?:BEGIN|THEN|ELSE|LOOP)\b|\bEXECUTE\s+(?:format\s*\(\s*)?'", re.IGNORECASE)


def split_statements(sql: str) -> list[str]:
    """The statements of a script, without comments and without their semicolons."""
    statements, current, position = [], "", 0
    for token in _TOKEN.finditer(sql):
        current += sql[position : token.start()]
        position = token.end()
        if token["end"]:
            statements.append(current.strip())
            current = ""
        else:
            current += " " if token["comment"] else token[0]
    statements.append((current + sql[position:]).strip())
    return [statement for statement in statements if statement]


def commands_of(statement: str) -> list[str]:
    """The statement, and what it does itself when it is a block of code."""
    if not _CODE.match(statement):
        return [statement]
    return [statement, *(step.strip() for step in _STEP.split(statement))]


def without_strings(statement: str) -> str:
    """The statement with its strings emptied; a block of code keeps its own."""
    if _CODE.match(statement):
        return statement
    return _TOKEN.sub(lambda token: "''" if token[0].endswith("'") else token[0], statement)


def is_transaction_control(statement: str) -> bool:
    """Whether a statement begins, ends or marks a transaction."""
    return _TRANSACTION_CONTROL.match(statement) is not None


@dataclass(frozen=True, slots=True)
class IndexStatement:
    """A CREATE or DROP INDEX CONCURRENTLY, in the form that can be repeated after it was interrupted."""

    sql: str
    name: str
    creates: bool

    @classmethod
    def parse(cls, statement: str) -> Self | None:
        """None for any other statement, and for an index without a name."""
        found = _INDEX.fullmatch(statement)
        if found is None or found["name"].upper() == "ON":
            return None
        creates = not found["verb"].upper().startswith("DROP")
        condition = "IF NOT EXISTS" if creates else "IF EXISTS"
        name = found["name"]
        return cls(
            sql=f"{found['verb']} INDEX CONCURRENTLY {condition} {found['qualified']}{found['rest']}",
            name=name[1:-1] if name.startswith('"') else name.lower(),
            creates=creates,
        )
