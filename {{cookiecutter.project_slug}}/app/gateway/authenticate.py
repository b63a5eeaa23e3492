"""Finds out who is calling. It refuses nobody: a stale token must not close the public routes."""

from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.context import OperatorRef, Principal, TenantRef
from app.core.errors import AppError, Unauthorized
from app.gateway.client_address import client_address


class Authenticates(Protocol):
    """Raises Unauthorized for a credential that is not valid; None means that there was none."""

    async def authenticate(self, headers: Headers, address: str) -> Principal | OperatorRef | None: ...

    async def confirm(
        self, principal: Principal, tenant: TenantRef, epoch: int | None, *, known: bool
    ) -> Principal: ...


class Authenticate:
    """Sets `client_address`, and `principal` or `operator`, never both, or `auth_error` for the access check
    to raise.

    `trusted_proxies` says how many hops of X-Forwarded-For are ours.
    """

    def __init__(self, app: ASGIApp, *, authenticator: Authenticates, trusted_proxies: int) -> None:
        self._app = app
        self._authenticator = authenticator
        self._trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Principal | OperatorRef | None = None
        auth_error: AppError | None = None
        address = client_address(scope, self._trusted_proxies)
        try:
            caller = await self._authenticator.authenticate(Headers(scope=scope), address)
        except Unauthorized as error:
            auth_error = error
        scope["state"].update(
            client_address=address,
            principal=caller if isinstance(caller, Principal) else None,
            operator=caller if isinstance(caller, OperatorRef) else None,
            auth_error=auth_error,
        )
        await self._app(scope, receive, send)
