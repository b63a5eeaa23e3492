"""docs/api-keys.md says what the code does: regex for secret scanners, checksum, routes, numbers."""

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from app.access import declared_access
from app.auth import api_keys, authenticator, key_verifier, verified_secrets
from app.auth.api_key_format import KEY_PATTERN, generate
from app.auth.schemas import DEFAULT_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS
from app.core.openapi import api_routes
from tests.auth.test_api_key_format import brands

TEXT = (Path(__file__).resolve().parents[2] / "docs/api-keys.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)\n```", TEXT, re.DOTALL)
    assert found
    return found[1]


SCANNER = re.compile(block("regex"))


def test_the_regex_is_the_one_that_keys_are_read_with() -> None:
    assert re.sub(r"\?P<\w+>", "", KEY_PATTERN.pattern) == SCANNER.pattern


def test_the_regex_needs_nothing_that_a_scanner_may_lack() -> None:
    """No look-around, no named group, no class of its own: RE2 and Hyperscan take it."""
    assert not re.search(r"\(\?|\\", SCANNER.pattern)


@given(brand=brands, live=st.booleans(), tenant_id=st.uuids(), key_id=st.uuids())
def test_a_key_is_found_wherever_it_leaked(brand: str, live: bool, tenant_id: UUID, key_id: UUID) -> None:
    key = generate(brand, live=live, tenant_id=tenant_id, key_id=key_id)
    for leaked in (f"API_KEY={key.plaintext}\n", f'{{"key":"{key.plaintext}"}}', f"?key={key.plaintext}&x=1"):
        assert [found[0] for found in SCANNER.finditer(leaked)] == [key.plaintext]
    assert not SCANNER.search(key.display_prefix)


def test_the_checksum_of_the_docs_tells_keys_from_others() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # our own document
    key = generate("acme", live=True, tenant_id=UUID(int=1), key_id=UUID(int=2)).plaintext
    assert names["is_key"](key)
    other = "B" if key[20] != "B" else "C"
    assert not names["is_key"](key[:20] + other + key[21:])


def test_every_route_and_its_permission_is_told(app: FastAPI) -> None:
    told = set(re.findall(r"^\| `([A-Z]+ /v1/api-keys\S*)` \|.*\| `(\w+:\w+)` \|$", TEXT, re.MULTILINE))
    routes = {
        (f"{method} {route.path}", declared_access(route.endpoint))
        for route in api_routes(app)
        for method in route.methods or ()
        if str(route.path).startswith("/v1/api-keys")
    }
    assert len(routes) == 5
    assert told == routes


@pytest.mark.parametrize(
    ("said", "so"),
    [
        (f"at most {api_keys.MAX_ACTIVE_KEYS:,} keys that work", True),
        (
            "a day unless you say otherwise, at most seven",
            (DEFAULT_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS) == (86_400, 604_800),
        ),
        ("within five seconds", authenticator.OUTAGE_TTL_SECONDS == 5),
        ("remembers for 30 seconds", key_verifier.TTL_SECONDS == 30),
        ("15 minutes after its last use", verified_secrets.TTL_SECONDS == 900),
        (f"bcrypt {key_verifier.LIMIT_PER_ADDRESS.max_requests} times a minute from one address", True),
        (f"and {key_verifier.LIMIT_PER_KEY.max_requests} times from all", True),
    ],
)
def test_the_numbers_are_those_of_the_code(said: str, so: bool) -> None:
    assert said in " ".join(TEXT.split())
    assert so
