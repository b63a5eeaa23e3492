"""Who may do what: roles, their rules, the check every route passes, and who may give rights to whom."""

from app.access.catalogue import PermissionCatalogue
from app.access.conditions import ObjectType
from app.access.dependencies import CurrentGrant, CurrentRights
from app.access.policies import ADMIN, DEFAULT_ROLES, compile_rules, default_rules
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
from app.access.rights import Grant, Rights, covers
from app.access.roles import refuse_escalation
from app.access.schemas import RoleName
from app.access.service import PolicyStore, create_default_policies

__all__ = [
    "ADMIN",
    "DEFAULT_ROLES",
    "OPERATORS",
    "PERSONAL",
    "PUBLIC",
    "CurrentGrant",
    "CurrentRights",
    "Grant",
    "GuardedRoute",
    "ObjectType",
    "PermissionCatalogue",
    "PolicyStore",
    "Rights",
    "RoleName",
    "compile_rules",
    "covers",
    "create_default_policies",
    "declared_access",
    "declared_action",
    "default_rules",
    "deny_unguarded",
    "operators_only",
    "personal",
    "public",
    "refuse_escalation",
    "requires",
]
