"""What endpoints ask FastAPI for to hold a permission against objects, or to hand rights on."""

from typing import Annotated

from fastapi import Depends, Request

from app.access.rights import Grant, Rights
from app.core.errors import Forbidden


def _rights(request: Request) -> Rights:
    rights: Rights | None = getattr(request.state, "rights", None)
    if rights is None:
        raise Forbidden
    return rights


def current_grant(request: Request) -> Grant:
    """The permission that the route declares, as the caller has it."""
    grant: Grant | None = getattr(request.state, "grant", None)
    if grant is None:
        raise Forbidden
    return grant


CurrentGrant = Annotated[Grant, Depends(current_grant)]
CurrentRights = Annotated[Rights, Depends(_rights)]
