"""Finds out who is calling. It refuses nobody: a stale token must not close the public routes."""

from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.context import OperatorRef, Principal, TenantRef
from app.core.errors import AppError, Unauthorized


class Authenticates(Protocol):
    """Raises Unauthorized for a credential that is not valid; None means that there was none."""

    async def authenticate(self, headers: Headers) -> Principal | OperatorRef | None: ...

    async def confirm(
        self, principal: Principal, tenant: TenantRef, epoch: int | None, *, known: bool
    ) -> Principal: ...


class Authenticate:
    """Sets `principal` or `operator`, never both, or `auth_error` for the access check to raise."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticates) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Principal | OperatorRef | None = None
        auth_error: AppError | None = None
        try:
            caller = await self._authenticator.authenticate(Headers(scope=scope))
        except Unauthorized as error:
            auth_error = error
        scope["state"].update(
            principal=caller if isinstance(caller, Principal) else None,
            operator=caller if isinstance(caller, OperatorRef) else None,
            auth_error=auth_error,
        )
        await self._app(scope, receive, send)
