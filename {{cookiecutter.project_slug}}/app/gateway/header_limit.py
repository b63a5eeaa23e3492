"""Refuses a target or a set of headers that is too large, before anything looks into them."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import AppError, HeadersTooLarge, TargetTooLong, send_problem

MAX_TARGET_BYTES: Final = 8 * 1024
# The largest credential is 8 KiB; a load balancer adds a few hundred bytes of its own.
MAX_HEADER_BYTES: Final = 32 * 1024
MAX_HEADERS: Final = 100


class HeaderLimit:
    """Counts bytes as they were sent. The server has read them already: a proxy bounds that earlier."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await send_problem(scope, receive, send, refusal)


def _refusal(scope: Scope) -> AppError | None:
    target = len(scope.get("raw_path") or scope["path"].encode()) + len(scope.get("query_string", b""))
    if target > MAX_TARGET_BYTES:
        return TargetTooLong(f"At most {MAX_TARGET_BYTES} bytes are accepted.")
    headers = scope["headers"]
    if (
        len(headers) > MAX_HEADERS
        or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES
    ):
        return HeadersTooLarge(f"At most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes are accepted.")
    return None
