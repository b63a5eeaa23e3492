"""What every request model shares: unknown fields refused, and only what PostgreSQL can store."""

import math
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict

MAX_JSON_DEPTH: Final = 32
# orjson writes 64-bit integers, and clients lose digits beyond 2^53 anyway.
MIN_JSON_INTEGER: Final = -(2**63)
MAX_JSON_INTEGER: Final = 2**63 - 1


class RequestModel(BaseModel):
    """Base of every request body: frozen, and an unknown field is an error rather than a silent loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def storable_text(value: str) -> str:
    """Raises ValueError for what PostgreSQL's text cannot hold: NUL and unpaired surrogates."""
    if "\x00" in value:
        raise ValueError("must not contain the NUL character")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode, without unpaired surrogates") from None
    return value


def single_line(value: str) -> str:
    """Raises ValueError for control characters and for text that is only white space."""
    if not value.strip():
        raise ValueError("must not be blank")
    if any(ord(character) < 32 or 127 <= ord(character) < 160 for character in value):
        raise ValueError("must not contain control characters")
    return value


def storable_json(value: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for what JSONB cannot hold or would change, and for deep nesting."""
    _check_json(value, 1)
    return value


def _check_json(value: Any, depth: int) -> None:
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"must not nest deeper than {MAX_JSON_DEPTH} levels")
    if isinstance(value, str):
        storable_text(value)
    elif isinstance(value, dict):
        for key, member in value.items():
            storable_text(key)
            _check_json(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            _check_json(member, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must hold finite numbers only")
    elif (
        isinstance(value, int)
        and not isinstance(value, bool)
        and not MIN_JSON_INTEGER <= value <= MAX_JSON_INTEGER
    ):
        raise ValueError("must hold integers of at most 64 bits")


Text = Annotated[str, AfterValidator(storable_text)]
Name = Annotated[str, AfterValidator(storable_text), AfterValidator(single_line)]
JsonObject = Annotated[dict[str, Any], AfterValidator(storable_json)]
