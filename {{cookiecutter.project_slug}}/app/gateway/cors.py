"""Lets web pages of the configured origins call the API (the Fetch standard's CORS protocol)."""

from collections.abc import Sequence
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.gateway.request_log import CORRELATION_HEADER

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS: Final = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "X-API-Key",
    CORRELATION_HEADER,
)  # fmt: skip
EXPOSED_HEADERS: Final = (
    "Content-Disposition", "ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After",
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", CORRELATION_HEADER,
)  # fmt: skip
PREFLIGHT_SECONDS: Final = 600


class Cors:
    """Stands outside all that may refuse, so that a page can read why, and a preflight costs nothing.

    Without origins it is not there. Credentials of the browser's own (cookies) are never allowed: callers
    bring a token.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        if origins:
            self._app = CORSMiddleware(
                app,
                allow_origins=origins,
                allow_methods=METHODS,
                allow_headers=REQUEST_HEADERS,
                allow_credentials=False,
                expose_headers=EXPOSED_HEADERS,
                max_age=PREFLIGHT_SECONDS,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
