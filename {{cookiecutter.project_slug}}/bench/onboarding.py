"""How fast tenants are onboarded: `python -m bench.onboarding [--tenants N] [--json]`.

Starts a PostgreSQL of its own. Onboarding is measured as a whole, with cheap hashes, so that the database's
part shows, and with production's, where bcrypt decides; Alembic on an empty schema is the baseline.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Final

from sqlalchemy import text

from app.auth.passwords import PasswordHasher
from app.core.context import DEFAULT_PLACEMENT
from app.core.database import owner_engine
from app.core.ids import new_id
from app.core.migrations import upgrade_tenant
from app.embedded.throwaway import ThrowawayDatabase, throwaway_database
from app.tenants.creation import CreationTools, NewTenant
from app.tenants.onboarding import Onboarding
from app.tenants.placements import OwnerDatabases

CONNECTIONS: Final = 4
BUDGET_PER_SECOND: Final = 40.0
CHEAP_ROUNDS: Final = 4
PRODUCTION_ROUNDS: Final = (12, 10)


@dataclass(frozen=True, slots=True)
class Rate:
    """`ratio` compares the time a tenant takes with that of Alembic on an empty schema."""

    variant: str
    tenants: int
    per_second: float
    ratio: float


async def onboard(owner_url: str, tenants: int, *, rounds: tuple[int, int]) -> float:
    """Seconds for so many tenants, on a few connections at a time."""
    owners = OwnerDatabases({DEFAULT_PLACEMENT: owner_url}, pool_size=CONNECTIONS)
    hasher, key_hasher = (PasswordHasher(rounds=cost, workers=CONNECTIONS) for cost in rounds)
    onboarding = Onboarding(
        CreationTools(owners, hasher=hasher, key_hasher=key_hasher, api_key_prefix="bench", live=False)
    )
    waiting = [f"b-{new_id().hex[:30]}" for _ in range(tenants)]

    async def work() -> None:
        while waiting:
            slug = waiting.pop()
            await onboarding.create(NewTenant("Bench", slug, f"ada@{slug}.test"))

    started = perf_counter()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    spent = perf_counter() - started
    hasher.close()
    key_hasher.close()
    await owners.close()
    return spent


async def run_alembic(owner_url: str, tenants: int) -> float:
    """Seconds for so many empty schemas, one after the other, as a loop over `command.upgrade` takes them."""
    engine = owner_engine(owner_url)
    started = perf_counter()
    for _ in range(tenants):
        schema = f"t_{new_id().hex}"
        async with engine.begin() as connection:
            # The revisions grant to the role that is named like the schema.
            await connection.execute(text(f"CREATE ROLE {schema} NOLOGIN"))
            await connection.execute(text(f"CREATE SCHEMA {schema}"))
            await upgrade_tenant(connection, schema)
    spent = perf_counter() - started
    await engine.dispose()
    return spent


async def measure(database: ThrowawayDatabase, tenants: int) -> list[Rate]:
    sample = max(5, tenants // 10)
    await onboard(database.owner_url, CONNECTIONS, rounds=(CHEAP_ROUNDS, CHEAP_ROUNDS))  # Warm up.
    baseline = await run_alembic(database.owner_url, sample) / sample
    cheap = await onboard(database.owner_url, tenants, rounds=(CHEAP_ROUNDS, CHEAP_ROUNDS)) / tenants
    real = await onboard(database.owner_url, sample, rounds=PRODUCTION_ROUNDS) / sample
    return [
        Rate("Alembic, schema only", sample, 1 / baseline, 1.0),
        Rate("onboarding", tenants, 1 / cheap, cheap / baseline),
        Rate("onboarding, production hashes", sample, 1 / real, real / baseline),
    ]


def main() -> None:
    """Print the rates; exit code 1 when onboarding is slower than its budget."""
    parser = argparse.ArgumentParser(prog="python -m bench.onboarding", description=__doc__)
    parser.add_argument("--tenants", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with throwaway_database() as database:
        rates = asyncio.run(measure(database, given.tenants))
    if given.json:
        sys.stdout.write(json.dumps([asdict(rate) for rate in rates]) + "\n")
    else:
        sys.stdout.write(f"{'variant':32}{'tenants':>9}{'per second':>12}{'time':>9}\n")
        for rate in rates:
            sys.stdout.write(f"{rate.variant:32}{rate.tenants:9}{rate.per_second:12.1f}{rate.ratio:8.2f}x\n")
    raise SystemExit(rates[1].per_second < BUDGET_PER_SECOND)


if __name__ == "__main__":
    main()
