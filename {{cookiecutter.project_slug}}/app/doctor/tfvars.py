"""Reads Terraform's files of values: the plain ones that environments are made of, without Terraform."""

import json
import re
from pathlib import Path
from typing import Any, Final

TOKEN: Final = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*|//[^\n]*|/\*.*?\*/)+)
      | (?P<text>"(?:[^"\\\n]|\\.)*")
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<word>[A-Za-z_][\w-]*)
      | (?P<mark>[{}\[\]=:,])""",
    re.VERBOSE | re.DOTALL,
)
WORDS: Final = {"true": True, "false": False, "null": None}


class TfvarsError(Exception):
    """The file holds something else than plain values; the text names the line."""


def read_tfvars(path: Path) -> dict[str, Any]:
    """The values by name. Raises TfvarsError, also where the file is missing."""
    try:
        text = path.read_text()
    except OSError as error:
        raise TfvarsError(f"{path.name}: {error.strerror}") from None
    return _Reader(path.name, text).body(end="")


class _Reader:
    """One file, word by word."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text, self._at = name, text, 0
        self._next()

    def body(self, end: str) -> dict[str, Any]:
        """Names with values, up to `end`."""
        values: dict[str, Any] = {}
        while self.word != end:
            if self.kind not in {"word", "text"}:
                raise self._fault("a name")
            name = self.word if self.kind == "word" else self._quoted()
            self._next()
            if self.word not in {"=", ":"}:
                raise self._fault("`=`")
            self._next()
            values[name] = self._value()
            self._skip_comma()
        self._next()
        return values

    def _value(self) -> Any:
        kind, word = self.kind, self.word
        if word == "{":
            self._next()
            return self.body(end="}")
        if word == "[":
            self._next()
            return self._items()
        if kind == "text":
            value: Any = self._quoted()
        elif kind == "number":
            value = json.loads(word)
        elif word in WORDS:
            value = WORDS[word]
        else:
            raise self._fault("a plain value")
        self._next()
        return value

    def _items(self) -> list[Any]:
        items = []
        while self.word != "]":
            items.append(self._value())
            self._skip_comma()
        self._next()
        return items

    def _quoted(self) -> str:
        if re.search(r"(?<!\$)\$\{|(?<!%)%\{", self.word):
            raise self._fault("a text without references")
        try:
            return str(json.loads(self.word))
        except ValueError:
            raise self._fault("a plain text") from None

    def _skip_comma(self) -> None:
        if self.word == ",":
            self._next()

    def _next(self) -> None:
        """`kind` is empty at the end of the file."""
        self.kind, self.word = "", ""
        while not self.kind and self._at < len(self._text):
            found = TOKEN.match(self._text, self._at)
            if found is None:
                raise self._fault("a plain value")
            self._at = found.end()
            if found.lastgroup != "space":
                self.kind, self.word = str(found.lastgroup), found[0]

    def _fault(self, wanted: str) -> TfvarsError:
        line = self._text.count("\n", 0, self._at) + 1
        return TfvarsError(f"{self._name}, line {line}: {wanted} was expected; only plain values are read")
