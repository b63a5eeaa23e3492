"""Outermost: puts the headers on every answer that tell a browser to trust it with nothing."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# OWASP ASVS 5.0, 3.4. The page /docs brings a policy of its own (app/core/docs_page.py).
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Nearly every answer holds what one tenant alone may see; what may be kept says so itself.
    "Cache-Control": "no-store",
}
# Two years, for this host and those under it. Only ever sent where TLS stands in front.
STRICT_TRANSPORT: Final = {"Strict-Transport-Security": "max-age=63072000; includeSubDomains"}


class SecurityHeaders:
    """Replaces nothing that a route has set. `https_only`: nobody reaches the service without TLS."""

    def __init__(self, app: ASGIApp, *, https_only: bool) -> None:
        self._app = app
        self._headers = {**HEADERS, **(STRICT_TRANSPORT if https_only else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
