"""Decides whether a role's rules allow a permission: pure, compiled once, deny wins."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from app.access.conditions import Condition, parse_condition

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
_MEMBERS: Final = ({"effect", "permission"}, {"effect", "permission", "condition"})


class InvalidRule(ValueError):
    """Not `{"effect": "allow" | "deny", "permission": "resource:action"}` with or without a condition."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`permission` may have wildcards. With a condition it is a rule for the objects that meet it."""

    effect: Effect
    permission: str
    condition: Condition | None = None

    def matches(self, permission: str) -> bool:
        """Whether it speaks of a permission, for any object."""
        return self.permission in _spellings(permission)


@dataclass(frozen=True, slots=True)
class Decision:
    """For which objects a permission is given: those that meet one of `allow_if` and none of `deny_if`.

    `allow_if` is None where it is given for all objects that are not denied, and empty where for none.
    """

    allow_if: tuple[Condition, ...] | None
    deny_if: tuple[Condition, ...] = ()

    @property
    def outcome(self) -> Literal["allowed", "conditional", "denied"]:
        if self.allow_if is None:
            return "conditional" if self.deny_if else "allowed"
        return "conditional" if self.allow_if else "denied"


ALLOWED: Final = Decision(None)
DENIED: Final = Decision(())


def default_rules(role: str) -> list[dict[str, str]]:
    """The rules that onboarding gives to one of the default roles."""
    return [{"effect": "allow", "permission": permission} for permission in DEFAULT_ROLES[role][1]]


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """The rules of one role as sets, so that a decision is a few look-ups. Empty means nothing allowed."""

    rules: tuple[Rule, ...] = ()
    allowed: frozenset[str] = field(default_factory=frozenset)
    denied: frozenset[str] = field(default_factory=frozenset)
    conditional: tuple[Rule, ...] = ()

    def decide(self, permission: str) -> Decision:
        """Whether `resource:action` is allowed: to all objects, to some, or to none."""
        spellings = _spellings(permission)
        if not self.denied.isdisjoint(spellings):
            return DENIED
        allowed = not self.allowed.isdisjoint(spellings)
        if not self.conditional:
            return ALLOWED if allowed else DENIED
        return self._decide_by_object(spellings, allowed=allowed)

    def _decide_by_object(self, spellings: tuple[str, ...], *, allowed: bool) -> Decision:
        conditions: dict[str, list[Condition]] = {"allow": [], "deny": []}
        for rule in self.conditional:
            if rule.permission in spellings and rule.condition is not None:
                conditions[rule.effect].append(rule.condition)
        if not allowed and not conditions["allow"]:
            return DENIED
        return Decision(None if allowed else tuple(conditions["allow"]), tuple(conditions["deny"]))


DENY_ALL: Final = CompiledPolicy()


def compile_rules(rules: Iterable[Any]) -> CompiledPolicy:
    """Compile stored rules. Raises InvalidRule for anything not understood, so that nothing is guessed."""
    parsed = tuple(map(_parse, rules))
    sets: dict[str, set[str]] = {"allow": set(), "deny": set()}
    for rule in parsed:
        if rule.condition is None:
            sets[rule.effect].add(rule.permission)
    conditional = tuple(rule for rule in parsed if rule.condition is not None)
    return CompiledPolicy(parsed, frozenset(sets["allow"]), frozenset(sets["deny"]), conditional)


def scopes_allow(scopes: Iterable[str] | None, permission: str) -> bool:
    """True when an API key's scopes leave the permission to its role; None does not narrow."""
    return scopes is None or not frozenset(scopes).isdisjoint(_spellings(permission))


def _spellings(permission: str) -> tuple[str, str, str, str]:
    """The patterns that match a permission."""
    resource, _, action = permission.partition(":")
    return permission, f"{resource}:*", f"*:{action}", "*:*"


def _parse(stored: Any) -> Rule:
    if isinstance(stored, dict) and set(stored) in _MEMBERS:
        effect, permission = stored["effect"], stored["permission"]
        condition = parse_condition(stored.get("condition"))
        understood = isinstance(permission, str) and RULE_PATTERN.fullmatch(permission)
        if effect in ("allow", "deny") and understood and (condition is None) == ("condition" not in stored):
            return Rule(effect, permission, condition)
    raise InvalidRule(f"not a rule: {stored!r}")
