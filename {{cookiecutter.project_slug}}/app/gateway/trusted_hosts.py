"""Refuses a request whose Host is malformed, or names a host that is not ours."""

from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import BadRequest, MisdirectedRequest, send_problem
from app.core.web_names import host_of

# A load balancer's health check names the address of the process; these answers say nothing of anybody.
ANY_HOST_PREFIX: Final = "/health/"


class TrustedHosts:
    """Nothing here repeats the Host, and nothing behind this ever sees a strange one (CVE-2026-48710).

    With no `hosts`, which development alone may do, every well-formed one passes.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = Headers(scope=scope).getlist("host")
        # RFC 9112, section 3.2: exactly one, and a well-formed one.
        host = host_of(sent[0]) if len(sent) == 1 else None
        if host is None:
            await send_problem(scope, receive, send, BadRequest("Send one Host header, host or host:port."))
        elif self._hosts and host not in self._hosts and not scope["path"].startswith(ANY_HOST_PREFIX):
            await send_problem(scope, receive, send, MisdirectedRequest("This host is not served here."))
        else:
            await self._app(scope, receive, send)
