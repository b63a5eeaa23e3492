"""The shape of the code: who may import whom, and that the API describes itself fully."""

import ast
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.core.openapi import api_routes

APP = Path(__file__).resolve().parents[1] / "app"
COMPOSITION_ROOTS = {"main.py", "cli", "__main__.py", "embedded"}
FEATURES = {
    path.name for path in APP.iterdir() if path.is_dir() and path.name not in {"core", "cli", "embedded"}
}


def imports(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def modules() -> list[Path]:
    return sorted(path for path in APP.rglob("*.py"))


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(APP)))
def test_imports_follow_the_rule(module: Path) -> None:
    """core imports no feature; a feature never imports another's models or router."""
    owner = module.relative_to(APP).parts[0]
    if owner in COMPOSITION_ROOTS:
        return
    for imported in imports(module):
        parts = imported.split(".")
        if parts[0] != "app" or len(parts) < 2 or parts[1] not in FEATURES or parts[1] == owner:
            continue
        assert owner != "core", f"core imports the feature {imported}"
        assert not ({"models", "router"} & set(parts[2:3])), f"{owner} imports {imported}"


@pytest.mark.parametrize("module", modules(), ids=lambda path: str(path.relative_to(APP)))
def test_every_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text())), module


def test_the_service_does_not_import_the_embedded_servers() -> None:
    for module in modules():
        owner = module.relative_to(APP).parts[0]
        if owner in {"embedded", "cli"}:
            continue
        assert not any(name.startswith("app.embedded") for name in imports(module)), module


def test_openapi_is_complete(app: FastAPI) -> None:
    document = app.openapi()
    assert set(document["components"]["securitySchemes"]) == {"accessToken", "apiKey", "operatorToken"}
    tags = {tag["name"] for tag in document["tags"]}
    operations = [(route.path, method) for route in api_routes(app) for method in route.methods or ()]
    assert len(operations) >= 13
    for path, method in operations:
        operation = document["paths"][path][method.lower()]
        assert operation["summary"]
        assert set(operation["tags"]) <= tags
        access, schemes = operation["x-access"], operation.get("security")
        assert schemes == {
            "public": None,
            "tenant": [{"accessToken": []}, {"apiKey": []}],
            "operators": [{"operatorToken": []}],
        }.get(access)
        assert (access == "tenant") == ("x-permission" in operation)
        assert access == "public" or "401" in operation["responses"]
        assert "HTTPValidationError" not in str(operation)


def test_openapi_names_the_problems_that_are_answered(app: FastAPI) -> None:
    """The statuses that the tests of the features and of the gateway have seen."""
    paths = app.openapi()["paths"]

    def problems(method: str, path: str) -> set[str]:
        return {status for status in paths[path][method]["responses"] if status >= "400"}

    assert problems("post", "/v1/auth/login") == {"400", "401", "413", "415", "422", "429", "503"}
    assert problems("post", "/v1/auth/refresh") == {"400", "401", "413", "415", "422", "429", "503"}
    assert problems("post", "/v1/operators/login") == {"400", "401", "413", "415", "422", "429", "503"}
    assert problems("get", "/v1/resources") == {"400", "401", "403", "422", "429", "503"}
    assert problems("post", "/v1/resources") == {
        "400",
        "401",
        "403",
        "409",
        "413",
        "415",
        "422",
        "429",
        "503",
    }
    one = "/v1/resources/{resource_id}"
    assert problems("get", one) == {"400", "401", "403", "404", "422", "429", "503"}
    assert problems("patch", one) == {"400", "401", "403", "404", "412", "413", "415", "422", "429", "503"}
    assert problems("delete", one) == {"400", "401", "403", "404", "412", "422", "429", "503"}
    assert problems("post", "/v1/api-keys") == {"400", "401", "403", "409", "413", "415", "422", "429", "503"}
    rotate = problems("post", "/v1/api-keys/{key_id}/rotate")
    assert rotate == {"400", "401", "403", "404", "409", "413", "415", "422", "429", "503"}
    assert problems("delete", "/v1/api-keys/{key_id}") == {"401", "403", "404", "422", "429", "503"}
    assert problems("get", "/health/live") == problems("get", "/.well-known/jwks.json") == set()
    assert problems("get", "/health/ready") == {"503"}
    login = paths["/v1/auth/login"]["post"]["responses"]["401"]
    assert login["description"] == "Tenant, email or password is wrong."
    assert "application/problem+json" in login["content"]


def test_every_request_body_has_an_example(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]
    for name in (
        "APIKeyCreate",
        "APIKeyRotate",
        "APIKeyRead",
        "APIKeyCreated",
        "LoginRequest",
        "ResourceCreate",
        "ResourceUpdate",
        "ResourceRead",
        "TokenResponse",
        "UserRead",
        "OperatorLoginRequest",
        "OperatorRead",
        "ImpersonationRequest",
    ):
        assert "example" in schemas[name], name


async def test_the_docs_are_served(app: FastAPI) -> None:
    from tests.conftest import client_of

    async with client_of(app) as client:
        assert (await client.get("/docs")).status_code == 200
        assert (await client.get("/openapi.json")).json()["info"]["title"] == app.title
