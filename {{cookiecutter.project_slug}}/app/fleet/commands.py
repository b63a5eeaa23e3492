"""What a rendered revision does, command by command, also inside of blocks and functions.

Each command is brought into one spelling, so that rules about it need to know but that one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from app.fleet.sql import Token, read_tokens, split_tokens

# Stands for a part of a dynamic command that is only known when it runs.
UNKNOWN: Final = "unknown_part"
_FORMAT_PART: Final = re.compile(r"%(?:\d+\$)?-?\d*[ILs]")
_NO_WORD: Final = re.compile(r"[^\w$]")
# Behind these a statement of PL/pgSQL begins; the last is the end of a label.
_OPENING: Final = ("begin", "declare", "then", "else", "loop", ">")
# How the commands of PostgreSQL begin that PL/pgSQL hands on. All else is PL/pgSQL's own.
_VERBS: Final = (
    "abort", "alter", "analyze", "call", "checkpoint", "cluster", "comment", "commit", "copy",
    "create", "deallocate", "delete", "discard", "do", "drop", "explain", "grant", "import",
    "insert", "listen", "load", "lock", "merge", "notify", "prepare", "reassign", "refresh",
    "reindex", "release", "reset", "revoke", "rollback", "savepoint", "security", "select", "set",
    "show", "start", "table", "truncate", "unlisten", "update", "vacuum", "values", "with",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Command:
    """In small letters, tokens a space apart, strings emptied; a quoted name is one word, in its quotes.

    `nested` is one inside of a block or function; `procedural` one that is PL/pgSQL and no SQL.
    """

    text: str
    nested: bool = False
    procedural: bool = False


def read_commands(sql: str, *, nested: bool = False) -> Iterator[Command]:
    """The commands of a script, and those inside of them."""
    for statement in split_tokens(read_tokens(sql)):
        if statement:
            yield from _commands(statement, nested=nested)


def _commands(tokens: Sequence[Token], *, nested: bool) -> Iterator[Command]:
    text = _canonical(tokens)
    yield Command(text, nested)
    if tokens[0].says("do"):
        for token in tokens:
            if token.kind == "string":
                yield from _code(token.value)
    elif re.match(r"create (?:or replace )?(?:function|procedure)\b", text):
        yield from _bodies(tokens)


def _bodies(tokens: Sequence[Token]) -> Iterator[Command]:
    """What a function does. Its language is the lint's to judge; what is no SQL is read as PL/pgSQL."""
    after = dict(pairwise(tokens))
    in_sql = any(after[token].value.lower() == "sql" for token in tokens[:-1] if token.says("language"))
    for before, token in pairwise(tokens):
        if before.says("as") and token.kind == "string":
            yield from read_commands(token.value, nested=True) if in_sql else _code(token.value)
    atomic = next((at for at, token in enumerate(tokens) if token.says("atomic")), None)
    if atomic is not None:
        for statement in split_tokens(tokens[atomic + 1 : -1]):
            if statement:
                yield from _commands(statement, nested=True)


def _code(body: str) -> Iterator[Command]:
    """The commands of a body in PL/pgSQL."""
    for step in split_tokens(read_tokens(body)):
        starts = [0, *(at + 1 for at, token in enumerate(step) if token.says(*_OPENING))]
        yield Command(_canonical(step), nested=True, procedural=True)
        for part in (step[start:] for start in starts):
            if part and part[0].says(*_VERBS):
                yield from _commands(part, nested=True)
        for at, token in enumerate(step):
            rest = step[at + 1 :]
            # A trigger names its function so.
            if token.says("execute") and rest and not rest[0].says("function", "procedure"):
                yield from read_commands(_dynamic(rest), nested=True)


def _dynamic(tokens: Sequence[Token]) -> str:
    """The text that EXECUTE would run, as far as it is written there."""
    text = ""
    at = 0
    was_unknown = False
    while at < len(tokens) and not tokens[at].says("into", "using", "loop"):
        token = tokens[at]
        template = _template(tokens[at : at + 5])
        if token.kind == "string" or template is not None:
            text += token.value if template is None else _FORMAT_PART.sub(UNKNOWN, template)
            was_unknown = False
        elif not (was_unknown or token.says("||", "(", ")")):
            text += UNKNOWN
            was_unknown = True
        if token.says("||"):
            was_unknown = False
        # The parts of a call are no parts of the text.
        is_call = token.kind in {"word", "name"} and at + 1 < len(tokens) and tokens[at + 1].says("(")
        at = _closing(tokens, at + 1) + 1 if is_call else at + 1
    return text


def _template(tokens: Sequence[Token]) -> str | None:
    if [token.value for token in tokens[:2]] == ["format", "("] and len(tokens) > 2:
        return tokens[2].value if tokens[2].kind == "string" else None
    return None


def _closing(tokens: Sequence[Token], opening: int) -> int:
    depth = 0
    for at in range(opening, len(tokens)):
        depth += tokens[at].says("(") - tokens[at].says(")")
        if depth == 0:
            return at
    return len(tokens)


def _canonical(tokens: Sequence[Token]) -> str:
    return " ".join(map(_spelling, tokens))


def _spelling(token: Token) -> str:
    if token.kind == "string":
        return "''"
    if token.kind != "name":
        return token.value
    return f'"{_NO_WORD.sub("_", token.value)}"'
