"""Plans, overrides and what happens while Redis is away."""

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import text

from app.core.context import Principal, TenantRef, tenant_schema
from app.core.database import Database, owner_engine
from app.core.redis import make_redis
from app.limits import service
from app.limits.gcra import Limit
from app.limits.plans import PLANS, Limits, is_exempt, plan_limits, route_class
from app.limits.service import DatabaseLimits, OutageMode, RateLimiter, RateLimiterUnavailable
from tests.conftest import DatabaseURLs, TestTenant

NOWHERE = "redis://127.0.0.1:9"


class FixedLimits:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    async def limits_for(self, _tenant: TenantRef) -> Limits:
        return self.limits


def caller() -> dict[str, Any]:
    tenant_id = uuid.uuid4()
    return {
        "tenant": TenantRef(tenant_id, "acme", tenant_schema(tenant_id), "free", "active"),
        "principal": Principal(tenant_id, uuid.uuid4(), "user", "admin"),
        "address": "10.0.0.1",
        "route_class": "read",
    }


def limiter(redis: Redis, mode: OutageMode = "local", limits: Limits | None = None) -> RateLimiter:
    source = FixedLimits(limits or Limits.per_minute(2))
    return RateLimiter(redis, source=source, outage_mode=mode)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = make_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def away() -> AsyncIterator[Redis]:
    client = make_redis(NOWHERE)
    yield client
    await client.aclose()


def test_the_plans_are_as_sold() -> None:
    assert {name: limits.tenant.max_requests for name, limits in PLANS.items()} == {
        "free": 100,
        "pro": 1_000,
        "enterprise": 10_000,
    }
    assert plan_limits("no such plan") == PLANS["free"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/resources", "read"),
        ("HEAD", "/v1/resources", "read"),
        ("POST", "/v1/resources", "write"),
        ("BREW", "/v1/resources", "write"),
        ("POST", "/v1/auth/login", "auth"),
        ("GET", "/v1/authors", "read"),
    ],
)
def test_route_classes(method: str, path: str, expected: str) -> None:
    assert route_class(method, path) == expected


def test_only_what_infrastructure_must_reach_is_exempt() -> None:
    assert is_exempt("/health/live")
    assert is_exempt("/.well-known/jwks.json")
    for path in ("/healthy", "/v1/health/live", "/docs/../v1/resources", "/", "/v1/auth/login"):
        assert not is_exempt(path), path


async def test_a_tenants_principals_share_its_bucket(redis: Redis) -> None:
    limits = limiter(redis)
    one = caller()
    other = {**one, "principal": Principal(one["tenant"].id, uuid.uuid4(), "api_key", "admin")}
    assert (await limits.check(**one)).allowed
    assert (await limits.check(**other)).allowed
    assert not (await limits.check(**one)).allowed
    assert (await limits.check(**caller())).allowed, "another tenant has its own"


async def test_a_denial_is_remembered_without_asking_redis(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, who = limiter(redis, limits=Limits.per_minute(1)), caller()
    await limits.check(**who)
    first = await limits.check(**who)
    monkeypatch.setattr(limits, "_gcra", None)
    again = await limits.check(**who)
    assert not first.allowed
    assert not again.allowed
    assert first.verdict is not None
    assert again.verdict is not None
    assert again.verdict.retry_after_us <= first.verdict.retry_after_us


async def test_a_denial_tells_the_time_that_is_really_left(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is longer than a denial is remembered, and also of the buckets."""
    hourly = Limit(1, window_seconds=3600)
    limits, who = limiter(redis, limits=Limits(hourly, hourly, hourly, hourly)), caller()
    await limits.check(**who)
    first = (await limits.check(**who)).verdict
    now = time.monotonic()
    monkeypatch.setattr(service.time, "monotonic", lambda: now + 50)
    again = (await limits.check(**who)).verdict
    assert first is not None
    assert again is not None
    for before, after in (
        (first.retry_after_us, again.retry_after_us),
        (first.states[0].reset_us, again.states[0].reset_us),
    ):
        assert 49_000_000 <= before - after <= 51_000_000
        assert after > 3_500_000_000


async def test_a_raised_limit_acts_at_once_even_on_the_denied(redis: Redis) -> None:
    limits, who = limiter(redis, limits=Limits.per_minute(1)), caller()
    await limits.check(**who)
    assert not (await limits.check(**who)).allowed
    limits._source = FixedLimits(Limits.per_minute(100))
    raised = (await limits.check(**who)).verdict
    assert raised is not None
    assert raised.retry_after_us <= 600_000, "a hundredth of the minute instead of the whole one"


async def test_local_mode_goes_on_counting(away: Redis) -> None:
    limits, who = limiter(away), caller()
    assert [(await limits.check(**who)).allowed for _ in range(3)] == [True, True, False]
    assert limits.outages == 3


async def test_open_mode_lets_pass_but_not_the_guessing_of_passwords(away: Redis) -> None:
    limits = limiter(away, "open")
    who = caller()
    assert all([(await limits.check(**who)).allowed for _ in range(5)])
    anonymous = {"tenant": None, "principal": None, "address": "10.0.0.2", "route_class": "auth"}
    answers = [(await limits.check(**anonymous)).allowed for _ in range(service.LOGIN_LIMIT.max_requests + 1)]
    assert answers[-1] is False
    assert all(answers[:-1])


async def test_closed_mode_refuses(away: Redis) -> None:
    with pytest.raises(RateLimiterUnavailable):
        await limiter(away, "closed").check(**caller())


async def test_an_outage_is_asked_about_once_a_second(away: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    limits, who = limiter(away), caller()
    asked = 0

    async def fail(_buckets: Any, **_: Any) -> Any:
        nonlocal asked
        asked += 1
        raise RedisConnectionError

    monkeypatch.setattr(limits._gcra, "check", fail)
    for _ in range(10):
        await limits.check(**who)
    assert (asked, limits.outages) == (1, 10)
    monkeypatch.setattr(limits, "_retry_at", time.monotonic() - 1)
    await limits.check(**who)
    assert asked == 2


async def test_overrides_in_the_database_replace_the_plan(
    database: Database, database_urls: DatabaseURLs, tenant: TestTenant
) -> None:
    ref = TenantRef(tenant.id, tenant.login["tenant"], tenant.schema, "pro", "active")
    source = DatabaseLimits(database, ttl_seconds=0)
    assert await source.limits_for(ref) == PLANS["pro"]
    engine = owner_engine(database_urls.owner)
    async with engine.begin() as connection:
        for scope, subject, count, burst in (
            ("tenant", None, 7, None),
            ("route_class", "write", 3, 2),
        ):
            await connection.execute(
                text(
                    "INSERT INTO platform.rate_limit_configs"
                    " (id, tenant_id, scope, subject, max_requests, burst)"
                    " VALUES (gen_random_uuid(), :tenant_id, :scope, :subject, :count, :burst)"
                ),
                {"tenant_id": tenant.id, "scope": scope, "subject": subject, "count": count, "burst": burst},
            )
    await engine.dispose()
    limits = await source.limits_for(ref)
    assert (limits.tenant, limits.write) == (Limit(7), Limit(3, 60, 2))
    assert (limits.principal, limits.read) == (PLANS["pro"].principal, PLANS["pro"].read)
