"""Gives every request a correlation id, logs one line for it, and answers what nobody caught."""

import re
import time
import uuid
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import AppError, send_problem
from app.core.problems import is_outage, unavailable

CORRELATION_HEADER: Final = "X-Request-ID"
# Narrow enough that an id from outside can be neither a log injection nor a header injection.
_ACCEPTED_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
MAX_LOGGED_PATH: Final = 200

log = structlog.get_logger("app.request")


class RequestLog:
    """Accepts a well-formed `X-Request-ID` from outside, makes one otherwise, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter_ns()
        sent = Headers(scope=scope).get(CORRELATION_HEADER, "")
        correlation_id = sent if _ACCEPTED_ID.fullmatch(sent) else uuid.uuid4().hex
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[CORRELATION_HEADER] = correlation_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            # The gateway itself asks the database too: who calls, which tenant, which limits.
            if is_outage(error):
                refusal: AppError = unavailable(error)
            else:
                refusal = AppError()
                log.exception("unhandled_error")
            if status:
                raise  # Half an answer is out; the server must cut the connection.
            await send_problem(scope, receive, send_with_id, refusal)
        finally:
            log.info("request", **_facts(scope, status, (time.perf_counter_ns() - started) // 1000))


def _facts(scope: Scope, status: int, duration_us: int) -> dict[str, Any]:
    """What is logged: never bodies, credentials or the query string."""
    state = scope["state"]
    principal, operator = state.get("principal"), state.get("operator")
    actor = operator.id if operator else principal.actor_id if principal else None
    return {
        "method": scope["method"],
        # An unmatched path is the client's text: cut, and quoted by the renderer.
        "path": route_template(scope) or scope["path"][:MAX_LOGGED_PATH],
        "status": status or None,
        "duration_ms": round(duration_us / 1000, 2),
        "tenant": state["tenant"].slug if state.get("tenant") else None,
        "subject": str(principal.subject) if principal else None,
        # The operator who calls, or who acts as the subject.
        "actor": str(actor) if actor else None,
    }


def route_template(scope: Scope) -> str | None:
    """`/v1/resources/{resource_id}`, once the router has matched."""
    route = scope.get("route")
    template: str | None = getattr(route, "path_format", None) or getattr(route, "path", None)
    return template
