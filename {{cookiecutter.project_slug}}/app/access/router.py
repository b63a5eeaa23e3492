"""Roles, permissions and the reasons of decisions over HTTP."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import roles
from app.access.catalogue import PermissionCatalogue
from app.access.dependencies import CurrentRights
from app.access.explain import Explanation, explain
from app.access.models import RBACPolicy
from app.access.policies import compile_rules
from app.access.requirements import GuardedRoute, personal, requires
from app.access.schemas import (
    DecidingRule,
    ExplanationRead,
    Permission,
    PermissionList,
    PermissionRead,
    RoleCreate,
    RoleName,
    RoleRead,
    RoleUpdate,
)
from app.access.service import PolicyStore
from app.audit.dependencies import CurrentTrail
from app.auth import service as auth
from app.core.context import TenantRef
from app.core.database import on_commit
from app.core.dependencies import CurrentPrincipal, CurrentTenant, Cursors, Epochs, TenantSession
from app.core.entity_tags import ExpectedVersions, entity_tag
from app.core.errors import BadRequest, NotFound
from app.core.pagination import Page, PageRequest, page_request
from app.users import service as users

router = APIRouter(prefix="/v1/roles", tags=["access"], route_class=GuardedRoute)
access_router = APIRouter(prefix="/v1/access", tags=["access"], route_class=GuardedRoute)

ROLE_PROBLEMS: dict[int | str, dict[str, Any]] = {
    409: {"description": "It is a default role, is given to somebody, or has a name that is taken."}
}
AskedPermission = Annotated[Permission, Query(description="`resource:action`, as a route declares it.")]
NamedRole = Annotated[RoleName, Path()]


class NoSuchPrincipal(NotFound):
    slug = "principal-not-found"
    title = "There is no such person or API key"


def _catalogue(request: Request) -> PermissionCatalogue:
    catalogue: PermissionCatalogue = request.app.state.permissions
    return catalogue


Catalogue = Annotated[PermissionCatalogue, Depends(_catalogue)]


@router.post("", status_code=201, summary="Create a role", responses=ROLE_PROBLEMS)
@requires("roles:create")
async def create_role(
    *,
    session: TenantSession,
    principal: CurrentPrincipal,
    rights: CurrentRights,
    epochs: Epochs,
    trail: CurrentTrail,
    catalogue: Catalogue,
    response: Response,
    body: RoleCreate,
) -> RoleRead:
    """You can give it only what you have yourself."""
    rules = body.stored_rules()
    catalogue.refuse_unfit(compile_rules(rules).rules)
    role = await roles.create_role(session, rights, name=body.name, description=body.description, rules=rules)
    on_commit(session, partial(epochs.roles_changed, principal.tenant_id))
    await trail.record(
        session, "roles.create", target_kind="role", target_id=body.name, after=roles.facts(role)
    )
    response.headers["Location"] = f"{router.prefix}/{role.name}"
    return _read(response, role)


@router.get("", summary="List the roles")
@requires("roles:read")
async def list_roles(
    session: TenantSession,
    tenant: CurrentTenant,
    cursors: Cursors,
    page: Annotated[PageRequest, Depends(page_request)],
) -> Page[RoleRead]:
    """Newest first."""
    rows, next_cursor = await roles.list_roles(session, page, cursors=cursors, tenant_id=tenant.id)
    return Page(items=[RoleRead.model_validate(row) for row in rows], next_cursor=next_cursor)


@router.get("/{name}", summary="Read a role")
@requires("roles:read")
async def read_role(session: TenantSession, response: Response, name: NamedRole) -> RoleRead:
    return _read(response, await roles.get_role(session, name))


@router.patch("/{name}", summary="Change a role", responses=ROLE_PROBLEMS)
@requires("roles:update")
async def update_role(
    *,
    session: TenantSession,
    principal: CurrentPrincipal,
    rights: CurrentRights,
    epochs: Epochs,
    trail: CurrentTrail,
    catalogue: Catalogue,
    response: Response,
    name: NamedRole,
    expected_versions: ExpectedVersions,
    body: RoleUpdate,
) -> RoleRead:
    """With `If-Match`, only if nobody changed it since: otherwise 412. Acts on the next request of everybody
    who has it. You need all that it allows, before and after."""
    changes = body.changes()
    catalogue.refuse_unfit(compile_rules(changes.get("rules", ())).rules)
    before, role = await roles.update_role(
        session, rights, name, changes, expected_versions=expected_versions
    )
    on_commit(session, partial(epochs.roles_changed, principal.tenant_id))
    await trail.record(
        session, "roles.update", target_kind="role", target_id=name, before=before, after=roles.facts(role)
    )
    return _read(response, role)


@router.delete("/{name}", status_code=204, summary="Delete a role", responses=ROLE_PROBLEMS)
@requires("roles:delete")
async def delete_role(
    *,
    session: TenantSession,
    principal: CurrentPrincipal,
    rights: CurrentRights,
    epochs: Epochs,
    trail: CurrentTrail,
    name: NamedRole,
    expected_versions: ExpectedVersions,
) -> None:
    """Only while nobody has it: otherwise 409."""
    before = await roles.delete_role(session, rights, name, expected_versions=expected_versions)
    on_commit(session, partial(epochs.roles_changed, principal.tenant_id))
    await trail.record(session, "roles.delete", target_kind="role", target_id=name, before=before)


@access_router.get("/permissions", summary="List the permissions that routes declare")
@requires("roles:read")
async def list_permissions(catalogue: Catalogue) -> PermissionList:
    """These, and patterns of them with `*`, can be named in rules and in the scopes of API keys."""
    return PermissionList(items=[PermissionRead.model_validate(known) for known in catalogue.all()])


@access_router.get("/explain/me", summary="Why may I, or may I not?")
@personal
async def explain_own(
    request: Request,
    tenant: CurrentTenant,
    principal: CurrentPrincipal,
    catalogue: Catalogue,
    permission: AskedPermission,
) -> ExplanationRead:
    """Which rule of your role decides about a permission."""
    catalogue.refuse_unknown([permission])
    return await _explain(request, tenant, permission, principal.role, None)


@access_router.get("/explain", summary="Why may a person or an API key, or may not?")
@requires("roles:read")
async def explain_for(
    *,
    request: Request,
    session: TenantSession,
    tenant: CurrentTenant,
    principal: CurrentPrincipal,
    catalogue: Catalogue,
    permission: AskedPermission,
    user_id: Annotated[UUID | None, Query(description="A person.")] = None,
    api_key_id: Annotated[UUID | None, Query(description="An API key.")] = None,
) -> ExplanationRead:
    """Which rule decides about a permission: for a person, an API key, or, without either, the caller."""
    if user_id is not None and api_key_id is not None:
        raise BadRequest("Send `user_id` or `api_key_id`, not both.")
    catalogue.refuse_unknown([permission])
    if user_id is not None:
        role, scopes, refusal = await _of_person(session, user_id)
    elif api_key_id is not None:
        role, scopes, refusal = await _of_key(session, api_key_id)
    else:
        role, scopes, refusal = principal.role, principal.scopes, None
    return await _explain(request, tenant, permission, role, scopes, refusal=refusal)


async def _of_person(session: AsyncSession, user_id: UUID) -> tuple[str, None, str | None]:
    user = await users.get_user(session, user_id)
    return user.role, None, None if user.state == "active" else f"The person is {user.state}."


async def _of_key(session: AsyncSession, key_id: UUID) -> tuple[str, tuple[str, ...] | None, str | None]:
    key = await auth.find_key_rights(session, key_id)
    if key is None:
        raise NoSuchPrincipal
    return key.role, key.scopes, key.refusal


async def _explain(
    request: Request,
    tenant: TenantRef,
    permission: str,
    role: str,
    scopes: tuple[str, ...] | None,
    *,
    refusal: str | None = None,
) -> ExplanationRead:
    """By the same rules in memory that decide about requests."""
    policies: PolicyStore = request.app.state.policies
    policy = await policies.policy(tenant, role, epoch=getattr(request.state, "roles_epoch", None))
    explanation = explain(policy, role, scopes, permission)
    if refusal is not None:
        explanation = Explanation("denied", refusal)
    return ExplanationRead(
        permission=permission,
        outcome=explanation.outcome,
        reason=explanation.reason,
        role=role,
        scopes=None if scopes is None else list(scopes),
        rules=[
            DecidingRule(
                index=index,
                effect=rule.effect,
                permission=rule.permission,
                condition=rule.condition.stored() if rule.condition else None,
            )
            for index, rule in explanation.rules
        ],
    )


def _read(response: Response, role: RBACPolicy) -> RoleRead:
    response.headers["ETag"] = entity_tag(role.version)
    return RoleRead.model_validate(role)
