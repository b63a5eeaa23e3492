"""Reads a JSON body strictly: UTF-8 without a byte order mark, each name once, numbers that JSON knows."""

import json
from typing import Any, NoReturn

from starlette.requests import Request

from app.core.errors import UnsupportedMediaType


class StrictRequest(Request):
    """`json` raises JSONDecodeError for all that two parsers might read in two ways (RFC 8259)."""

    def require_json_type(self) -> None:
        """Raises UnsupportedMediaType for a body that says it is anything else, or does not say."""
        is_empty = self.headers.get("content-length", "0") == "0" and "transfer-encoding" not in self.headers
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not (is_empty and not media_type):
            raise UnsupportedMediaType("Send JSON with `Content-Type: application/json`.")

    async def json(self) -> Any:
        body = await self.body()
        try:
            text = body.decode("utf-8")
            return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise json.JSONDecodeError(str(error), "", 0) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
