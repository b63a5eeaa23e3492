"""What endpoints for operators ask FastAPI for: the operator, the action in hand, and a transaction."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import declared_action
from app.core.context import OperatorRef
from app.core.dependencies import PlatformDatabase
from app.core.errors import Unauthorized
from app.operators.trail import PendingAction


def _operator(request: Request) -> OperatorRef:
    operator: OperatorRef | None = getattr(request.state, "operator", None)
    if operator is None:
        raise Unauthorized
    return operator


CurrentOperator = Annotated[OperatorRef, Depends(_operator)]


def _action(request: Request, operator: CurrentOperator) -> PendingAction:
    action = declared_action(request.scope["endpoint"])
    if action is None:
        raise RuntimeError("a route that takes a CurrentAction declares operators_only(action=…)")
    correlation_id: str | None = getattr(request.state, "correlation_id", None)
    return PendingAction(operator, action, correlation_id, request.scope)


CurrentAction = Annotated[PendingAction, Depends(_action)]


async def _session(_operator: CurrentOperator, database: PlatformDatabase) -> AsyncIterator[AsyncSession]:
    async with database.platform() as session:
        yield session


# Function scope: the commit happens before the first byte is sent.
OperatorSession = Annotated[AsyncSession, Depends(_session, scope="function")]
