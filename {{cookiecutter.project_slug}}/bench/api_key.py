"""What a known API key costs a request: CPU of `authenticate` and `confirm`, beside that of an access token.

`python -m bench.api_key` makes a PostgreSQL of its own, and needs no Redis: what Redis would answer is given.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Any, Final

import httpx
from fastapi import FastAPI
from starlette.datastructures import Headers

from app.auth.key_folder import generate_key_pair
from app.core.context import Principal, TenantRef
from app.core.settings import Settings
from app.embedded.throwaway import throwaway_database
from app.main import create_app
from app.tenants.creation import NewTenant

BUDGET_US: Final = 50.0
BUDGET_RATIO: Final = 1.1
ROUNDS: Final = 20
# A number that Redis could hold: the key was changed within the last two hours.
EPOCH: Final = 1_795_000_000_000_000
# As a client sends them through a load balancer.
USUAL_HEADERS: Final = {
    "host": "api.example.com",
    "user-agent": "python-httpx/0.28.1",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "connection": "keep-alive",
    "content-type": "application/json",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-proto": "https",
    "x-forwarded-port": "443",
    "x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Median CPU of a request, of rounds that take turns; `ratio` compares it with the access token's."""

    variant: str
    cpu_us: float
    ratio: float


async def measure(app: FastAPI, credentials: dict[str, dict[str, str]], *, requests: int) -> list[Cost]:
    """`credentials` are the headers of each variant; the first is the base of the ratios."""
    variants = {
        name: await _request(app, Headers({**USUAL_HEADERS, **headers}), EPOCH if "changed" in name else None)
        for name, headers in credentials.items()
    }
    for request in variants.values():
        await request()
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, request in variants.items():
            started = process_time()
            for _ in range(requests // ROUNDS):
                await request()
            taken[name].append((process_time() - started) / (requests // ROUNDS) * 1_000_000)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    base = next(iter(medians.values()))
    return [Cost(name, cpu_us, cpu_us / base) for name, cpu_us in medians.items()]


async def _request(
    app: FastAPI, headers: Headers, epoch: int | None
) -> Callable[[], Coroutine[Any, Any, Principal]]:
    """The part of a request that knows who calls, as the gateway does it."""
    authenticator = app.state.authenticator
    tenant: TenantRef = await app.state.registry.get(
        (await authenticator.authenticate(headers, "203.0.113.7")).tenant_id
    )

    async def request() -> Principal:
        found = await authenticator.authenticate(Headers(raw=headers.raw), "203.0.113.7")
        principal: Principal = await authenticator.confirm(found, tenant, epoch, known=True)
        return principal

    return request


async def run(database_url: str, owner_url: str, *, requests: int) -> list[Cost]:
    with tempfile.TemporaryDirectory() as keys:
        generate_key_pair(Path(keys))
        settings = Settings(
            _env_file=None,
            environment="test",
            database_url=database_url,
            migration_database_url=owner_url,
            redis_url="redis://127.0.0.1:1/0",
            secret_key=secrets.token_hex(32),
            jwt_keys_dir=Path(keys),
            bcrypt_rounds=4,
            api_key_bcrypt_rounds=4,
            log_level="ERROR",
        )
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            created = await app.state.onboarding.create(NewTenant("Bench", "bench", "ada@bench.test"))
            login = {"tenant": "bench", "email": created.email, "password": created.password}
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url="http://bench"
            ) as client:
                token = (await client.post("/v1/auth/login", json=login)).json()["access_token"]
            key = {"x-api-key": created.api_key}
            variants = {
                "access token": {"authorization": f"Bearer {token}"},
                "API key": key,
                "API key, changed lately": key,
            }
            return await measure(app, variants, requests=requests)


def main() -> None:
    """Print the costs; exit code 1 when a known key costs more than its budget."""
    parser = argparse.ArgumentParser(prog="python -m bench.api_key", description=__doc__)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with throwaway_database() as database:
        costs = asyncio.run(run(database.runtime_url, database.owner_url, requests=given.requests))
    if given.json:
        sys.stdout.write(json.dumps([asdict(cost) for cost in costs]) + "\n")
    else:
        sys.stdout.write(f"{'variant':26}{'CPU µs':>10}{'ratio':>8}\n")
        for cost in costs:
            sys.stdout.write(f"{cost.variant:26}{cost.cpu_us:10.1f}{cost.ratio:7.2f}x\n")
    raise SystemExit(any(cost.cpu_us > BUDGET_US or cost.ratio > BUDGET_RATIO for cost in costs[1:]))


if __name__ == "__main__":
    main()
