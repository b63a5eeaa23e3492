"""The Lua script and the local limiter decide alike, charge all buckets or none, and share round trips."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from app.core.redis import make_redis
from app.limits.gcra import SCRIPT_SHA, Bucket, Limit, LocalGCRA, RedisGCRA

HOUR = 3600


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = make_redis(redis_url)
    yield client
    await client.aclose()


def bucket(max_requests: int, window_seconds: int = HOUR, burst: int | None = None) -> Bucket:
    key = uuid.uuid4().hex
    return Bucket("b", f"test:{{{key}}}", Limit(max_requests, window_seconds, burst))


async def test_a_burst_passes_and_the_next_is_refused_with_its_time(redis: Redis) -> None:
    gcra, three = RedisGCRA(redis), bucket(3)
    verdicts = [await gcra.check([three]) for _ in range(4)]
    assert [verdict.allowed for verdict in verdicts] == [True, True, True, False]
    assert [verdict.states[0].remaining for verdict in verdicts] == [2, 1, 0, 0]
    assert 0 < verdicts[3].retry_after_us <= HOUR * 1_000_000 // 3


async def test_burst_bounds_what_may_come_at_once(redis: Redis) -> None:
    gcra, narrow = RedisGCRA(redis), bucket(100, burst=2)
    assert [(await gcra.check([narrow])).allowed for _ in range(3)] == [True, True, False]


async def test_capacity_returns_with_time(redis: Redis) -> None:
    gcra, quick = RedisGCRA(redis), bucket(10, window_seconds=1, burst=1)
    assert (await gcra.check([quick])).allowed
    refused = await gcra.check([quick])
    assert not refused.allowed
    await asyncio.sleep(refused.retry_after_us / 1_000_000 + 0.01)
    assert (await gcra.check([quick])).allowed


async def test_a_refusal_charges_no_bucket(redis: Redis) -> None:
    gcra, wide, narrow = RedisGCRA(redis), bucket(10), bucket(1)
    assert (await gcra.check([wide, narrow])).allowed
    for _ in range(5):
        assert not (await gcra.check([wide, narrow])).allowed
    assert (await gcra.check([wide])).states[0].remaining == 8


async def test_concurrent_checks_admit_exactly_the_limit_in_one_round_trip(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcra, ten = RedisGCRA(redis), bucket(10)
    await gcra.check([bucket(1)])  # Loads the script.
    trips: list[int] = []
    original = Pipeline.execute

    async def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        trips.append(len(self.command_stack))
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(Pipeline, "execute", counting)
    verdicts = await asyncio.gather(*(gcra.check([ten]) for _ in range(50)))
    assert sum(verdict.allowed for verdict in verdicts) == 10
    assert trips == [50]


async def test_a_script_that_redis_forgot_is_loaded_again_and_charged_once(redis: Redis) -> None:
    gcra, two = RedisGCRA(redis), bucket(2)
    await gcra.check([two])
    await redis.script_flush()
    verdicts = await asyncio.gather(*(gcra.check([two]) for _ in range(3)))
    assert sum(verdict.allowed for verdict in verdicts) == 1
    assert await redis.script_exists(SCRIPT_SHA) == [True]


async def test_a_cancelled_caller_does_not_disturb_the_others(redis: Redis) -> None:
    gcra, ten = RedisGCRA(redis), bucket(10)
    tasks = [asyncio.create_task(gcra.check([ten])) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [
        False,
        True,
        False,
        False,
    ]


async def test_keys_expire_when_the_bucket_is_full_again(redis: Redis) -> None:
    gcra, one = RedisGCRA(redis), bucket(60, window_seconds=60)
    await gcra.check([one])
    assert 0 < await redis.pttl(one.key) <= 1002


async def test_stored_times_keep_their_microseconds(redis: Redis) -> None:
    gcra, one = RedisGCRA(redis), bucket(1)
    await gcra.check([one])
    stored = await redis.get(one.key)
    assert stored.isdigit()
    assert len(stored) == 16


@given(
    limits=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 60)), min_size=1, max_size=3),
    steps=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=60),
)
def test_no_window_admits_more_than_rate_and_burst(limits: list[tuple[int, int]], steps: list[int]) -> None:
    """For every bucket and every span: admitted <= burst + span / interval, which is what GCRA promises."""
    now = 0
    gcra = LocalGCRA(clock_us=lambda: now)
    buckets = [Bucket(str(i), str(i), Limit(count, window)) for i, (count, window) in enumerate(limits)]
    admitted: list[int] = []
    for step in steps:
        now += step
        if gcra.check(buckets).allowed:
            admitted.append(now)
    for one in buckets:
        interval = one.limit.interval_us
        for first in range(len(admitted)):
            for last in range(first, len(admitted)):
                span = admitted[last] - admitted[first]
                assert last - first + 1 <= one.limit.max_requests + span // interval + 1


@given(st.lists(st.integers(0, 2_000_000), min_size=1, max_size=40))
def test_waiting_as_long_as_told_is_enough(steps: list[int]) -> None:
    now = 0
    gcra = LocalGCRA(clock_us=lambda: now)
    buckets = [Bucket("a", "a", Limit(5, 3)), Bucket("b", "b", Limit(2, 1))]
    for step in steps:
        now += step
        verdict = gcra.check(buckets)
        if not verdict.allowed:
            now += verdict.retry_after_us
            assert gcra.check(buckets).allowed


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 5), st.integers(1, 5))
def test_lua_and_python_agree(redis_url: str, both: list[bool], first: int, second: int) -> None:
    """Windows of an hour, so that the time the test itself takes moves no decision."""

    async def run() -> None:
        client = Redis.from_url(redis_url)  # Without deadlines, which are not what is compared.
        try:
            remote, local = RedisGCRA(client), LocalGCRA()
            one, two = bucket(first), bucket(second)
            for use_both in both:
                buckets = [one, two] if use_both else [one]
                expected, seen = local.check(buckets), await remote.check(buckets)
                assert expected.allowed == seen.allowed
                assert [s.remaining for s in expected.states] == [s.remaining for s in seen.states]
        finally:
            await client.aclose()

    asyncio.run(run())
