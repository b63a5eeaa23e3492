"""Who may do what: roles, their rules, and the check every route passes."""

from app.access.policies import ADMIN, DEFAULT_ROLES, default_rules
from app.access.requirements import (
    OPERATORS,
    PERSONAL,
    PUBLIC,
    GuardedRoute,
    declared_access,
    declared_action,
    deny_unguarded,
    operators_only,
    personal,
    public,
    requires,
)
from app.access.service import PolicyStore, create_default_policies

__all__ = [
    "ADMIN",
    "DEFAULT_ROLES",
    "OPERATORS",
    "PERSONAL",
    "PUBLIC",
    "GuardedRoute",
    "PolicyStore",
    "create_default_policies",
    "declared_access",
    "declared_action",
    "default_rules",
    "deny_unguarded",
    "operators_only",
    "personal",
    "public",
    "requires",
]
