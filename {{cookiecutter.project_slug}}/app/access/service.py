"""Finds the policy of a role in a tenant and asks it."""

from typing import Final

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.models import RBACPolicy
from app.access.policies import (
    DEFAULT_ROLES,
    DENY_ALL,
    CompiledPolicy,
    InvalidRule,
    compile_rules,
    default_rules,
)
from app.access.rights import Rights
from app.core.cache import SingleFlightCache
from app.core.context import Principal, TenantRef
from app.core.database import TenantDatabases
from app.core.ids import new_id

TTL_SECONDS: Final = 5.0
MAX_TENANTS: Final = 5_000

log = structlog.get_logger(__name__)


class PolicyStore:
    """The compiled roles of each tenant, kept in memory for a few seconds."""

    def __init__(self, databases: TenantDatabases, *, ttl_seconds: float = TTL_SECONDS) -> None:
        self._databases = databases
        self._roles = SingleFlightCache(self._load, ttl_seconds=ttl_seconds, size=MAX_TENANTS)

    async def rights(self, tenant: TenantRef, principal: Principal, *, epoch: int | None) -> Rights:
        """What the principal's role, narrowed by its key's scopes, allows in this tenant.

        `epoch` is that of the tenant's roles in Redis: under another one they are read again at once.
        """
        policy = None
        if principal.tenant_id == tenant.id:
            policy = await self.policy(tenant, principal.role, epoch=epoch)
        person = principal.subject if principal.kind == "user" else None
        return Rights(policy or DENY_ALL, principal.scopes, person)

    async def policy(self, tenant: TenantRef, role: str, *, epoch: int | None) -> CompiledPolicy | None:
        """The rules of a role; None when the tenant has no such role."""
        return (await self._roles.get((tenant, epoch))).get(role)

    async def _load(self, key: tuple[TenantRef, int | None]) -> dict[str, CompiledPolicy]:
        tenant, _ = key
        async with self._databases.tenant(tenant) as session:
            rows = (await session.execute(select(RBACPolicy.name, RBACPolicy.rules))).all()
        return {name: _compile(tenant.schema, name, rules) for name, rules in rows}


async def create_default_policies(session: AsyncSession) -> None:
    """Give a new tenant its three roles; safe to repeat. The session must be in the tenant's schema."""
    rows = [
        {
            "id": new_id(),
            "name": role,
            "description": description,
            "rules": default_rules(role),
            "is_default": True,
        }
        for role, (description, _) in DEFAULT_ROLES.items()
    ]
    await session.execute(insert(RBACPolicy).values(rows).on_conflict_do_nothing(index_elements=["name"]))


def _compile(schema: str, name: str, rules: list[object]) -> CompiledPolicy:
    try:
        return compile_rules(rules)
    except InvalidRule:
        log.error("rbac_policy_invalid", tenant_schema=schema, role=name, effect="role denied everything")
        return DENY_ALL
