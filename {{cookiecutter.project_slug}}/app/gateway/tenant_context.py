"""Finds the tenant of the principal; a tenant that is not active takes its principals' identity away."""

from typing import Final, Protocol
from uuid import UUID

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.context import Principal, TenantRef
from app.core.errors import Forbidden, Unauthorized

ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"


class TenantSuspended(Forbidden):
    slug = "tenant-suspended"
    title = "This tenant is suspended"


class FindsTenants(Protocol):
    async def get(self, tenant_id: UUID) -> TenantRef | None: ...


class TenantContext:
    """Sets `tenant`, and binds it to the log lines of the request."""

    def __init__(self, app: ASGIApp, *, registry: FindsTenants) -> None:
        self._app = app
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        state["tenant"] = None
        principal: Principal | None = state["principal"]
        if principal is not None:
            tenant = await self._registry.get(principal.tenant_id)
            if tenant is not None and tenant.state == ACTIVE:
                state["tenant"] = tenant
                structlog.contextvars.bind_contextvars(tenant=tenant.slug)
            else:
                state["principal"] = None
                suspended = tenant is not None and tenant.state == SUSPENDED
                state["auth_error"] = TenantSuspended() if suspended else Unauthorized()
        await self._app(scope, receive, send)
