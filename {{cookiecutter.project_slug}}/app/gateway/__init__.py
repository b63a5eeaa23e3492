"""What every request passes before the application, as pure ASGI middleware in one order."""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.settings import Settings
from app.gateway.authenticate import Authenticate, Authenticates
from app.gateway.body_limit import BodyLimit
from app.gateway.cors import Cors
from app.gateway.header_limit import HeaderLimit
from app.gateway.meter import Meter, Records
from app.gateway.rate_limit import RateLimit
from app.gateway.request_log import RequestLog
from app.gateway.security_headers import SecurityHeaders
from app.gateway.tenant_context import FindsTenants, TenantContext
from app.gateway.trusted_hosts import TrustedHosts
from app.limits.service import RateLimiter

# Outermost first. Each stands on what those before it put into scope["state"].
ORDER: Final = (
    SecurityHeaders, Cors, RequestLog, HeaderLimit, TrustedHosts,
    Authenticate, TenantContext, RateLimit, Meter, BodyLimit,
)  # fmt: skip
POLICY_VIOLATION: Final = 1008


def install(
    app: ASGIApp,
    *,
    settings: Settings,
    authenticator: Authenticates,
    registry: FindsTenants,
    limiter: RateLimiter,
    recorder: Records,
) -> ASGIApp:
    """Wrap an application in the gateway."""
    arguments: dict[type, dict[str, object]] = {
        SecurityHeaders: {"https_only": settings.is_production_like},
        Cors: {"origins": settings.cors_origins},
        RequestLog: {},
        HeaderLimit: {},
        TrustedHosts: {"hosts": settings.allowed_hosts},
        Authenticate: {"authenticator": authenticator, "trusted_proxies": settings.trusted_proxy_count},
        TenantContext: {"registry": registry},
        RateLimit: {"limiter": limiter, "authenticator": authenticator, "registry": registry},
        Meter: {"recorder": recorder},
        BodyLimit: {"max_bytes": settings.max_body_bytes},
    }
    wrapped = app
    for middleware in reversed(ORDER):
        wrapped = middleware(wrapped, **arguments[middleware])  # type: ignore[arg-type]

    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await wrapped(scope, receive, send)
        elif scope["type"] == "lifespan":
            await app(scope, receive, send)
        else:
            # Nothing here speaks WebSocket, so nothing would authenticate one.
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})

    return gateway
