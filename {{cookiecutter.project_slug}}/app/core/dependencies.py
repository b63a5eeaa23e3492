"""What endpoints ask FastAPI for: the principal, its tenant, and a transaction in that tenant."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.context import Principal, TenantRef
from app.core.database import Database, TenantDatabases
from app.core.epochs import ChangeEpochs
from app.core.errors import Unauthorized
from app.core.pagination import CursorCodec
from app.core.settings import Settings


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


async def _tenant_session(tenant: CurrentTenant, databases: CurrentDatabases) -> AsyncIterator[AsyncSession]:
    async with databases.tenant(tenant) as session:
        yield session


# Function scope: the commit happens before the first byte is sent, so a 201 is never a lie.
TenantSession = Annotated[AsyncSession, Depends(_tenant_session, scope="function")]
