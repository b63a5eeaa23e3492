"""Rules decide as written: default deny, wildcards, conditions, deny wins, and nothing is guessed."""

import uuid
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.conditions import parse_condition
from app.access.explain import explain
from app.access.policies import (
    DEFAULT_ROLES,
    CompiledPolicy,
    InvalidRule,
    compile_rules,
    default_rules,
    scopes_allow,
)
from app.access.rights import Rights
from app.resources.models import Resource
from app.resources.service import RESOURCES

ME, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
OWNERS = (ME, OTHER, None)
NAMES = ("blue", "red", "1")
TEAMS = ("blue", "red", 1, True, "1")
VALUES = (*TEAMS, None, 1.0, False, {"team": "blue"}, ["blue"])
ATTRIBUTES = ("data.team", "data.deep.team", "name", "name.team", "data", "colour")

# Few words, so that rules meet each other.
words = st.sampled_from(["resources", "jobs", "read", "update"])
permissions = st.builds("{}:{}".format, words, words)
patterns = st.builds("{}:{}".format, words | st.just("*"), words | st.just("*"))
conditions = st.one_of(
    st.none(),
    st.just({"owner": True}),
    st.builds(
        lambda attribute, equals: {"attribute": attribute, "equals": equals},
        st.sampled_from(ATTRIBUTES),
        st.sampled_from(TEAMS),
    ),
)
rules = st.builds(
    lambda effect, permission, condition: (
        {"effect": effect, "permission": permission} | ({"condition": condition} if condition else {})
    ),
    st.sampled_from(["allow", "deny"]),
    patterns,
    conditions,
)
resources = st.builds(
    Resource,
    name=st.sampled_from(NAMES),
    owner_id=st.sampled_from(OWNERS),
    data=st.dictionaries(st.sampled_from(["team", "deep"]), st.sampled_from(VALUES)),
)


def matches(pattern: str, permission: str) -> bool:
    pairs = zip(pattern.split(":"), permission.split(":"), strict=True)
    return all(wanted in {"*", given_} for wanted, given_ in pairs)


def holds(condition: dict[str, Any] | None, resource: Resource, caller: uuid.UUID | None) -> bool | None:
    """As docs/access.md tells it; None when such objects have no such attribute."""
    if condition is None:
        return True
    if "owner" in condition:
        return caller is not None and resource.owner_id == caller
    name, *path = condition["attribute"].split(".")
    if name not in {"name", "data"} or (name == "name") == bool(path):
        return None
    value: Any = {"name": resource.name, "data": resource.data}[name]
    for member in path:
        value = value.get(member) if isinstance(value, dict) else None
    wanted = condition["equals"]
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted)


def reference(
    stored: list[dict[str, Any]], permission: str, resource: Resource, caller: uuid.UUID | None
) -> bool:
    """Rule by rule, in the plainest way there is."""
    allowed = False
    for rule in stored:
        if matches(rule["permission"], permission):
            met = holds(rule.get("condition"), resource, caller)
            if rule["effect"] == "deny" and met is not False:
                return False
            if rule["effect"] == "allow" and met is True:
                allowed = True
    return allowed


@given(st.lists(rules, max_size=8), permissions, resources, st.sampled_from([ME, None]))
def test_decides_as_the_rules_read_one_by_one(
    stored: list[dict[str, Any]], permission: str, resource: Resource, caller: uuid.UUID | None
) -> None:
    policy = compile_rules(stored)
    expected = reference(stored, permission, resource, caller)
    grant = Rights(policy, person=caller).grant(permission)
    assert grant.allows(RESOURCES, resource) == expected
    # What is said without looking at the object is so for every object.
    outcome = grant.decision.outcome
    assert outcome == "conditional" or (outcome == "allowed") == expected
    assert explain(policy, "r", None, permission).outcome == outcome


def test_each_condition_holds_for_each_object_as_it_reads() -> None:
    stored: list[dict[str, Any]] = [{"owner": True}]
    stored += [{"attribute": name, "equals": team} for name, team in product(ATTRIBUTES, TEAMS)]
    data: list[dict[str, Any]] = [{}]
    data += [{member: value} for member, value in product(("team", "deep"), VALUES)]
    for one, name, owner, content, caller in product(stored, NAMES, OWNERS, data, (ME, None)):
        condition = parse_condition(one)
        assert condition is not None
        assert condition.stored() == one
        resource = Resource(name=name, owner_id=owner, data=content)
        expected = holds(one, resource, caller)
        for unknown in (True, False):
            answer = condition.holds(RESOURCES, resource, caller, unknown=unknown)
            assert answer is (unknown if expected is None else expected), (one, name, owner, content)


@given(st.lists(rules, max_size=8), permissions, st.lists(patterns, max_size=3))
def test_scopes_only_take_away(stored: list[dict[str, Any]], permission: str, scopes: list[str]) -> None:
    policy = compile_rules(stored)
    within = any(matches(scope, permission) for scope in scopes)
    outcome = Rights(policy, tuple(scopes)).decide(permission).outcome
    assert outcome == (policy.decide(permission).outcome if within else "denied")
    assert explain(policy, "r", scopes, permission).outcome == outcome
    assert scopes_allow(None, permission)
    assert not scopes_allow([], permission)


@given(permissions)
def test_no_rule_allows_nothing(permission: str) -> None:
    for policy in (CompiledPolicy(), compile_rules([])):
        assert policy.decide(permission).outcome == "denied"


def rule(**members: Any) -> dict[str, Any]:
    return {"effect": "allow", "permission": "a:b", **members}


@pytest.mark.parametrize(
    "stored",
    [
        "resources:read",
        {},
        {"effect": "allow"},
        rule(effect="permit"),
        rule(permission="resources"),
        rule(permission="Resources:read"),
        rule(permission="a:b:c"),
        rule(permission="a:b\n"),
        rule(permission=["a:b"]),
        rule(when="weekdays"),
        rule(effect=["allow"]),
        rule(condition=None),
        rule(condition={}),
        rule(condition={"owner": False}),
        rule(condition={"owner": 1}),
        rule(condition={"owner": True, "attribute": "name", "equals": "x"}),
        rule(condition={"attribute": "name"}),
        rule(condition={"attribute": "name", "equals": 1.5}),
        rule(condition={"attribute": "name", "equals": None}),
        rule(condition={"attribute": "name", "equals": ["x"]}),
        rule(condition={"attribute": "data.0", "equals": "x"}),
        rule(condition={"attribute": "data..x", "equals": "x"}),
        rule(condition={"attribute": "data.x'", "equals": "x"}),
        None,
    ],
)
def test_a_rule_that_is_not_understood_is_refused(stored: Any) -> None:
    with pytest.raises(InvalidRule):
        compile_rules([stored])


@pytest.mark.parametrize(
    ("role", "permission", "allowed"),
    [
        ("admin", "resources:delete", True),
        ("admin", "anything:at_all", True),
        ("developer", "resources:delete", True),
        ("developer", "users:read", True),
        ("developer", "users:create", False),
        ("developer", "roles:read", False),
        ("developer", "api_keys:create", False),
        ("read_only", "resources:read", True),
        ("read_only", "resources:create", False),
        ("read_only", "resources:update", False),
        ("read_only", "audit:read", False),
    ],
)
def test_the_default_roles(role: str, permission: str, allowed: bool) -> None:
    assert set(DEFAULT_ROLES) == {"admin", "developer", "read_only"}
    outcome = compile_rules(default_rules(role)).decide(permission).outcome
    assert outcome == ("allowed" if allowed else "denied")
