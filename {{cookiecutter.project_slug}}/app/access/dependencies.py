"""What endpoints ask FastAPI for to hold a permission against objects, or to hand rights on."""

from collections.abc import AsyncIterator
from typing import Annotated

import structlog
from fastapi import Depends, Request

from app.access.rights import Grant, Rights
from app.core.dependencies import TenantSession
from app.core.errors import Forbidden

log = structlog.get_logger(__name__)


def _rights(request: Request) -> Rights:
    rights: Rights | None = getattr(request.state, "rights", None)
    if rights is None:
        raise Forbidden
    return rights


# It needs the session to end before the session does: what is refused here is rolled back.
async def current_grant(request: Request, _session: TenantSession) -> AsyncIterator[Grant]:
    """The permission that the route declares, as the caller has it."""
    grant: Grant | None = getattr(request.state, "grant", None)
    if grant is None:
        raise Forbidden
    yield grant
    if grant.decision.outcome == "conditional" and not grant.was_asked:
        log.error("condition_not_evaluated", permission=grant.permission)
        raise Forbidden("This route did not evaluate the condition under which your role allows it.")


CurrentGrant = Annotated[Grant, Depends(current_grant, scope="function")]
CurrentRights = Annotated[Rights, Depends(_rights)]
