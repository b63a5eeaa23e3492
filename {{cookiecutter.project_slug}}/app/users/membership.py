"""Changes the role and the state of people, removes them, and leaves a tenant its last active admin."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import ADMIN, Rights, refuse_escalation
from app.audit.service import AuditTrail
from app.auth import service as auth
from app.core.context import Principal
from app.core.database import on_commit
from app.core.epochs import ChangeEpochs
from app.users.errors import LastAdmin, NotYetJoined, UserChanged, UserNotFound
from app.users.models import User, UserState


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes somebody, with which rights, and which version of them they have seen; None for any."""

    principal: Principal
    rights: Rights
    epochs: ChangeEpochs
    expected_versions: Collection[int] | None
    trail: AuditTrail


async def update_user(
    session: AsyncSession, change: Change, user_id: UUID, *, role: str | None, state: str | None
) -> User:
    """Acts on the person's next request; who is disabled has no session left.

    Raises UserNotFound, UserChanged, UnknownRole, PrivilegeEscalation, NotYetJoined, LastAdmin.
    """
    user, admins = await _lock(session, change, user_id)
    before = _facts(user)
    if role is not None and role != user.role:
        await refuse_escalation(session, change.rights, role)
        user.role = role
    if state is not None and state != user.state:
        if user.state == UserState.INVITED and state == UserState.ACTIVE:
            raise NotYetJoined("They become active by accepting it.")
        user.state = state
    _refuse_last_admin(user, admins, stays=user.role == ADMIN and user.state == UserState.ACTIVE)
    if _facts(user) == before:
        change.trail.nothing_changed(session)
        return user
    user.version += 1
    await session.flush()
    if user.state == UserState.DISABLED:
        await auth.end_sessions(session, user_id)
    await _tell(session, change, user_id, "users.update", before=before, after=_facts(user))
    return user


async def delete_user(session: AsyncSession, change: Change, user_id: UUID) -> None:
    """Sessions go with the person. Raises UserNotFound, UserChanged, PrivilegeEscalation, LastAdmin."""
    user, admins = await _lock(session, change, user_id)
    _refuse_last_admin(user, admins, stays=False)
    before = _facts(user)
    await session.delete(user)
    await session.flush()
    await _tell(session, change, user_id, "users.delete", before=before, after=None)


async def _lock(session: AsyncSession, change: Change, user_id: UUID) -> tuple[User, set[UUID]]:
    """The person, and all active admins: whoever changes one of them waits, and then counts who is left.

    In the order of their ids, so that two who lock them do not wait for each other; logins go on.
    """
    active_admin = and_(User.role == ADMIN, User.state == UserState.ACTIVE)
    query = select(User).where(or_(User.id == user_id, active_admin)).order_by(User.id)
    locked = {user.id: user for user in await session.scalars(query.with_for_update(key_share=True))}
    user = locked.get(user_id)
    if user is None:
        raise UserNotFound
    admins = {each.id for each in locked.values() if each.role == ADMIN and each.state == UserState.ACTIVE}
    # Whoever has less than somebody neither changes nor removes them.
    await refuse_escalation(session, change.rights, user.role)
    if change.expected_versions is not None and user.version not in change.expected_versions:
        raise UserChanged("Read it again and repeat the change.")
    return user, admins


def _refuse_last_admin(user: User, admins: set[UUID], *, stays: bool) -> None:
    if admins == {user.id} and not stays:
        raise LastAdmin("Make somebody else an admin first.")


def _facts(user: User) -> dict[str, Any]:
    return {"role": user.role, "state": user.state}


async def _tell(
    session: AsyncSession,
    change: Change,
    user_id: UUID,
    action: str,
    *,
    before: dict[str, Any],
    after: dict[str, Any] | None,
) -> None:
    on_commit(session, partial(change.epochs.principal_changed, change.principal.tenant_id, user_id))
    await change.trail.record(
        session, action, target_kind="user", target_id=user_id, before=before, after=after
    )
