"""Slows the guessing of passwords: by account with a wait that doubles, and by all attempts of a minute.

An attempt is counted as a failure before its password is looked at, so that many at once gain nothing; its
success takes that back. NIST SP 800-63B-4, 3.2.2: no more than 100 consecutive failures of an account.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from cachetools import TTLCache
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.errors import TooManyRequests

FREE_FAILURES: Final = 5
LONGEST_WAIT_SECONDS: Final = 900
MOST_FAILURES: Final = 100
LOCKED_SECONDS: Final = 86_400
# Without an attempt for so long, an account begins anew.
LIFETIME_SECONDS: Final = 86_400
ATTEMPTS_PER_MINUTE: Final = 3_000
TIMEOUT_SECONDS: Final = 0.25
LOCAL_ACCOUNTS: Final = 50_000
SCRIPT: Final = Path(__file__).with_name("failures.lua").read_text()
ALL: Final = "limit:{login}:attempts"

log = structlog.get_logger(__name__)


class TooManyFailures(TooManyRequests):
    """Says nothing of whether the account exists, nor of the password that was sent."""

    slug = "too-many-failures"
    title = "Too many failed attempts; wait before the next"


def wait_after(failures: int) -> int:
    """Seconds until the next attempt, after so many consecutive failures."""
    if failures >= MOST_FAILURES:
        return LOCKED_SECONDS
    if failures < FREE_FAILURES:
        return 0
    return int(min(2 ** min(failures - FREE_FAILURES, 20), LONGEST_WAIT_SECONDS))


class FailureThrottle:
    """Counts in Redis; while Redis is away each process counts by itself, so that guessing is never free."""

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._script = redis.register_script(SCRIPT)
        self._clock = clock
        self._local: TTLCache[str, tuple[int, float]] = TTLCache(LOCAL_ACCOUNTS, LIFETIME_SECONDS, clock)
        self._local_all: TTLCache[str, int] = TTLCache(1, 60, clock)

    async def attempt(self, *account: str) -> None:
        """Count one attempt. Raises TooManyFailures with the seconds to wait, for the right password too."""
        key = account_key(*account)
        limits = [
            FREE_FAILURES, LONGEST_WAIT_SECONDS, MOST_FAILURES, LOCKED_SECONDS, LIFETIME_SECONDS,
            ATTEMPTS_PER_MINUTE,
        ]  # fmt: skip
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                wait = int(await self._script(keys=[key, ALL], args=limits)) / 1000
        except (RedisError, OSError, TimeoutError) as error:
            log.error("failure_throttle_outage", error=type(error).__name__)
            wait = self._attempt_here(key)
        if wait > 0:
            raise TooManyFailures(headers={"Retry-After": str(math.ceil(wait))})

    async def succeed(self, *account: str) -> None:
        """The password was right: the account has no failures."""
        key = account_key(*account)
        self._local.pop(key, None)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._redis.delete(key)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("failures_not_forgotten", error=type(error).__name__)

    def _attempt_here(self, key: str) -> float:
        now = self._clock()
        failures, held = self._local.get(key, (0, 0.0))
        if now < held:
            return held - now
        in_all = self._local_all.get(ALL, 0)
        if in_all >= ATTEMPTS_PER_MINUTE:
            return 60
        self._local[key] = (failures + 1, now + wait_after(failures + 1))
        self._local_all[ALL] = in_all + 1
        return 0


def account_key(*account: str) -> str:
    """The same whether the account exists or not; names no person."""
    return f"limit:{{login}}:{hashlib.sha256(chr(0).join(account).encode()).hexdigest()[:32]}"
