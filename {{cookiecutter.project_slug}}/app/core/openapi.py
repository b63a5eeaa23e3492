"""The OpenAPI document: security schemes, what each operation needs, and the problems it may answer."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from app.core.dependencies import in_transaction

SECURITY_SCHEMES: Final = {
    "accessToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `access_token` of `POST /v1/auth/login`.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "An API key of the tenant.",
    },
    "operatorToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The `access_token` of `POST /v1/operators/login`; opens nothing of a tenant.",
    },
}
PROBLEM_SCHEMA: Final = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "instance"],
    "properties": {
        "type": {"type": "string", "example": "urn:problem-type:validation-failed"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "correlation_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
CREDENTIAL_PROBLEMS: Final = {
    "401": "No credential, or one that is not valid.",
    "403": "The principal lacks the permission.",
}
LIMIT_PROBLEMS: Final = {
    "429": "Too many requests; see Retry-After.",
    "503": "It cannot be answered right now; see Retry-After.",
}
BAD_REQUEST: Final = {"400": "The request cannot be read; `title` says what of it."}
BODY_PROBLEMS: Final = BAD_REQUEST | {"413": "The body is too large.", "415": "The body is not JSON."}
IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Of your choice, for this request alone: sent again with it within a day, it is not done"
    " twice, and its answer is repeated with `Idempotency-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
IDEMPOTENCY_PROBLEMS: Final = BAD_REQUEST | {
    "409": "A request with this Idempotency-Key is under way, or it conflicts with what is stored.",
    "422": "The request is not valid, or its Idempotency-Key was sent with another.",
}
PARAMETER_PROBLEMS: Final = {
    "cursor": BAD_REQUEST,
    "if-none-match": BAD_REQUEST,
    "Idempotency-Key": IDEMPOTENCY_PROBLEMS,
    "if-match": BAD_REQUEST | {"412": "It was changed since you read it."},
}
TAGS: Final = [
    {"name": "auth", "description": "Log in and get tokens."},
    {"name": "api-keys", "description": "Credentials for programs."},
    {"name": "resources", "description": "The sample tenant-owned resource."},
    {"name": "users", "description": "The people of the tenant."},
    {"name": "audit", "description": "Who did what in the tenant."},
    {"name": "access", "description": "Roles, their rules, and why something is allowed or not."},
    {"name": "tenants", "description": "The tenants of the platform, for its operators."},
    {"name": "operators", "description": "The people who run the platform, and their trail."},
    {"name": "health", "description": "For load balancers and orchestrators."},
]

AccessOf = Callable[[object], str | None]
IsUnlimited = Callable[[str], bool]


def install_openapi(app: FastAPI, access_of: AccessOf, is_unlimited: IsUnlimited) -> None:
    """Make `app.openapi()` describe what `access_of` says of an endpoint: a permission, `public`,
    `operators`, None; and the rate limits, unless `is_unlimited` says of its path that it has none."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=TAGS,
            )
            _describe(document, app, access_of, is_unlimited)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend OpenAPI


def _describe(document: dict[str, Any], app: FastAPI, access_of: AccessOf, is_unlimited: IsUnlimited) -> None:
    components = document.setdefault("components", {})
    components["securitySchemes"] = SECURITY_SCHEMES
    components.setdefault("schemas", {})["Problem"] = PROBLEM_SCHEMA
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for route in api_routes(app):
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                limits = {} if is_unlimited(route.path_format or "") else LIMIT_PROBLEMS
                if method == "POST" and in_transaction(route.original_route):
                    operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
                _describe_operation(operation, access_of(route.endpoint), limits)


def api_routes(app: FastAPI) -> list[RouteContext]:
    """Every API route of the application with the path it is reached by, included routers and all."""
    return [route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute)]


def _describe_operation(operation: dict[str, Any], access: str | None, limits: Mapping[str, str]) -> None:
    responses = operation.setdefault("responses", {})
    parameters = operation.get("parameters", [])
    problems = {**limits, **(BODY_PROBLEMS if "requestBody" in operation else {})}
    operation["x-access"] = access if access in {"public", "operators"} else "tenant"
    if access == "operators":
        operation["security"] = [{"operatorToken": []}]
        problems |= CREDENTIAL_PROBLEMS | {"403": "The caller is no operator."}
    elif access != "public":
        operation["security"] = [{"accessToken": []}, {"apiKey": []}]
        operation["x-permission"] = access
        problems |= CREDENTIAL_PROBLEMS
    if "422" in responses:
        problems["422"] = "The request is not valid; `errors` lists the fields."
    for parameter in parameters:
        _without_null(parameter)
        problems |= PARAMETER_PROBLEMS.get(parameter["name"], {})
    if any(parameter["in"] == "path" for parameter in parameters):
        problems["404"] = "There is no such thing." if access == "operators" else "Not in this tenant."
    # What the author of a route wrote without a body is a problem too.
    problems |= {
        status: response["description"]
        for status, response in responses.items()
        if status >= "400" and "content" not in response
    }
    for status, description in problems.items():
        responses[status] = {
            "description": description,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }


def _without_null(parameter: dict[str, Any]) -> None:
    """A parameter may be left out; a query, a path and a header have no null to send."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
