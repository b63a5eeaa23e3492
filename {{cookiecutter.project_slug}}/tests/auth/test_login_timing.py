"""The clock does not tell which tenants and people there are."""

import secrets
import time
from itertools import product

import pytest
from fastapi import FastAPI

from app.auth.errors import InvalidCredentials
from app.auth.sessions import Device
from tests.conftest import TestTenant

SAMPLES = 200


def chance_of_longer(first: list[float], second: list[float]) -> float:
    """That the first of a pair took longer: Mann and Whitney's U over all pairs; 0.5 is no difference."""
    longer = [one > other for one, other in product(first, second)]
    return sum(longer) / len(longer)


@pytest.mark.nightly
async def test_refusals_take_as_long_whoever_was_asked_for(app: FastAPI, tenant: TestTenant) -> None:
    """A skipped hash or trip to the database gives more than 0.8 even with the cheapest hash."""
    slug, email = tenant.login["tenant"], tenant.login["email"]
    nobody = f"{secrets.token_hex(6)}@acme.test"
    arms = {"known": (slug, email), "person": (slug, nobody), "tenant": ("no-such-tenant", email)}
    took: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(SAMPLES):
        for name in sorted(arms, key=lambda _: secrets.randbelow(1000)):
            started = time.perf_counter()
            with pytest.raises(InvalidCredentials):
                await app.state.sessions.log_in(*arms[name], f"guess {number}", Device())
            took[name].append(time.perf_counter() - started)
            await app.state.throttle.succeed(*arms[name])
    for unknown in ("person", "tenant"):
        chance = chance_of_longer(took["known"][20:], took[unknown][20:])
        assert 0.35 < chance < 0.65, (unknown, chance)
