"""What endpoints ask FastAPI for: the principal, its tenant, and a transaction in that tenant."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Final

import structlog
from fastapi import Depends, Request
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.context import Principal, TenantRef
from app.core.database import Database, TenantDatabases, is_recorded
from app.core.epochs import ChangeEpochs
from app.core.errors import AppError, Unauthorized
from app.core.idempotency import IdempotentRequests
from app.core.pagination import CursorCodec
from app.core.settings import Settings

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

log = structlog.get_logger(__name__)


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _databases(request: Request) -> TenantDatabases:
    databases: TenantDatabases = request.app.state.databases
    return databases


def _epochs(request: Request) -> ChangeEpochs:
    epochs: ChangeEpochs = request.app.state.epochs
    return epochs


def _cursors(request: Request) -> CursorCodec:
    cursors: CursorCodec = request.app.state.cursors
    return cursors


def _principal(request: Request) -> Principal:
    principal: Principal | None = getattr(request.state, "principal", None)
    if principal is None:
        raise Unauthorized
    return principal


def _tenant(request: Request) -> TenantRef:
    tenant: TenantRef | None = getattr(request.state, "tenant", None)
    if tenant is None:
        raise Unauthorized
    return tenant


CurrentSettings = Annotated[Settings, Depends(_settings)]
PlatformDatabase = Annotated[Database, Depends(_database)]
CurrentDatabases = Annotated[TenantDatabases, Depends(_databases)]
Epochs = Annotated[ChangeEpochs, Depends(_epochs)]
Cursors = Annotated[CursorCodec, Depends(_cursors)]
CurrentPrincipal = Annotated[Principal, Depends(_principal)]
CurrentTenant = Annotated[TenantRef, Depends(_tenant)]


async def tenant_session(
    request: Request, tenant: CurrentTenant, principal: CurrentPrincipal, databases: CurrentDatabases
) -> AsyncSession:
    """The request's transaction. Raises Replay when the request was answered before."""
    transactions: AsyncExitStack = request.state.transactions
    session = await transactions.enter_async_context(_recorded_transaction(request, tenant, databases))
    requests: IdempotentRequests = request.app.state.idempotent_requests
    await requests.begin(session, request, tenant, principal)
    return session


@asynccontextmanager
async def _recorded_transaction(
    request: Request, tenant: TenantRef, databases: TenantDatabases
) -> AsyncIterator[AsyncSession]:
    """What an unsafe method changes is rolled back, with 500, unless it was recorded in the audit trail: its
    author forgot to, and must hear of it at once.
    """
    async with databases.tenant(tenant) as session:
        yield session
        if request.method not in SAFE_METHODS and not is_recorded(session):
            log.error("change_unrecorded", method=request.method, path=request.scope["route"].path)
            raise AppError


# The route commits it (app/access/requirements.py) before the first byte is sent, so a 201 is never a lie.
TenantSession = Annotated[AsyncSession, Depends(tenant_session)]


def in_transaction(route: object) -> bool:
    """True when an endpoint works in the tenant's transaction, and so can be repeated with a key."""
    return isinstance(route, APIRoute) and any(
        dependency.call is tenant_session for dependency in route.dependant.dependencies
    )
