"""What each plan may do, and how routes are classed."""

from dataclasses import dataclass
from typing import Final, Literal

from app.limits.gcra import Limit

RouteClass = Literal["read", "write", "auth", "sign_up"]

ADDRESS_LIMIT: Final = Limit(300)
LOGIN_LIMIT: Final = Limit(30)
# A sign-up makes a schema: few from one address, and not many in all.
SIGN_UP_LIMIT: Final = Limit(5, window_seconds=3600)
SIGN_UP_TOTAL_LIMIT: Final = Limit(100, window_seconds=3600)
OPERATOR_LIMIT: Final = Limit(600)
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_EXEMPT_PATHS: Final = frozenset({"/docs", "/openapi.json"})
_OPERATOR_LOGIN: Final = "/v1/operators/login"
_SIGN_UP: Final = "/v1/sign-up"
_EXEMPT_PREFIXES: Final = ("/health/", "/.well-known/", "/docs/assets/")


@dataclass(frozen=True, slots=True)
class Limits:
    """The three buckets of a request: the whole tenant, one principal, one class of routes."""

    tenant: Limit
    principal: Limit
    read: Limit
    write: Limit

    @classmethod
    def per_minute(cls, requests: int) -> "Limits":
        limit = Limit(requests)
        return cls(tenant=limit, principal=limit, read=limit, write=limit)

    def of_class(self, route_class: RouteClass) -> Limit:
        return self.read if route_class == "read" else self.write


PLANS: Final = {
    "free": Limits.per_minute(100),
    "pro": Limits.per_minute(1_000),
    "enterprise": Limits.per_minute(10_000),
}


def plan_limits(plan: str) -> Limits:
    """The limits of a plan; an unknown one gets the smallest."""
    return PLANS.get(plan, PLANS["free"])


def is_exempt(path: str) -> bool:
    """True for what load balancers and verifiers must always reach."""
    return path in _EXEMPT_PATHS or path.startswith(_EXEMPT_PREFIXES)


def route_class(method: str, path: str) -> RouteClass:
    """The class whose bucket a request is charged to."""
    if path.startswith("/v1/auth/") or path == _OPERATOR_LOGIN:
        return "auth"
    if path == _SIGN_UP:
        return "sign_up"
    return "read" if method in _READS else "write"
