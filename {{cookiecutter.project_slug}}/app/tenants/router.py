"""Tenants over HTTP: for operators all of their life, for anybody signing up where that is enabled."""

from dataclasses import asdict
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import GuardedRoute, operators_only, public
from app.auth.passwords import WeakPassword, validate_password
from app.core.dependencies import Cursors
from app.core.pagination import Page, PageRequest, page_request
from app.operators import CurrentAction, OperatorSession
from app.tenants import service
from app.tenants.creation import NewTenant, Record
from app.tenants.errors import InvalidTenant
from app.tenants.lifecycle import Lifecycle
from app.tenants.models import TenantState
from app.tenants.onboarding import Onboarding, slugify
from app.tenants.schemas import OperationRead, SignUp, TenantCreate, TenantCreated, TenantRead, TenantUpdate

router = APIRouter(prefix="/v1/tenants", tags=["tenants"], route_class=GuardedRoute)
sign_up_router = APIRouter(tags=["tenants"], route_class=GuardedRoute)
CONFLICT: Final[dict[int | str, dict[str, Any]]] = {
    409: {"description": "The slug is taken, or the tenant is in a state that does not allow it."}
}


def _onboarding(request: Request) -> Onboarding:
    onboarding: Onboarding = request.app.state.onboarding
    return onboarding


def _lifecycle(request: Request) -> Lifecycle:
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


CurrentOnboarding = Annotated[Onboarding, Depends(_onboarding)]
CurrentLifecycle = Annotated[Lifecycle, Depends(_lifecycle)]


def _recorder(action: CurrentAction, **details: str | None) -> Record:
    """Writes the operator's action in the transaction of the change."""

    async def record(session: AsyncSession, tenant_id: UUID) -> None:
        await action.record(session, tenant_id=tenant_id, details=details)

    return record


@router.post("", status_code=201, summary="Create a tenant", responses=CONFLICT)
@operators_only(action="tenants:create")
async def create_tenant(
    response: Response, body: TenantCreate, onboarding: CurrentOnboarding, action: CurrentAction
) -> TenantCreated:
    """Onboards in recorded steps. When one fails, reading the tenant says which, and it can be resumed."""
    new = NewTenant(
        name=body.name,
        slug=body.slug or slugify(body.name),
        admin_email=body.admin_email,
        plan=body.plan,
        placement=body.placement,
        requests_per_minute=body.requests_per_minute,
    )
    credentials = await onboarding.create(new, record=_recorder(action, slug=new.slug, plan=new.plan))
    response.headers["Location"] = f"{router.prefix}/{credentials.tenant_id}"
    response.headers["Cache-Control"] = "no-store"
    return TenantCreated.model_validate(asdict(credentials))


@router.get("", summary="List tenants")
@operators_only()
async def list_tenants(
    session: OperatorSession,
    cursors: Cursors,
    page: Annotated[PageRequest, Depends(page_request)],
    state: Annotated[TenantState | None, Query(description="Only those in this state.")] = None,
) -> Page[TenantRead]:
    """Newest first, without their operations."""
    rows, next_cursor = await service.list_tenants(session, page, cursors=cursors, state=state)
    return Page(items=[TenantRead.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{tenant_id}", summary="Read a tenant")
@operators_only()
async def read_tenant(session: OperatorSession, tenant_id: UUID) -> TenantRead:
    """`operation` is the newest: its step, attempts and error."""
    tenant, operation = await service.get_tenant(session, tenant_id)
    read = TenantRead.model_validate(tenant)
    if operation is not None:
        read.operation = OperationRead.model_validate(operation)
    return read


@router.patch("/{tenant_id}", status_code=204, summary="Change a tenant", responses=CONFLICT)
@operators_only(action="tenants:update")
async def update_tenant(
    tenant_id: UUID, body: TenantUpdate, lifecycle: CurrentLifecycle, action: CurrentAction
) -> None:
    """Acts on the tenant's next request."""
    record = _recorder(action, **body.model_dump(exclude_none=True))
    if body.name is not None:
        await lifecycle.rename(tenant_id, body.name, record=record)
    elif body.plan is not None:
        await lifecycle.change_plan(tenant_id, body.plan, record=record)
    elif body.isolation is not None:
        await lifecycle.isolate(tenant_id, body.isolation, record=record)


@router.post(
    "/{tenant_id}/suspend", status_code=204, summary="Refuse a tenant's requests", responses=CONFLICT
)
@operators_only(action="tenants:suspend")
async def suspend_tenant(tenant_id: UUID, lifecycle: CurrentLifecycle, action: CurrentAction) -> None:
    """From its next request on; `resume` takes it back."""
    await lifecycle.suspend(tenant_id, record=_recorder(action))


@router.post(
    "/{tenant_id}/resume", status_code=204, summary="Serve a suspended tenant again", responses=CONFLICT
)
@operators_only(action="tenants:resume")
async def resume_tenant(tenant_id: UUID, lifecycle: CurrentLifecycle, action: CurrentAction) -> None:
    await lifecycle.resume(tenant_id, record=_recorder(action))


@router.delete("/{tenant_id}", status_code=204, summary="Delete a tenant after a grace", responses=CONFLICT)
@operators_only(action="tenants:delete")
async def delete_tenant(tenant_id: UUID, lifecycle: CurrentLifecycle, action: CurrentAction) -> None:
    """Its requests are refused at once, its data is kept until `purge_after`; `restore` takes it back."""
    await lifecycle.schedule_deletion(tenant_id, record=_recorder(action))


@router.post("/{tenant_id}/restore", status_code=204, summary="Take a deletion back", responses=CONFLICT)
@operators_only(action="tenants:restore")
async def restore_tenant(tenant_id: UUID, lifecycle: CurrentLifecycle, action: CurrentAction) -> None:
    await lifecycle.restore(tenant_id, record=_recorder(action))


@router.post("/{tenant_id}/onboarding/resume", summary="Finish an interrupted onboarding", responses=CONFLICT)
@operators_only(action="tenants:resume_onboarding")
async def resume_onboarding(
    tenant_id: UUID, response: Response, onboarding: CurrentOnboarding, action: CurrentAction
) -> TenantCreated | None:
    """The admin's new credentials, without the password if the person chose it; null when the command that
    began it saved them."""
    credentials = await onboarding.resume(tenant_id, record=_recorder(action))
    response.headers["Cache-Control"] = "no-store"
    return None if credentials is None else TenantCreated.model_validate(asdict(credentials))


@router.post(
    "/{tenant_id}/onboarding/cancel",
    status_code=204,
    summary="Undo an interrupted onboarding",
    responses=CONFLICT,
)
@operators_only(action="tenants:cancel_onboarding")
async def cancel_onboarding(tenant_id: UUID, onboarding: CurrentOnboarding, action: CurrentAction) -> None:
    """Nothing of the tenant is left."""
    await onboarding.cancel(tenant_id, record=_recorder(action))


@sign_up_router.post(
    "/v1/sign-up", status_code=201, summary="Sign up with a tenant of one's own", responses=CONFLICT
)
@public
async def sign_up(response: Response, body: SignUp, onboarding: CurrentOnboarding) -> TenantCreated:
    """Then log in. Few are let in per hour from one address, and in all."""
    password = body.password.get_secret_value()
    try:
        validate_password(password, context=(body.name, body.email))
    except WeakPassword as error:
        raise InvalidTenant(f"password: {error}.") from None
    new = NewTenant(name=body.name, slug=body.slug or slugify(body.name), admin_email=body.email)
    credentials = await onboarding.create(new, password=password)
    response.headers["Cache-Control"] = "no-store"
    return TenantCreated.model_validate({**asdict(credentials), "password": None})
