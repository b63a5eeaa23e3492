"""Finds the tenant of the principal, as this process remembers it; `admit` then decides what it may do."""

from typing import Final, Protocol
from uuid import UUID

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.context import Principal, TenantRef
from app.core.errors import AppError, Unauthorized
from app.tenants import TenantMoving, TenantSuspended

ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
DELETED: Final = "deleted"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class FindsTenants(Protocol):
    async def get(self, tenant_id: UUID) -> TenantRef | None: ...

    async def confirm(self, tenant: TenantRef, seen_epoch: int | None) -> TenantRef | None: ...


class TenantContext:
    """Sets `tenant`, in whatever state: only the next middleware learns whether that is still so."""

    def __init__(self, app: ASGIApp, *, registry: FindsTenants) -> None:
        self._app = app
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        state["tenant"] = None
        principal: Principal | None = state["principal"]
        if principal is not None:
            state["tenant"] = await self._registry.get(principal.tenant_id)
            if state["tenant"] is None:
                admit(scope, None)
        await self._app(scope, receive, send)


def admit(scope: Scope, tenant: TenantRef | None) -> None:
    """Let the request act for the tenant, or take its principal away and say why."""
    state = scope["state"]
    refusal = _refusal(tenant, scope["method"])
    if refusal is None and tenant is not None:
        state["tenant"] = tenant
        structlog.contextvars.bind_contextvars(tenant=tenant.slug)
    else:
        state.update(tenant=None, principal=None, auth_error=refusal)


def _refusal(tenant: TenantRef | None, method: str) -> AppError | None:
    if tenant is None or tenant.state not in {ACTIVE, SUSPENDED}:
        return Unauthorized()
    if tenant.state == SUSPENDED:
        return TenantSuspended()
    return TenantMoving() if tenant.moving and method not in SAFE_METHODS else None
