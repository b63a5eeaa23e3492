"""What a rule may ask of an object: that the caller owns it, or what an attribute of it is.

Each is decided for one object in Python and for a whole table in SQL, to the same answer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, literal, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute

# A column, then members of the JSON object in it. None is a number, which PostgreSQL takes for a position.
ATTRIBUTE_PATTERN: Final = re.compile(r"[a-z][a-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_-]{0,62}){0,8}")
MAX_TEXT: Final = 200
# Beyond, a number is not the same in JSON, PostgreSQL and Python.
MAX_INTEGER: Final = 2**53

Value = str | int | bool


@dataclass(frozen=True)
class ObjectType:
    """How the objects of a table show their owner and attributes to conditions.

    An attribute is a text column, or a JSONB column that holds an object.
    """

    owner: InstrumentedAttribute[UUID | None]
    attributes: Mapping[str, InstrumentedAttribute[Any]]


class Condition(Protocol):
    """Of an attribute that objects of the type do not have, the answer is `unknown`."""

    def holds(self, kind: ObjectType, item: object, caller: UUID | None, *, unknown: bool) -> bool:
        """For one object. `caller` is a person, or None for an API key, which owns nothing."""

    def clause(self, kind: ObjectType, caller: UUID | None, *, unknown: bool) -> ColumnElement[bool]:
        """For each row; never NULL."""

    def excludes(self, other: "Condition") -> bool:
        """True when no object can meet both."""

    def stored(self) -> dict[str, Any]:
        """As it stands in a role."""


@dataclass(frozen=True, slots=True)
class OwnerIsCaller:
    """`{"owner": true}`"""

    def holds(self, kind: ObjectType, item: object, caller: UUID | None, *, unknown: bool) -> bool:
        return caller is not None and getattr(item, kind.owner.key) == caller

    def clause(self, kind: ObjectType, caller: UUID | None, *, unknown: bool) -> ColumnElement[bool]:
        return false() if caller is None else func.coalesce(kind.owner == caller, false())

    def excludes(self, other: Condition) -> bool:
        return False

    def stored(self) -> dict[str, Any]:
        return {"owner": True}


@dataclass(frozen=True, slots=True)
class AttributeEquals:
    """`{"attribute": "data.team", "equals": "blue"}`; an attribute that is missing equals nothing."""

    attribute: str
    equals: Value
    # Python takes True for 1.
    is_truth: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_truth", isinstance(self.equals, bool))

    def holds(self, kind: ObjectType, item: object, caller: UUID | None, *, unknown: bool) -> bool:
        found = self._find(kind)
        if found is None:
            return unknown
        column, path = found
        value = getattr(item, column.key)
        for name in path:
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        return bool(value == self.equals) and isinstance(value, bool) == self.is_truth

    def clause(self, kind: ObjectType, caller: UUID | None, *, unknown: bool) -> ColumnElement[bool]:
        found = self._find(kind)
        if found is None:
            return true() if unknown else false()
        column, path = found
        if path:
            return func.coalesce(column[path] == literal(self.equals, JSONB), false())
        return func.coalesce(column == self.equals, false()) if isinstance(self.equals, str) else false()

    def excludes(self, other: Condition) -> bool:
        return isinstance(other, AttributeEquals) and self.attribute == other.attribute and self != other

    def stored(self) -> dict[str, Any]:
        return {"attribute": self.attribute, "equals": self.equals}

    def _find(self, kind: ObjectType) -> tuple[InstrumentedAttribute[Any], tuple[str, ...]] | None:
        """The column and the path in it; None when the type has none such."""
        name, *path = self.attribute.split(".")
        column = kind.attributes.get(name)
        if column is None or isinstance(column.type, JSONB) != bool(path):
            return None
        return column, tuple(path)


OWNER: Final = OwnerIsCaller()


def parse_condition(stored: object) -> Condition | None:
    """None for what is no condition."""
    match stored:
        case {"owner": True, **rest} if not rest:
            return OWNER
        case {"attribute": str(attribute), "equals": str() | bool() | int() as equals, **rest} if not rest:
            return AttributeEquals(attribute, equals) if ATTRIBUTE_PATTERN.fullmatch(attribute) else None
    return None
