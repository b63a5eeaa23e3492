"""Domain errors and how they reach a client: RFC 9457 problem details, always with a correlation id."""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from starlette.types import Receive, Scope, Send

PROBLEM_MEDIA_TYPE = "application/problem+json"


class AppError(Exception):
    """Base of every error a client may see. Subclasses fix the status, the type and the title.

    `detail` is shown to the client, so it never holds internals or secrets. Extra `members` become
    extension members of the problem (RFC 9457, section 3.2).
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal server error"

    def __init__(
        self, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers: dict[str, str] = dict(headers or {})
        self.members = members


class BadRequest(AppError):
    status = 400
    slug = "bad-request"
    title = "The request could not be understood"


class Unauthorized(AppError):
    status = 401
    slug = "unauthorized"
    title = "Authentication is required"

    def __init__(
        self, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer", **(headers or {})}, **members)


class Forbidden(AppError):
    status = 403
    slug = "forbidden"
    title = "This principal may not do that"


class NotFound(AppError):
    status = 404
    slug = "not-found"
    title = "There is no such thing here"


class Conflict(AppError):
    status = 409
    slug = "conflict"
    title = "The request conflicts with what is stored"


class PayloadTooLarge(AppError):
    status = 413
    slug = "payload-too-large"
    title = "The request body is too large"


class TargetTooLong(AppError):
    status = 414
    slug = "target-too-long"
    title = "The path and query are too long"


class UnsupportedMediaType(AppError):
    status = 415
    slug = "unsupported-media-type"
    title = "The body is not of a type that is read here"


class MisdirectedRequest(AppError):
    status = 421
    slug = "misdirected-request"
    title = "The Host is not one of this service"


class HeadersTooLarge(AppError):
    status = 431
    slug = "headers-too-large"
    title = "The headers are too large"


class Unprocessable(AppError):
    status = 422
    slug = "validation-failed"
    title = "The request is not valid"


class TooManyRequests(AppError):
    status = 429
    slug = "rate-limited"
    title = "Too many requests"


class ServiceUnavailable(AppError):
    status = 503
    slug = "unavailable"
    title = "The service cannot answer right now"


def problem(error: AppError, *, instance: str, correlation_id: str | None) -> dict[str, Any]:
    """The problem document of `error`."""
    return problem_document(
        status=error.status,
        slug=error.slug,
        title=error.title,
        detail=error.detail,
        instance=instance,
        correlation_id=correlation_id,
        members=error.members,
    )


def problem_document(
    *,
    status: int,
    slug: str,
    title: str,
    detail: str | None = None,
    instance: str,
    correlation_id: str | None,
    members: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A problem document with the members of RFC 9457 in their order, then the extensions."""
    document: dict[str, Any] = {"type": f"urn:problem-type:{slug}", "title": title, "status": status}
    if detail:
        document["detail"] = detail
    document["instance"] = instance
    if correlation_id:
        document["correlation_id"] = correlation_id
    document.update(members or {})
    return document


async def send_problem(scope: Scope, receive: Receive, send: Send, error: AppError) -> None:
    """Answer with `error` from inside an ASGI middleware."""
    correlation_id = scope.get("state", {}).get("correlation_id")
    body = orjson.dumps(problem(error, instance=scope["path"], correlation_id=correlation_id))
    headers = {
        "content-type": PROBLEM_MEDIA_TYPE,
        "content-length": str(len(body)),
        "cache-control": "no-store",
        **{name.lower(): value for name, value in error.headers.items()},
    }
    await send(
        {
            "type": "http.response.start",
            "status": error.status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
