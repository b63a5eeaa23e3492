"""Every route declares what it needs, with `requires` or `public`; a route that declares nothing is denied.

The check runs before the body is read, so a stranger cannot make the service parse anything.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.access.policies import PERMISSION_PATTERN
from app.core.context import Principal, TenantRef
from app.core.errors import Forbidden, Unauthorized

PUBLIC: Final = "public"
DECLARATION: Final = "__access__"
_CHECKED: Final = "access_checked"

F = TypeVar("F", bound=Callable[..., Any])


def requires(permission: str) -> Callable[[F], F]:
    """Declare that an endpoint needs `resource:action`. Raises ValueError for another form."""
    if not PERMISSION_PATTERN.fullmatch(permission):
        raise ValueError(f"not a permission: {permission!r}")

    def declare(endpoint: F) -> F:
        setattr(endpoint, DECLARATION, permission)
        return endpoint

    return declare


def public(endpoint: F) -> F:
    """Declare that anybody may call an endpoint."""
    setattr(endpoint, DECLARATION, PUBLIC)
    return endpoint


def declared_access(endpoint: object) -> str | None:
    """The permission of an endpoint, `PUBLIC`, or None when its author declared nothing."""
    return getattr(endpoint, DECLARATION, None)


class GuardedRoute(APIRoute):
    """A route that checks its declaration before anything else happens."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            await check_access(request, declared_access(self.endpoint))
            return await handle(request)

        return guarded


async def check_access(request: Request, permission: str | None) -> None:
    """Let the request pass or raise: Unauthorized without a principal, Forbidden without the permission."""
    request.scope[_CHECKED] = True
    if permission == PUBLIC:
        return
    if permission is None:
        raise Forbidden("This route declares no permission, so nobody may call it.")
    principal: Principal | None = getattr(request.state, "principal", None)
    tenant: TenantRef | None = getattr(request.state, "tenant", None)
    if principal is None or tenant is None:
        raise getattr(request.state, "auth_error", None) or Unauthorized(
            "Send `Authorization: Bearer <access token>` or `X-API-Key: <key>`."
        )
    if not await request.app.state.policies.allows(tenant, principal, permission):
        raise Forbidden(f"This needs the permission {permission}.", permission=permission)


def deny_unguarded(request: Request) -> None:
    """The net under every route: one that was not made by GuardedRoute was never checked, so refuse it."""
    if not request.scope.get(_CHECKED):
        raise Forbidden("This route declares no permission, so nobody may call it.")
