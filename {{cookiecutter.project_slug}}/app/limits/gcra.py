"""The generic cell rate algorithm over several buckets: in Redis for the fleet, in memory for an outage.

GCRA (ITU-T I.371) keeps one number per bucket, the theoretical arrival time of the next conforming request.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cachetools import LRUCache
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

SCRIPT: Final = Path(__file__).with_name("gcra.lua").read_text()
SCRIPT_SHA: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
LOCAL_BUCKETS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Limit:
    """`max_requests` per `window_seconds`, of which `burst` may come at once."""

    max_requests: int
    window_seconds: int = 60
    burst: int | None = None

    @property
    def interval_us(self) -> int:
        """Microseconds between two requests at the steady rate."""
        return max(1, self.window_seconds * 1_000_000 // self.max_requests)

    @property
    def tolerance_us(self) -> int:
        """How far ahead of the steady rate a caller may be."""
        return self.interval_us * (self.burst or self.max_requests)


@dataclass(frozen=True, slots=True)
class Bucket:
    """`key` is unique in Redis; `name` is what the client reads in the headers."""

    name: str
    key: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class BucketState:
    """`reset_us` until the bucket is full again."""

    bucket: Bucket
    remaining: int
    reset_us: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`numbers` are those under the keys that were asked for, in their order; None where there is none."""

    allowed: bool
    retry_after_us: int
    states: tuple[BucketState, ...]
    numbers: tuple[int | None, ...] = ()


_Request = tuple[Sequence[Bucket], Sequence[str]]


class RedisGCRA:
    """Checks in Redis; those asked for in one turn of the event loop share one round trip."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[_Request, asyncio.Future[Verdict]]] = []
        self._flush: asyncio.Task[None] | None = None

    async def check(self, buckets: Sequence[Bucket], *, read: Sequence[str] = ()) -> Verdict:
        """Charge one request to all the buckets or to none, and read numbers on the way. Raises RedisError.

        In a cluster the keys to `read` must be in the hash slot of the buckets.
        """
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append(((buckets, read), future))
        if self._flush is None:
            self._flush = asyncio.create_task(self._send())
        return await future

    async def forget(self, buckets: Sequence[Bucket]) -> None:
        """As if nothing had ever been charged to the buckets. Raises RedisError."""
        await self._redis.delete(*(bucket.key for bucket in buckets))

    async def _send(self) -> None:
        # Everything that asks before this task runs is in the same batch.
        batch, self._waiting, self._flush = self._waiting, [], None
        try:
            answers = await self._evaluate([request for request, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(
                        error if isinstance(error, Exception) else ConnectionError("stopped")
                    )
            if not isinstance(error, Exception):
                raise
            return
        for (request, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(_verdict(request, answer))

    async def _evaluate(self, requests: list[_Request]) -> list[Any]:
        answers = await self._pipeline(requests)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # Redis was restarted. What it did not know it did not run, so asking again charges once.
            await self._redis.script_load(SCRIPT)
            missing = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            again = await self._pipeline([requests[index] for index in missing])
            for index, answer in zip(missing, again, strict=True):
                answers[index] = answer
        return answers

    async def _pipeline(self, requests: list[_Request]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for buckets, read in requests:
            keys = [*(bucket.key for bucket in buckets), *read]
            numbers = [
                number
                for bucket in buckets
                for number in (bucket.limit.interval_us, bucket.limit.tolerance_us)
            ]
            pipeline.evalsha(SCRIPT_SHA, len(keys), *keys, *numbers)
        return list(await pipeline.execute(raise_on_error=False))


class LocalGCRA:
    """The same arithmetic in this process: what is left when Redis is away. Also the script's reference."""

    def __init__(
        self, *, size: int = LOCAL_BUCKETS, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000
    ) -> None:
        self._arrivals: LRUCache[str, int] = LRUCache(size)
        self._clock_us = clock_us

    def check(self, buckets: Sequence[Bucket]) -> Verdict:
        """As RedisGCRA.check, counted by this process alone."""
        now = self._clock_us()
        arrivals = [max(now, self._arrivals.get(bucket.key, now)) for bucket in buckets]
        retry_after = max(
            arrival + bucket.limit.interval_us - bucket.limit.tolerance_us - now
            for bucket, arrival in zip(buckets, arrivals, strict=True)
        )
        allowed = retry_after <= 0
        states = []
        for bucket, arrival in zip(buckets, arrivals, strict=True):
            charged = arrival + bucket.limit.interval_us if allowed else arrival
            if allowed:
                self._arrivals[bucket.key] = charged
            remaining = max(0, (bucket.limit.tolerance_us - (charged - now)) // bucket.limit.interval_us)
            states.append(BucketState(bucket, remaining, charged - now))
        return Verdict(allowed, max(0, retry_after), tuple(states))


def _verdict(request: _Request, answer: Sequence[int]) -> Verdict:
    buckets, read = request
    end = 2 + 2 * len(buckets)
    pairs = zip(answer[2:end:2], answer[3:end:2], strict=True)
    states = tuple(
        BucketState(bucket, remaining, reset)
        for bucket, (remaining, reset) in zip(buckets, pairs, strict=True)
    )
    numbers = tuple(number if number > 0 else None for number in answer[end : end + len(read)])
    return Verdict(bool(answer[0]), max(0, answer[1]), states, numbers)
