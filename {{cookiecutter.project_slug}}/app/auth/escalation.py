"""Refuses to give a key more than its maker may do."""

from itertools import product

from sqlalchemy import String, column, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.policies import DENY_ALL, InvalidRule, compile_rules, scopes_allow
from app.auth.errors import PrivilegeEscalation, UnknownRole
from app.core.context import Principal

_RULES = text("SELECT name, rules FROM rbac_policies WHERE name IN (:own, :wanted) FOR KEY SHARE").columns(
    column("name", String), column("rules", JSONB)
)


async def refuse_escalation(
    session: AsyncSession, principal: Principal, role: str, scopes: tuple[str, ...] | None
) -> None:
    """Refuse unless the principal may do all that a role, narrowed by scopes, allows. The role cannot be
    deleted until the transaction ends. Raises UnknownRole, PrivilegeEscalation.

    Words that no rule names all fare alike, so one of them, spelled `*`, stands for all.
    """
    rows = await session.execute(_RULES, {"own": principal.role, "wanted": role})
    rules = {row.name: row.rules for row in rows}
    if role not in rules:
        raise UnknownRole(f"There is no role {role}.")
    try:
        wanted, own = compile_rules(rules[role]), compile_rules(rules.get(principal.role, ()))
    except InvalidRule:
        wanted, own = compile_rules([{"effect": "allow", "permission": "*:*"}]), DENY_ALL
    patterns = [*wanted.allowed, *wanted.denied, *own.allowed, *own.denied]
    words = [pattern.split(":") for pattern in (*patterns, *(scopes or ()), *(principal.scopes or ()), "*:*")]
    resources, actions = ({each[place] for each in words} for place in (0, 1))
    for permission in (f"{resource}:{action}" for resource, action in product(resources, actions)):
        gives = wanted.allows(permission) and scopes_allow(scopes, permission)
        if gives and not (own.allows(permission) and scopes_allow(principal.scopes, permission)):
            raise PrivilegeEscalation(f"You may not do all of {permission} yourself.", permission=permission)
