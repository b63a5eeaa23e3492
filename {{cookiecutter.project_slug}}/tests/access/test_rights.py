"""Whether one's rights are enough to give another's: exactly when no permission and no object tells."""

import uuid
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.policies import compile_rules, default_rules
from app.access.rights import Rights, covers, first_uncovered
from app.resources.models import Resource
from app.resources.service import RESOURCES
from tests.people import allow, deny

ME, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
RESOURCE_WORDS, ACTION_WORDS = ("a", "b", "c"), ("x", "y", "z")
# One word of each is in no pattern: it stands for all that nobody has thought of yet.
UNIVERSE = [f"{resource}:{action}" for resource, action in product(RESOURCE_WORDS, ACTION_WORDS)]
OBJECTS = [
    Resource(name=name, owner_id=owner, data={"team": team})
    for name, owner, team in product(("n", "m", "?"), (ME, OTHER), ("blue", "red", 1, True, "?"))
]

patterns = st.builds("{}:{}".format, st.sampled_from(["*", "a", "b"]), st.sampled_from(["*", "x", "y"]))
conditions = st.sampled_from(
    [
        {},
        {"owner": True},
        {"attribute": "name", "equals": "n"},
        {"attribute": "name", "equals": "m"},
        {"attribute": "data.team", "equals": "blue"},
        {"attribute": "data.team", "equals": "red"},
        {"attribute": "data.team", "equals": 1},
        {"attribute": "data.team", "equals": True},
    ]
)


def rules_about(patterns: st.SearchStrategy[str]) -> st.SearchStrategy[list[Any]]:
    rule = st.builds(
        lambda make, permission, condition: make(permission, **condition),
        st.sampled_from([allow, allow, deny]),
        patterns,
        conditions,
    )
    return st.lists(rule, max_size=5)


stored_rules = rules_about(patterns)
# Conditions meet each other only where the permission is the same.
of_one_permission = rules_about(st.just("a:x"))
scope_lists = st.none() | st.lists(patterns, max_size=3)


def allowed(rights: Rights, permissions: Iterable[str] = UNIVERSE) -> set[tuple[str, int]]:
    """All that there is to allow, tried one by one."""
    return {
        (permission, index)
        for permission in permissions
        for index, item in enumerate(OBJECTS)
        if rights.grant(permission).allows(RESOURCES, item)
    }


@settings(max_examples=100)
@given(stored_rules, scope_lists, stored_rules, scope_lists)
def test_rights_cover_exactly_what_brute_force_finds(
    held: list[Any], held_scopes: list[str] | None, wanted: list[Any], wanted_scopes: list[str] | None
) -> None:
    rights = Rights(compile_rules(held), held_scopes and tuple(held_scopes), ME)
    others = Rights(compile_rules(wanted), wanted_scopes and tuple(wanted_scopes), ME)
    assert covers(rights, others) == (allowed(others) <= allowed(rights))


@settings(max_examples=300)
@given(of_one_permission, of_one_permission)
def test_conditions_cover_exactly_what_brute_force_finds(held: list[Any], wanted: list[Any]) -> None:
    rights, others = Rights(compile_rules(held), None, ME), Rights(compile_rules(wanted), None, ME)
    assert covers(rights, others) == (allowed(others, ["a:x"]) <= allowed(rights, ["a:x"]))


@given(of_one_permission, of_one_permission)
def test_a_key_hands_on_nothing_that_only_an_owner_has(held: list[Any], wanted: list[Any]) -> None:
    """It owns nothing, so what it could give to a person is what it may do to everybody's."""
    key, person = Rights(compile_rules(held)), Rights(compile_rules(wanted), None, ME)
    if covers(key, person):
        assert allowed(person, ["a:x"]) <= allowed(key, ["a:x"])


def test_what_a_key_has_as_an_owner_is_nothing() -> None:
    own = compile_rules([allow("a:x", owner=True)])
    assert covers(Rights(own, None, ME), Rights(own))
    assert not covers(Rights(own), Rights(own))


@given(stored_rules)
def test_everybody_covers_themselves_and_an_admin_everybody(held: list[Any]) -> None:
    rights = Rights(compile_rules(held), None, ME)
    assert covers(rights, rights)
    assert covers(Rights(compile_rules(default_rules("admin")), None, ME), rights)


@pytest.mark.parametrize(
    ("held", "wanted", "missing"),
    [
        ([allow("a:*")], [allow("*:x")], "*:x"),
        ([allow("*:*"), deny("a:x")], [allow("*:*")], "a:x"),
        ([allow("*:*"), deny("a:x")], [allow("*:*"), deny("a:*")], None),
        ([allow("a:x"), allow("a:y")], [allow("a:*")], "a:*"),
        ([allow("a:x", owner=True)], [allow("a:x")], "a:x"),
        ([allow("a:x")], [allow("a:x", owner=True)], None),
        ([allow("*:*"), deny("a:x", owner=True)], [allow("a:x")], "a:x"),
        ([allow("*:*"), deny("a:x", owner=True)], [allow("a:x"), deny("*:x", owner=True)], None),
        (
            [allow("*:*"), deny("a:x", attribute="name", equals="n")],
            [allow("a:x", attribute="name", equals="m")],
            None,
        ),
        ([], [], None),
        ([], [allow("a:x"), deny("*:*")], None),
    ],
)
def test_what_is_missing_is_named(held: list[Any], wanted: list[Any], missing: str | None) -> None:
    rights, others = Rights(compile_rules(held), None, ME), Rights(compile_rules(wanted), None, ME)
    assert first_uncovered(rights, others) == missing
