"""What a principal may do, to which objects, and whether that is enough to give somebody else's rights."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from uuid import UUID

from sqlalchemy import ColumnElement, false, not_, or_

from app.access.conditions import OWNER, Condition, ObjectType
from app.access.policies import DENIED, CompiledPolicy, Decision, scopes_allow


@dataclass(frozen=True, slots=True)
class Rights:
    """The rules of a role, narrowed by the scopes of an API key; None does not narrow.

    `person` is whose objects are the caller's own, and None for an API key.
    """

    policy: CompiledPolicy
    scopes: tuple[str, ...] | None = None
    person: UUID | None = None

    def decide(self, permission: str) -> Decision:
        """For which objects the permission is given."""
        return self.policy.decide(permission) if scopes_allow(self.scopes, permission) else DENIED

    def grant(self, permission: str) -> "Grant":
        return Grant(self, permission, self.decide(permission))


@dataclass(slots=True)
class Grant:
    """A permission of a caller, to be held against the objects that it is used on."""

    rights: Rights
    permission: str
    decision: Decision
    was_asked: bool = field(default=False, init=False)

    def allows(self, kind: ObjectType, item: object) -> bool:
        """Whether it is given for this object."""
        self.was_asked = True
        person, decision = self.rights.person, self.decision
        if any(condition.holds(kind, item, person, unknown=True) for condition in decision.deny_if):
            return False
        return decision.allow_if is None or any(
            condition.holds(kind, item, person, unknown=False) for condition in decision.allow_if
        )

    def filters(self, kind: ObjectType) -> list[ColumnElement[bool]]:
        """Clauses that leave the rows for which it is given: `.where(*grant.filters(kind))`."""
        self.was_asked = True
        person, decision = self.rights.person, self.decision
        clauses = [not_(condition.clause(kind, person, unknown=True)) for condition in decision.deny_if]
        if decision.allow_if is not None:
            allowed = (condition.clause(kind, person, unknown=False) for condition in decision.allow_if)
            clauses.append(or_(false(), *allowed))
        return clauses


def covers(rights: Rights, wanted: Rights) -> bool:
    """True when everything that `wanted` allows, now or with any permission to come, `rights` allow too."""
    return first_uncovered(rights, wanted) is None


def first_uncovered(rights: Rights, wanted: Rights) -> str | None:
    """A permission that `wanted` allows for an object for which `rights` do not; `*` is any other word.

    Words that no rule names all fare alike, so one of them, spelled `*`, stands for all: only a rule with a
    wildcard reaches them.
    """
    for permission in _permissions_told_apart(rights, wanted):
        asked = wanted.decide(permission)
        if asked is not DENIED and not _within(asked, _given_to(rights, permission)):
            return permission
    return None


def _permissions_told_apart(*all_rights: Rights) -> Iterator[str]:
    patterns = {rule.permission for rights in all_rights for rule in rights.policy.rules}
    patterns |= {scope for rights in all_rights for scope in rights.scopes or ()}
    words = [pattern.split(":") for pattern in patterns]
    resources, actions = {resource for resource, _ in words}, {action for _, action in words}
    return (f"{resource}:{action}" for resource, action in product(sorted(resources), sorted(actions)))


def _given_to(rights: Rights, permission: str) -> Decision:
    """An API key owns nothing: what it may do to its own is nothing that it could hand on."""
    held = rights.decide(permission)
    if rights.person is not None or held.allow_if is None:
        return held
    return Decision(tuple(condition for condition in held.allow_if if condition != OWNER), held.deny_if)


def _within(wanted: Decision, held: Decision) -> bool:
    """Whether each object that `wanted` gives is one that `held` gives.

    Conditions are independent of each other, but that an attribute has one value. So there is an object that
    meets one of them and, of the others, none but those of our choice.
    """
    given: tuple[Condition | None, ...] = (None,) if wanted.allow_if is None else wanted.allow_if
    for condition in given:
        if condition in wanted.deny_if:
            continue
        if held.allow_if is not None and condition not in held.allow_if:
            return False
        for refused in held.deny_if:
            is_apart = condition is not None and condition.excludes(refused)
            if refused not in wanted.deny_if and not is_apart:
                return False
    return True
