"""Decides whether a role's rules allow a permission: pure, compiled once, deny wins."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

PERMISSION_PATTERN: Final = re.compile(r"[a-z][a-z_]*:[a-z][a-z_]*")
RULE_PATTERN: Final = re.compile(r"(\*|[a-z][a-z_]*):(\*|[a-z][a-z_]*)")

Effect = Literal["allow", "deny"]

ADMIN: Final = "admin"
DEFAULT_ROLES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    ADMIN: ("Everything in the tenant.", ("*:*",)),
    "developer": (
        "Builds on the API: works with resources and jobs, sees people.",
        ("resources:*", "jobs:*", "users:read", "profile:read"),
    ),
    "read_only": (
        "Sees what there is and changes nothing.",
        ("resources:read", "jobs:read", "users:read", "profile:read"),
    ),
}


class InvalidRule(ValueError):
    """A stored rule is not `{"effect": "allow" | "deny", "permission": "resource:action"}`."""


def default_rules(role: str) -> list[dict[str, str]]:
    """The rules that onboarding gives to one of the default roles."""
    return [{"effect": "allow", "permission": permission} for permission in DEFAULT_ROLES[role][1]]


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """The rules of one role as sets, so that a decision is a few look-ups. Empty means nothing allowed."""

    allowed: frozenset[str] = field(default_factory=frozenset)
    denied: frozenset[str] = field(default_factory=frozenset)

    def allows(self, permission: str) -> bool:
        """True when a rule allows `resource:action` and none denies it."""
        resource, _, action = permission.partition(":")
        spellings = (permission, f"{resource}:*", f"*:{action}", "*:*")
        return not self.denied.intersection(spellings) and not self.allowed.isdisjoint(spellings)


DENY_ALL: Final = CompiledPolicy()


def compile_rules(rules: Iterable[Any]) -> CompiledPolicy:
    """Compile stored rules. Raises InvalidRule for anything not understood, so that nothing is guessed."""
    sets: dict[str, set[str]] = {"allow": set(), "deny": set()}
    for rule in rules:
        effect = rule.get("effect") if isinstance(rule, dict) else None
        permission = rule.get("permission") if isinstance(rule, dict) else None
        if (
            not isinstance(effect, str)
            or effect not in sets
            or not isinstance(permission, str)
            or not RULE_PATTERN.fullmatch(permission)
            or set(rule) != {"effect", "permission"}
        ):
            raise InvalidRule(f"not a rule: {rule!r}")
        sets[effect].add(permission)
    return CompiledPolicy(frozenset(sets["allow"]), frozenset(sets["deny"]))


def scopes_allow(scopes: Iterable[str] | None, permission: str) -> bool:
    """True when an API key's scopes leave the permission to its role; None does not narrow."""
    if scopes is None:
        return True
    return CompiledPolicy(allowed=frozenset(scopes)).allows(permission)
