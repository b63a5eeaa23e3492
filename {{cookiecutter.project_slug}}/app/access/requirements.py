"""Every route declares who may call it (`requires`, `personal`, `operators_only`, `public`) or is denied.

The check runs before the body is read, so a stranger cannot make the service parse anything.
"""

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

import structlog
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.access.dependencies import current_grant
from app.access.policies import PERMISSION_PATTERN
from app.access.rights import Grant
from app.access.service import PolicyStore
from app.core.context import OperatorRef, Principal, TenantRef
from app.core.errors import AppError, Forbidden, Unauthorized
from app.core.idempotency import Replay, keep_answer
from app.core.json_bodies import StrictRequest

PUBLIC: Final = "public"
OPERATORS: Final = "operators"
PERSONAL: Final = "personal"
DECLARATION: Final = "__access__"
ACTION: Final = "__operator_action__"
# Set in the scope by whoever writes the declared action to the platform's trail.
ACTION_RECORDED: Final = "operator_action_recorded"
_CHECKED: Final = "access_checked"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

log = structlog.get_logger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


def requires(permission: str) -> Callable[[F], F]:
    """Declare that an endpoint needs `resource:action`. Raises ValueError for another form.

    A role may give it for some objects only. Then an endpoint is refused unless it takes the `CurrentGrant`
    and holds that against each object: there is no other way to keep a condition.
    """
    if not PERMISSION_PATTERN.fullmatch(permission):
        raise ValueError(f"not a permission: {permission!r}")

    def declare(endpoint: F) -> F:
        setattr(endpoint, DECLARATION, permission)
        return endpoint

    return declare


def public(endpoint: F) -> F:
    """Declare that anybody may call an endpoint."""
    setattr(endpoint, DECLARATION, PUBLIC)
    return endpoint


def personal(endpoint: F) -> F:
    """Declare that an endpoint is for people about their own account: no role can take it from them, and no
    API key and no operator who acts as them has it.
    """
    setattr(endpoint, DECLARATION, PERSONAL)
    return endpoint


def operators_only(*, action: str | None = None) -> Callable[[F], F]:
    """Declare that an endpoint is for operators of the platform, whom no tenant's credential makes.

    What changes anything names its `action`, `resource:verb`, and has it recorded (`app.operators`); a route
    of an unsafe method that names none is refused when it is made. Raises ValueError for another form.
    """
    if action is not None and not PERMISSION_PATTERN.fullmatch(action):
        raise ValueError(f"not an action: {action!r}")

    def declare(endpoint: F) -> F:
        setattr(endpoint, DECLARATION, OPERATORS)
        setattr(endpoint, ACTION, action)
        return endpoint

    return declare


def declared_access(endpoint: object) -> str | None:
    """The permission of an endpoint, `PUBLIC`, `PERSONAL`, `OPERATORS`, or None when nothing is declared."""
    return getattr(endpoint, DECLARATION, None)


def declared_action(endpoint: object) -> str | None:
    """What an operator's call of this endpoint is called in the trail; None when it changes nothing."""
    return getattr(endpoint, ACTION, None)


class GuardedRoute(APIRoute):
    """A route that checks its declaration before anything else happens."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        is_unsafe = not set(self.methods or ()) <= _SAFE_METHODS
        if is_unsafe and declared_access(endpoint) == OPERATORS and declared_action(endpoint) is None:
            raise ValueError(f"{path}: an operator changes something here, so name the action")

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        by_object = evaluates_conditions(self)

        async def guarded(request: Request) -> Response:
            await check_access(request, declared_access(self.endpoint), by_object=by_object)
            strict = StrictRequest(request.scope, request.receive)
            if self.body_field is not None:
                strict.require_json_type()
            # What the endpoint began is committed when its answer stands, and undone by whatever it raises.
            try:
                async with AsyncExitStack() as transactions:
                    request.state.transactions = transactions
                    response = await handle(strict)
                    _refuse_unasked(request)
                    await keep_answer(request, response)
            except Replay as known:
                return known.response
            _refuse_unrecorded(request, declared_action(self.endpoint), response)
            return response

        return guarded


def evaluates_conditions(route: APIRoute) -> bool:
    """True when the endpoint, or what it depends on, takes the `CurrentGrant`."""

    def takes_grant(dependant: Dependant) -> bool:
        return dependant.call is current_grant or any(map(takes_grant, dependant.dependencies))

    return takes_grant(route.dependant)


async def check_access(request: Request, permission: str | None, *, by_object: bool = False) -> None:
    """Let the request pass or raise: Unauthorized without a principal, Forbidden without the permission.

    `by_object` says that the endpoint will hold a conditional permission against its objects.
    """
    request.scope[_CHECKED] = True
    if permission == PUBLIC:
        return
    if permission is None:
        raise Forbidden("This route declares no permission, so nobody may call it.")
    principal: Principal | None = getattr(request.state, "principal", None)
    tenant: TenantRef | None = getattr(request.state, "tenant", None)
    operator: OperatorRef | None = getattr(request.state, "operator", None)
    if permission == OPERATORS:
        _check_operator(request, operator, principal)
        return
    if operator is not None:
        raise Forbidden("An operator has no rights in a tenant.")
    if principal is None or tenant is None:
        raise getattr(request.state, "auth_error", None) or Unauthorized(
            "Send `Authorization: Bearer <access token>` or `X-API-Key: <key>`."
        )
    if permission == PERSONAL:
        if principal.kind != "user" or principal.actor_id is not None:
            raise Forbidden("Only a person who logged in may do this, for their own account.")
        return
    await _check_grant(request, tenant, principal, permission, by_object=by_object)


async def _check_grant(
    request: Request, tenant: TenantRef, principal: Principal, permission: str, *, by_object: bool
) -> None:
    policies: PolicyStore = request.app.state.policies
    epoch: int | None = getattr(request.state, "roles_epoch", None)
    rights = await policies.rights(tenant, principal, epoch=epoch)
    grant = rights.grant(permission)
    outcome = grant.decision.outcome
    if outcome == "denied":
        raise Forbidden(f"This needs the permission {permission}.", permission=permission)
    if outcome == "conditional" and not by_object:
        raise Forbidden(
            f"Your role allows {permission} under a condition, which this route cannot evaluate.",
            permission=permission,
        )
    request.state.rights, request.state.grant = rights, grant


def _check_operator(request: Request, operator: OperatorRef | None, principal: Principal | None) -> None:
    if operator is not None and principal is None:
        return
    if principal is not None:
        raise Forbidden("This is for operators of the platform.")
    raise getattr(request.state, "auth_error", None) or Unauthorized(
        "Send `Authorization: Bearer <operator's access token>`."
    )


def _refuse_unasked(request: Request) -> None:
    """What was done without a look at the condition under which it is allowed is undone."""
    grant: Grant | None = getattr(request.state, "grant", None)
    if grant is not None and grant.decision.outcome == "conditional" and not grant.was_asked:
        log.error("condition_not_evaluated", permission=grant.permission)
        raise Forbidden("This route did not evaluate the condition under which your role allows it.")


def _refuse_unrecorded(request: Request, action: str | None, response: Response) -> None:
    """The net under every operator's action: its author forgot the trail, and must hear of it at once."""
    if action is not None and response.status_code < 400 and not request.scope.get(ACTION_RECORDED):
        log.error("operator_action_unrecorded", action=action)
        raise AppError


def deny_unguarded(request: Request) -> None:
    """The net under every route: one that was not made by GuardedRoute was never checked, so refuse it."""
    if not request.scope.get(_CHECKED):
        raise Forbidden("This route declares no permission, so nobody may call it.")
