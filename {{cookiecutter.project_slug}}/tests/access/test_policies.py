"""Rules decide as written: default deny, wildcards, deny wins, and nothing is guessed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.policies import (
    DEFAULT_ROLES,
    CompiledPolicy,
    InvalidRule,
    compile_rules,
    default_rules,
    scopes_allow,
)

words = st.from_regex(r"[a-z][a-z_]{0,5}", fullmatch=True)
permissions = st.builds("{}:{}".format, words, words)
patterns = st.builds("{}:{}".format, words | st.just("*"), words | st.just("*"))
rules = st.builds(
    lambda effect, permission: {"effect": effect, "permission": permission},
    st.sampled_from(["allow", "deny"]),
    patterns,
)


def matches(pattern: str, permission: str) -> bool:
    pairs = zip(pattern.split(":"), permission.split(":"), strict=True)
    return all(wanted in {"*", given_} for wanted, given_ in pairs)


@given(st.lists(rules, max_size=8), permissions)
def test_decides_as_the_rules_read_one_by_one(stored: list[dict[str, str]], permission: str) -> None:
    hits = {rule["effect"] for rule in stored if matches(rule["permission"], permission)}
    assert compile_rules(stored).allows(permission) == (hits == {"allow"})


@given(permissions)
def test_no_rule_allows_nothing(permission: str) -> None:
    assert not CompiledPolicy().allows(permission)
    assert not compile_rules([]).allows(permission)


@given(permissions)
def test_scopes_narrow_and_none_does_not(permission: str) -> None:
    assert scopes_allow(None, permission)
    assert scopes_allow([permission], permission)
    assert not scopes_allow([], permission)


@pytest.mark.parametrize(
    "rule",
    [
        "resources:read",
        {},
        {"effect": "allow"},
        {"effect": "permit", "permission": "a:b"},
        {"effect": "allow", "permission": "resources"},
        {"effect": "allow", "permission": "Resources:read"},
        {"effect": "allow", "permission": "a:b:c"},
        {"effect": "allow", "permission": ["a:b"]},
        {"effect": "allow", "permission": "a:b", "when": "weekdays"},
        {"effect": ["allow"], "permission": "a:b"},
        None,
    ],
)
def test_a_rule_that_is_not_understood_is_refused(rule: Any) -> None:
    with pytest.raises(InvalidRule):
        compile_rules([rule])


@pytest.mark.parametrize(
    ("role", "permission", "allowed"),
    [
        ("admin", "resources:delete", True),
        ("admin", "anything:at_all", True),
        ("developer", "resources:delete", True),
        ("developer", "users:read", True),
        ("developer", "users:create", False),
        ("developer", "api_keys:create", False),
        ("read_only", "resources:read", True),
        ("read_only", "resources:create", False),
        ("read_only", "resources:update", False),
        ("read_only", "audit:read", False),
    ],
)
def test_the_default_roles(role: str, permission: str, allowed: bool) -> None:
    assert set(DEFAULT_ROLES) == {"admin", "developer", "read_only"}
    assert compile_rules(default_rules(role)).allows(permission) is allowed
