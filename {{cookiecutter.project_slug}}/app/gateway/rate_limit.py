"""Charges the request to its buckets and tells the client where it stands."""

import math
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.context import Principal, TenantRef
from app.core.errors import AppError, TooManyRequests, Unauthorized, send_problem
from app.gateway.authenticate import Authenticates
from app.gateway.tenant_context import DELETED, FindsTenants, admit
from app.limits.gcra import BucketState, Verdict
from app.limits.plans import RouteClass, is_exempt, route_class
from app.limits.service import Decision, RateLimiter


class RateLimit:
    """Answers 429 itself, and lets no request act on an old copy of its tenant or with rights it has lost."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limiter: RateLimiter,
        authenticator: Authenticates,
        registry: FindsTenants,
    ) -> None:
        self._app = app
        self._limiter = limiter
        self._authenticator = authenticator
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        if is_exempt(scope["path"]):
            if state["tenant"] is not None:
                admit(scope, state["tenant"])
            await self._app(scope, receive, send)
            return
        tenant, charged_class = state["tenant"], route_class(scope["method"], scope["path"])
        try:
            decision = await self._limiter.check(
                # Of a purged tenant nothing is kept, a count of its requests neither: the address is charged.
                tenant=None if _is_purged(tenant) else tenant,
                principal=state["principal"],
                operator=state["operator"],
                address=state["client_address"],
                route_class=charged_class,
            )
        except AppError as error:
            await send_problem(scope, receive, send, error)
            return
        if tenant is not None:
            admit(scope, await self._current(tenant, state["principal"], charged_class, decision))
        headers = {} if decision.verdict is None else limit_headers(decision.verdict)
        if not decision.allowed and decision.verdict is not None:
            seconds = max(1, math.ceil(decision.verdict.retry_after_us / 1_000_000))
            refusal = TooManyRequests(
                f"Try again in {seconds} s.", headers={**headers, "Retry-After": str(seconds)}
            )
            await send_problem(scope, receive, send, refusal)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        try:
            await self._confirm_principal(scope, decision)
        except AppError as error:
            await send_problem(scope, receive, send_with_limits, error)
            return
        await self._app(scope, receive, send_with_limits)

    async def _confirm_principal(self, scope: Scope, decision: Decision) -> None:
        """Take the principal away when its session or key is no more; the access check raises why."""
        state, epochs = scope["state"], decision.epochs
        if state["tenant"] is None:
            return
        state["roles_epoch"] = epochs.roles if epochs else None
        try:
            state["principal"] = await self._authenticator.confirm(
                state["principal"], state["tenant"], epochs.principal if epochs else None, known=bool(epochs)
            )
        except Unauthorized as error:
            state.update(tenant=None, principal=None, auth_error=error)

    async def _current(
        self, tenant: TenantRef, principal: Principal, charged_class: RouteClass, decision: Decision
    ) -> TenantRef | None:
        """The charge's round trip brought the tenant's epoch, so a change acts on this very request."""
        if _is_purged(tenant):
            # It may have been imported again; Redis knows nothing of it to compare with.
            return await self._registry.confirm(tenant, None) if decision.allowed else tenant
        if decision.epochs is None:
            return tenant
        current = await self._registry.confirm(tenant, decision.epochs.tenant)
        if _is_purged(current):
            await self._limiter.forget(tenant, principal, charged_class)
        return current


def _is_purged(tenant: TenantRef | None) -> bool:
    return tenant is not None and tenant.state == DELETED


def limit_headers(verdict: Verdict) -> Mapping[str, str]:
    """`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers), and the older X- trio for
    the bucket that will run out first."""
    policies = ", ".join(
        f'"{state.bucket.name}";q={state.bucket.limit.max_requests};w={state.bucket.limit.window_seconds}'
        for state in verdict.states
    )
    standing = ", ".join(
        f'"{state.bucket.name}";r={state.remaining};t={_seconds(state)}' for state in verdict.states
    )
    tightest = min(verdict.states, key=lambda state: state.remaining / state.bucket.limit.max_requests)
    return {
        "RateLimit-Policy": policies,
        "RateLimit": standing,
        "X-RateLimit-Limit": str(tightest.bucket.limit.max_requests),
        "X-RateLimit-Remaining": str(tightest.remaining),
        "X-RateLimit-Reset": str(_seconds(tightest)),
    }


def _seconds(state: BucketState) -> int:
    return math.ceil(state.reset_us / 1_000_000)
