"""What must be true of every plan is true of the examples, and what is planted against it is caught."""

import json
import re

import pytest

from tests.terraform.conftest import PLANTED, Ahead
from tests.terraform.invariants import ALWAYS, unprotected
from tests.terraform.roots import CANARY, examples

CHECKS = ALWAYS | {"unprotected": unprotected}
MARKED = re.compile(
    r'^# caught by ([\w, ]+)\n(?:(resource|data|variable) "(\w+)"(?: "(\w+)")?)', re.MULTILINE
)


def planted(check: str) -> set[str]:
    """Addresses of what is marked as caught by a check."""
    found = set()
    for path in PLANTED.glob("*.tf"):
        for checks, kind, first, second in MARKED.findall(path.read_text()):
            if check in checks.split(", "):
                prefix = {"resource": "", "data": "data.", "variable": "var."}[kind]
                found.add(prefix + ".".join(filter(None, (first, second))))
    assert found, check
    return found


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("example", examples())
def test_the_examples_keep_the_invariant(ahead: Ahead, example: str, check: str) -> None:
    """Without what lets them be destroyed again, which is what a production has."""
    assert CHECKS[check](ahead.result("example", example)) == []


@pytest.mark.parametrize("example", examples())
def test_no_secret_input_is_in_the_plan(ahead: Ahead, example: str) -> None:
    assert CANARY not in json.dumps(ahead.result("example", example))


@pytest.mark.planted
@pytest.mark.parametrize("check", CHECKS)
def test_a_planted_fault_is_caught_and_nothing_else(ahead: Ahead, check: str) -> None:
    plan = ahead.result("planted")
    caught = {fault.partition(": ")[0] for fault in CHECKS[check](plan)}
    assert caught == planted(check)
