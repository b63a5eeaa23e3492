"""Turns every exception that reaches FastAPI into a problem document (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from asyncpg.exceptions import (
    DeadlockDetectedError,
    InvalidAuthorizationSpecificationError,
    OperatorInterventionError,
    PostgresConnectionError,
    PostgresError,
    TooManyConnectionsError,
)
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.core.errors import PROBLEM_MEDIA_TYPE, AppError, ServiceUnavailable, problem, problem_document

log = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS: Final = "1"
MAX_REPORTED_FIELDS: Final = 50
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OUTAGES: Final = (
    PostgresConnectionError,
    OperatorInterventionError,  # Starting, stopping, or a statement that took too long.
    TooManyConnectionsError,
    InvalidAuthorizationSpecificationError,  # Our password was rotated, and this process has the old one.
    DeadlockDetectedError,  # Two requests waited for each other; this one was rolled back, so repeat it.
    PoolTimeout,
    RedisError,
    OSError,
)


def install_problem_handlers(app: FastAPI) -> None:
    """Register the handlers. What none of them knows is answered by the gateway as a plain 500 problem."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in (SQLAlchemyError, PostgresError, RedisError, OSError):
        app.add_exception_handler(kind, _dependency_error)


def problem_response(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A response holding a problem document."""
    return Response(
        orjson.dumps(document),
        status_code=document["status"],
        media_type=PROBLEM_MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


async def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101  # what FastAPI promises, for the type checker
    document = problem(error, instance=request.scope["path"], correlation_id=_correlation_id(request))
    return problem_response(document, error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    """Lists the fields and what is wrong with each; never repeats the values, which may be secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = error.errors()[:MAX_REPORTED_FIELDS]
    if any(fault["type"] == "json_invalid" for fault in faults):
        return _plain(request, 400, "malformed-json", "The body is not valid JSON")
    document = problem_document(
        status=422,
        slug="validation-failed",
        title="The request is not valid",
        detail="See `errors` for the fields.",
        instance=request.scope["path"],
        correlation_id=_correlation_id(request),
        members={
            "errors": [
                {"field": _field(fault["loc"]), "message": fault["msg"].removeprefix("Value error, ")}
                for fault in faults
            ]
        },
    )
    return problem_response(document)


async def _http_error(request: Request, error: Exception) -> Response:
    """What Starlette and FastAPI raise themselves: unknown path, wrong method, unreadable body."""
    assert isinstance(error, HTTPException)  # noqa: S101
    phrase = HTTPStatus(error.status_code).phrase
    slug = phrase.lower().replace(" ", "-")
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return _plain(request, error.status_code, slug, phrase, headers)


def _allowed_methods(request: Request) -> list[str]:
    """What the path can be asked with (RFC 9110, section 15.5.6): each route knows its own methods only."""
    routes = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


async def _dependency_error(request: Request, error: Exception) -> Response:
    """503 when PostgreSQL or Redis is away or busy; anything else is our own fault and stays a 500."""
    if not is_outage(error):
        raise error
    return await _app_error(request, unavailable(error))


def unavailable(error: Exception) -> ServiceUnavailable:
    """What a client hears of an outage; one line of log, because there is one for every request."""
    log.error("dependency_unavailable", error=type(root_cause(error)).__name__)
    return ServiceUnavailable("Try again in a moment.", headers={"Retry-After": RETRY_AFTER_SECONDS})


def is_outage(error: Exception) -> bool:
    """True when PostgreSQL or Redis is away, stopping, too busy to answer, or does not let us in."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(root_cause(error), OUTAGES)


def root_cause(error: Exception) -> BaseException:
    """What the driver raised, under SQLAlchemy's wrappings."""
    original = getattr(error, "orig", None)
    return getattr(original, "__cause__", None) or original or error


def _plain(
    request: Request, status: int, slug: str, title: str, headers: Mapping[str, str] | None = None
) -> Response:
    document = problem_document(
        status=status,
        slug=slug,
        title=title,
        instance=request.scope["path"],
        correlation_id=_correlation_id(request),
    )
    return problem_response(document, headers)


def _correlation_id(request: Request) -> str | None:
    correlation_id: str | None = getattr(request.state, "correlation_id", None)
    return correlation_id


def _field(location: tuple[int | str, ...]) -> str:
    """`body.data.room` for ("body", "data", "room")."""
    return ".".join(str(part) for part in location)
