"""The audit trail over HTTP: read by whoever may `audit:read`, written by nobody."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.access import GuardedRoute, requires
from app.audit import chain, service
from app.audit.checkpoints import MEDIA_TYPE
from app.audit.dependencies import Checkpoints
from app.audit.models import AuditLog
from app.audit.schemas import AuditEntryRead, AuditQuery
from app.core.dependencies import CurrentTenant, Cursors, TenantSession
from app.core.pagination import Page

router = APIRouter(prefix="/v1/audit", tags=["audit"], route_class=GuardedRoute)


@router.get("", summary="Read the audit trail")
@requires("audit:read")
async def list_entries(
    session: TenantSession, tenant: CurrentTenant, cursors: Cursors, query: Annotated[AuditQuery, Query()]
) -> Page[AuditEntryRead]:
    """Newest first."""
    rows, next_cursor = await service.list_entries(
        session, query.page, query.filter, cursors=cursors, tenant_id=tenant.id
    )
    return Page(items=[AuditEntryRead.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get(
    "/checkpoint",
    summary="Sign where the trail ends now",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
@requires("audit:read")
async def read_checkpoint(
    session: TenantSession, tenant: CurrentTenant, checkpoints: Checkpoints
) -> Response:
    """A JWS in one line, for `app audit verify --checkpoint`. Keep it where this service cannot write."""
    signed = checkpoints.sign(tenant.id, await chain.head(session, AuditLog))
    return Response(f"{signed}\n", media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


@router.get("/{sequence}", summary="Read one entry of the audit trail")
@requires("audit:read")
async def read_entry(
    session: TenantSession, sequence: Annotated[int, Path(ge=1, le=2**63 - 1)]
) -> AuditEntryRead:
    """Entries are numbered from 1 in each tenant."""
    return AuditEntryRead.model_validate(await service.get_entry(session, sequence))
