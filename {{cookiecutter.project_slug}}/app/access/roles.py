"""The roles of one tenant: list, read, create, change, delete; and nobody gives rights that they lack."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.errors import (
    DefaultRole,
    PrivilegeEscalation,
    RoleChanged,
    RoleInUse,
    RoleNameTaken,
    RoleNotFound,
    TooManyRoles,
    UnknownRole,
)
from app.access.models import RBACPolicy
from app.access.policies import ADMIN, CompiledPolicy, InvalidRule, compile_rules, default_rules
from app.access.rights import Rights, first_uncovered
from app.core.pagination import CursorCodec, PageRequest, fetch_page

# Every process keeps all roles of a tenant in memory.
MAX_ROLES: Final = 100


async def refuse_escalation(
    session: AsyncSession, rights: Rights, role: str, scopes: Iterable[str] | None = None
) -> None:
    """Refuse unless `rights` cover all that a role, narrowed by a key's scopes, allows.

    To be called before anybody is given the role (a person, an API key, an invitation), and before a person
    or key that has it is changed. The role cannot be deleted until the transaction ends. Raises UnknownRole,
    PrivilegeEscalation.
    """
    query = select(RBACPolicy.rules).where(RBACPolicy.name == role)
    rules: list[Any] | None = await session.scalar(query.with_for_update(read=True, key_share=True))
    if rules is None:
        names = await session.scalars(select(RBACPolicy.name).order_by(RBACPolicy.name))
        raise UnknownRole(f"There is no role {role}.", known=list(names))
    refuse_uncovered(rights, _compile(rules), scopes)


def refuse_uncovered(rights: Rights, policy: CompiledPolicy, scopes: Iterable[str] | None = None) -> None:
    """Raises PrivilegeEscalation unless `rights` cover all that the rules, narrowed by the scopes, allow."""
    missing = first_uncovered(rights, Rights(policy, None if scopes is None else tuple(scopes)))
    if missing is not None:
        raise PrivilegeEscalation(
            f"You have not all of {missing} yourself, or only under conditions.", permission=missing
        )


async def list_roles(
    session: AsyncSession, request: PageRequest, *, cursors: CursorCodec, tenant_id: UUID
) -> tuple[Sequence[RBACPolicy], str | None]:
    """Newest first."""
    return await fetch_page(
        session,
        select(RBACPolicy),
        RBACPolicy,
        request,
        cursors=cursors,
        tenant_id=tenant_id,
        collection="roles",
    )


async def get_role(session: AsyncSession, name: str) -> RBACPolicy:
    """Raises RoleNotFound."""
    role: RBACPolicy | None = await session.scalar(select(RBACPolicy).where(RBACPolicy.name == name))
    if role is None:
        raise RoleNotFound
    return role


async def create_role(
    session: AsyncSession, rights: Rights, *, name: str, description: str, rules: list[dict[str, Any]]
) -> RBACPolicy:
    """Raises PrivilegeEscalation, RoleNameTaken, TooManyRoles."""
    refuse_uncovered(rights, compile_rules(rules))
    if (await session.scalar(select(func.count()).select_from(RBACPolicy)) or 0) >= MAX_ROLES:
        raise TooManyRoles(f"That is {MAX_ROLES}. Delete one that nobody has.")
    role = RBACPolicy(name=name, description=description, rules=rules)
    session.add(role)
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_rbac_policies_name" in str(error.orig):
            raise RoleNameTaken(f"There is a role {name} already.") from error
        raise
    return role


async def update_role(
    session: AsyncSession,
    rights: Rights,
    name: str,
    changes: dict[str, Any],
    *,
    expected_versions: Collection[int] | None,
) -> tuple[dict[str, Any], RBACPolicy]:
    """What it was, and the role as it is now.

    Raises RoleNotFound, DefaultRole, RoleChanged, PrivilegeEscalation.
    """
    role = await _lock(session, rights, name, expected_versions=expected_versions)
    before = facts(role)
    if "rules" in changes:
        refuse_uncovered(rights, compile_rules(changes["rules"]))
    for column, value in changes.items():
        setattr(role, column, value)
    role.version += 1
    await session.flush()
    await session.refresh(role, ["updated_at"])
    return before, role


async def delete_role(
    session: AsyncSession, rights: Rights, name: str, *, expected_versions: Collection[int] | None
) -> dict[str, Any]:
    """What it was. Raises RoleNotFound, DefaultRole, RoleChanged, PrivilegeEscalation, RoleInUse."""
    role = await _lock(session, rights, name, expected_versions=expected_versions)
    before = facts(role)
    await session.delete(role)
    try:
        await session.flush()
    except IntegrityError as error:
        raise RoleInUse(
            f"Give the people and API keys with the role {name} another one first; revoked keys count too."
        ) from error
    return before


def facts(role: RBACPolicy) -> dict[str, Any]:
    """What the trail keeps of a role."""
    return {"description": role.description, "rules": role.rules, "version": role.version}


async def _lock(
    session: AsyncSession, rights: Rights, name: str, *, expected_versions: Collection[int] | None
) -> RBACPolicy:
    """The role, held until the transaction ends, and refused if the caller has less than it allows."""
    query = select(RBACPolicy).where(RBACPolicy.name == name).with_for_update()
    role: RBACPolicy | None = await session.scalar(query)
    if role is None:
        raise RoleNotFound
    if role.is_default:
        raise DefaultRole(f"Make a role of your own with the rules of {name} and what you want of it.")
    refuse_uncovered(rights, _compile(role.rules))
    if expected_versions is not None and role.version not in expected_versions:
        raise RoleChanged("Read it again and repeat the change.")
    return role


def _compile(rules: list[Any]) -> CompiledPolicy:
    """What is not understood denies everything, but to a later release may be anything: it counts as all."""
    try:
        return compile_rules(rules)
    except InvalidRule:
        return compile_rules(default_rules(ADMIN))
