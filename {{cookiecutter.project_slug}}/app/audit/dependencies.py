"""What endpoints ask FastAPI for: the trail in which their caller's changes are recorded."""

from typing import Annotated

from fastapi import Depends, Request

from app.audit.checkpoints import CheckpointCodec
from app.audit.service import AuditTrail
from app.core.dependencies import CurrentPrincipal


def _trail(request: Request, principal: CurrentPrincipal) -> AuditTrail:
    return AuditTrail.of(principal, getattr(request.state, "correlation_id", None))


def _checkpoints(request: Request) -> CheckpointCodec:
    return CheckpointCodec(request.app.state.key_ring)


CurrentTrail = Annotated[AuditTrail, Depends(_trail)]
Checkpoints = Annotated[CheckpointCodec, Depends(_checkpoints)]
