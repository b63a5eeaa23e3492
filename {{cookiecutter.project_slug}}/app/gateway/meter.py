"""Measures what a tenant's request cost and hands the event on, whatever becomes of the request."""

import time
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.ids import new_id
from app.gateway.request_log import route_template
from app.usage.events import UsageEvent

UNMATCHED = "unmatched"
CLIENT_CLOSED_REQUEST = 499


class Records(Protocol):
    def record(self, event: UsageEvent) -> None: ...


class Meter:
    """Counts body bytes in both directions and wall time; a client that left is metered as 499.

    What an operator does, also as somebody of the tenant, is not the tenant's use.
    """

    def __init__(self, app: ASGIApp, *, recorder: Records) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tenant, principal = scope["state"]["tenant"], scope["state"]["principal"]
        if tenant is None or principal is None or principal.actor_id is not None:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter_ns()
        request_bytes = response_bytes = 0
        status = 0

        async def count_received() -> Message:
            nonlocal request_bytes
            message = await receive()
            if message["type"] == "http.request":
                request_bytes += len(message.get("body", b""))
            return message

        async def count_sent(message: Message) -> None:
            nonlocal response_bytes, status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                response_bytes += len(message.get("body", b""))
            await send(message)

        failed = True
        try:
            await self._app(scope, count_received, count_sent)
            failed = False
        except Exception:
            status = status or 500
            raise
        finally:
            self._recorder.record(
                UsageEvent(
                    id=new_id(),
                    tenant_id=tenant.id,
                    subject=principal.subject,
                    kind=principal.kind,
                    method=scope["method"],
                    route=route_template(scope) or UNMATCHED,
                    status=status or (CLIENT_CLOSED_REQUEST if failed else 500),
                    request_bytes=request_bytes,
                    response_bytes=response_bytes,
                    duration_us=(time.perf_counter_ns() - started) // 1000,
                )
            )
