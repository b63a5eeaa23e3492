"""Reads SQL just far enough: its tokens, where statements end, and which build or drop an index."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, Self

Kind = Literal["comment", "string", "name", "word", "other"]

_ESCAPED: Final = r"'(?:[^'\\]|\\.|'')*'"
_PLAIN: Final = r"'(?:[^']|'')*'"
# A string goes on in the next line that begins with a quote.
_JOINT: Final = r"(?:[^\S\r\n]*(?:--[^\r\n]*)?[\r\n])+[^\S\r\n]*"
# Strings follow standard_conforming_strings. A comment is only begun here, because comments nest.
_TOKEN: Final = re.compile(
    r"(?P<comment>--[^\r\n]*|/\*)"
    rf"|(?P<string>e{_ESCAPED}(?:{_JOINT}{_ESCAPED})*|(?:[bnx]|u&)?{_PLAIN}(?:{_JOINT}{_PLAIN})*"
    r"|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)"
    r'|(?P<name>(?:u&)?"(?:[^"]|"")*")'
    r"|(?P<word>[^\W\d][\w$]*)"
    r"|(?P<other>\d[\w.]*|\$\d+|\|\||\S)",
    re.DOTALL | re.IGNORECASE,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")
_UNICODE_ESCAPE: Final = re.compile(r"\\(?:\+([0-9a-f]{6})|([0-9a-f]{4}))", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class Token:
    """`value` is a word or sign in small letters, a name without its quotes, or what a string says."""

    kind: Kind
    value: str
    start: int
    end: int

    def says(self, *words: str) -> bool:
        """Whether it is one of these words or signs; a quoted name and a string are none."""
        return self.kind in {"word", "other"} and self.value in words


def read_tokens(sql: str) -> Iterator[Token]:
    """All tokens, comments among them."""
    position = 0
    while found := _TOKEN.search(sql, position):
        position = found.end()
        raw = found[0]
        if found["comment"]:
            position = _comment_end(sql, found.end()) if raw == "/*" else position
            yield Token("comment", "", found.start(), position)
        elif found["string"]:
            yield Token("string", _string(raw, found["tag"]), found.start(), position)
        elif found["name"]:
            yield Token("name", _unquoted(raw), found.start(), position)
        else:
            yield Token("word" if found["word"] else "other", raw.lower(), found.start(), position)


def split_tokens(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """The tokens of each statement. A body that stands between BEGIN ATOMIC and END ends none."""
    current: list[Token] = []
    depth = 0
    for token in tokens:
        if token.says("atomic") and current and current[-1].says("begin"):
            depth = 1
        elif depth and token.says("case", "end"):
            depth += 1 if token.says("case") else -1
        if token.says(";") and not depth:
            yield current
            current = []
        elif token.kind != "comment":
            current.append(token)
    yield current


def split_statements(sql: str) -> list[str]:
    """The statements of a script, without comments and without their semicolons."""
    tokens = list(read_tokens(sql))
    comments = [token for token in tokens if token.kind == "comment"]
    return [
        _without(comments, sql, statement[0].start, statement[-1].end)
        for statement in split_tokens(tokens)
        if statement
    ]


def is_transaction_control(statement: str) -> bool:
    """Whether a statement begins, ends or marks a transaction."""
    return _TRANSACTION_CONTROL.match(statement) is not None


def _comment_end(sql: str, position: int) -> int:
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(sql, position)
        if edge is None:
            return len(sql)
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return position


def _string(raw: str, tag: str | None) -> str:
    if tag is not None:
        return raw[len(tag) + 2 : -len(tag) - 2]
    prefix = raw.partition("'")[0].lower()
    part = _ESCAPED if prefix == "e" else _PLAIN
    pieces = re.findall(rf"--[^\r\n]*|({part})", raw[len(prefix) :], re.DOTALL)
    inner = "".join(piece[1:-1] for piece in pieces).replace("''", "'")
    if prefix == "e":
        return inner.encode("latin-1", "backslashreplace").decode("unicode_escape", "replace")
    return _unescaped(inner) if prefix == "u&" else inner


def _unquoted(raw: str) -> str:
    prefix, _, quoted = raw.partition('"')
    inner = quoted[:-1].replace('""', '"')
    return _unescaped(inner) if prefix else inner


def _unescaped(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        code = int(found[1] or found[2], 16)
        return chr(code) if code <= 0x10FFFF else "?"

    return _UNICODE_ESCAPE.sub(character, text)


def _without(comments: list[Token], sql: str, start: int, end: int) -> str:
    kept = ""
    for comment in comments:
        if start < comment.start < end:
            kept += sql[start : comment.start] + " "
            start = comment.end
    return kept + sql[start:end]


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
