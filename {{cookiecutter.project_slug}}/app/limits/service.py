"""Decides whether a request may pass now: plan, overrides, Redis, and what happens without Redis."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol
from uuid import UUID

import structlog
from cachetools import TTLCache
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.cache import SingleFlightCache
from app.core.context import OperatorRef, Principal, TenantRef
from app.core.database import Database
from app.core.epochs import KnownEpochs, epoch_keys
from app.core.errors import ServiceUnavailable
from app.limits.gcra import Bucket, Limit, LocalGCRA, RedisGCRA, Verdict
from app.limits.models import RateLimitConfig
from app.limits.plans import (
    ADDRESS_LIMIT,
    LOGIN_LIMIT,
    OPERATOR_LIMIT,
    SIGN_UP_LIMIT,
    SIGN_UP_TOTAL_LIMIT,
    Limits,
    RouteClass,
    plan_limits,
)

OutageMode = Literal["local", "open", "closed"]

TIMEOUT_SECONDS: Final = 0.25
# After a failure Redis is not asked again for this long, so that an outage adds no wait to requests.
RETRY_SECONDS: Final = 1.0
OVERRIDE_TTL_SECONDS: Final = 5.0
DENIED_ENTRIES: Final = 20_000
# A refusal may hold for an hour; Redis, which may have forgotten it, is asked again after this long.
DENIED_TTL_SECONDS: Final = 60.0

log = structlog.get_logger(__name__)


class RateLimiterUnavailable(ServiceUnavailable):
    slug = "rate-limiter-unavailable"
    title = "Requests cannot be counted right now"


class LimitsSource(Protocol):
    """Where the limits of a tenant come from."""

    async def limits_for(self, tenant: TenantRef) -> Limits: ...


class DatabaseLimits:
    """The plan's limits with the tenant's RateLimitConfig rows over them, kept for a few seconds."""

    def __init__(self, database: Database, *, ttl_seconds: float = OVERRIDE_TTL_SECONDS) -> None:
        self._database = database
        self._cache = SingleFlightCache(self._load, ttl_seconds=ttl_seconds, size=20_000)

    async def limits_for(self, tenant: TenantRef) -> Limits:
        return await self._cache.get((tenant.id, tenant.plan, tenant.epoch))

    async def _load(self, key: tuple[UUID, str, int]) -> Limits:
        tenant_id, plan, _ = key
        async with self._database.platform() as session:
            rows = await session.scalars(
                select(RateLimitConfig).where(RateLimitConfig.tenant_id == tenant_id)
            )
            limits = plan_limits(plan)
            for row in rows:
                limit = Limit(row.max_requests, row.window_seconds, row.burst)
                if row.scope in {"tenant", "principal"} and row.subject is None:
                    limits = replace(limits, **{row.scope: limit})
                elif row.scope == "route_class" and row.subject in {"read", "write"}:
                    limits = replace(limits, **{row.subject: limit})
        return limits


async def override_tenant_limit(session: AsyncSession, tenant_id: UUID, max_requests: int) -> None:
    """Give a tenant another number of requests per minute than its plan; safe to repeat."""
    await session.execute(
        insert(RateLimitConfig)
        .values(tenant_id=tenant_id, scope="tenant", subject=None, max_requests=max_requests)
        .on_conflict_do_update(
            constraint="uq_rate_limit_configs_tenant_id_scope_subject", set_={"max_requests": max_requests}
        )
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """`verdict` is None when nothing was counted (outage mode `open`).

    `epochs` is None unless Redis was asked for them.
    """

    allowed: bool
    verdict: Verdict | None
    epochs: KnownEpochs | None = None


class RateLimiter:
    """One check per request; `outages` counts the checks that Redis did not answer."""

    def __init__(
        self, redis: Redis, *, source: LimitsSource, outage_mode: OutageMode, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self._gcra = RedisGCRA(redis)
        self._source = source
        self._outage_mode = outage_mode
        self._timeout = timeout
        self._local = LocalGCRA()
        self._denied: TTLCache[tuple[str, ...], tuple[float, Verdict]] = TTLCache(
            DENIED_ENTRIES, DENIED_TTL_SECONDS
        )
        self._retry_at = 0.0
        self.outages = 0

    async def check(
        self,
        *,
        tenant: TenantRef | None,
        principal: Principal | None,
        address: str,
        route_class: RouteClass,
        operator: OperatorRef | None = None,
    ) -> Decision:
        """Charge one request. Raises RateLimiterUnavailable in outage mode `closed`."""
        if operator is not None and route_class != "auth":
            key = f"limit:{{{operator.id.hex}}}:operator"
            buckets = [Bucket("operator", key, OPERATOR_LIMIT)]
        else:
            buckets = await self._buckets(tenant, principal, address, route_class)
        denied = self._still_denied(buckets)
        if denied is not None:
            return Decision(allowed=False, verdict=denied)
        # Only the tenant's own buckets are in the hash slot of the epochs.
        keys: tuple[str, ...] = ()
        if tenant is not None and principal is not None and buckets[0].name == "tenant":
            keys = epoch_keys(tenant.id, principal.subject)
        verdict = await self._ask_redis(buckets, keys)
        if verdict is None:
            return self._without_redis(buckets, route_class)
        if not verdict.allowed:
            self._remember_denial(buckets, verdict)
        return Decision(verdict.allowed, verdict, KnownEpochs(*verdict.numbers) if keys else None)

    async def forget(self, tenant: TenantRef, principal: Principal, route_class: RouteClass) -> None:
        """Take back a charge, because its tenant turned out to be purged and nothing of it is to be left."""
        buckets = await self._buckets(tenant, principal, "", route_class)
        try:
            async with asyncio.timeout(self._timeout):
                await self._gcra.forget(buckets)
        except (RedisError, OSError, TimeoutError) as error:
            # They expire by themselves within the limits' window.
            log.warning("charge_not_forgotten", error=type(error).__name__)

    async def _buckets(
        self, tenant: TenantRef | None, principal: Principal | None, address: str, route_class: RouteClass
    ) -> list[Bucket]:
        if route_class == "sign_up":
            return [
                Bucket("address", f"limit:{{sign-up}}:{_digest(address)}", SIGN_UP_LIMIT),
                Bucket("sign_ups", "limit:{sign-up}:all", SIGN_UP_TOTAL_LIMIT),
            ]
        if tenant is None or principal is None or route_class == "auth":
            # Logging in is throttled by address, whoever one claims to be.
            limit = LOGIN_LIMIT if route_class == "auth" else ADDRESS_LIMIT
            return [Bucket("address", f"limit:{{{_digest(address)}}}:{route_class}", limit)]
        limits = await self._source.limits_for(tenant)
        tag = f"limit:{{{tenant.id.hex}}}"
        return [
            Bucket("tenant", f"{tag}:tenant", limits.tenant),
            Bucket("principal", f"{tag}:principal:{principal.subject.hex}", limits.principal),
            Bucket(route_class, f"{tag}:class:{route_class}", limits.of_class(route_class)),
        ]

    async def _ask_redis(self, buckets: Sequence[Bucket], read: Sequence[str]) -> Verdict | None:
        if time.monotonic() < self._retry_at:
            self.outages += 1
            return None
        try:
            async with asyncio.timeout(self._timeout):
                return await self._gcra.check(buckets, read=read)
        except (RedisError, OSError, TimeoutError) as error:
            self.outages += 1
            self._retry_at = time.monotonic() + RETRY_SECONDS
            log.error(
                "rate_limiter_outage",
                mode=self._outage_mode,
                error=type(error).__name__,
                unanswered=self.outages,
            )
            return None

    def _without_redis(self, buckets: Sequence[Bucket], route_class: RouteClass) -> Decision:
        if route_class in {"auth", "sign_up"}:
            # Guessing passwords must not become free because Redis is away, whatever the mode.
            verdict = self._local.check(buckets)
            return Decision(verdict.allowed, verdict)
        if self._outage_mode == "open":
            return Decision(allowed=True, verdict=None)
        if self._outage_mode == "closed":
            raise RateLimiterUnavailable("Try again in a moment.", headers={"Retry-After": "1"})
        verdict = self._local.check(buckets)
        return Decision(verdict.allowed, verdict)

    def _still_denied(self, buckets: Sequence[Bucket]) -> Verdict | None:
        """A refusal holds until its time: answering from memory spares Redis the hammering.

        The limits are part of the key, so a raised limit is asked about at once.
        """
        entry = self._denied.get(_identity(buckets))
        if entry is None:
            return None
        since, verdict = entry
        passed = int((time.monotonic() - since) * 1_000_000)
        if passed >= verdict.retry_after_us:
            return None
        states = tuple(replace(one, reset_us=max(0, one.reset_us - passed)) for one in verdict.states)
        return replace(verdict, retry_after_us=verdict.retry_after_us - passed, states=states)

    def _remember_denial(self, buckets: Sequence[Bucket], verdict: Verdict) -> None:
        """For as long as it holds, or until Redis is asked again."""
        self._denied[_identity(buckets)] = (time.monotonic(), verdict)


def _digest(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()[:24]


def _identity(buckets: Sequence[Bucket]) -> tuple[str, ...]:
    return tuple(f"{bucket.key}/{bucket.limit}" for bucket in buckets)
