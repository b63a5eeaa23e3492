"""Who may do what: roles, their rules, and the check every route passes."""

from app.access.policies import ADMIN, DEFAULT_ROLES, default_rules
from app.access.requirements import GuardedRoute, declared_access, deny_unguarded, public, requires
from app.access.service import PolicyStore, create_default_policies

__all__ = [
    "ADMIN",
    "DEFAULT_ROLES",
    "GuardedRoute",
    "PolicyStore",
    "create_default_policies",
    "declared_access",
    "default_rules",
    "deny_unguarded",
    "public",
    "requires",
]
