"""The page /docs: Swagger UI from this process alone, under a policy that lets no other script run."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any, Final

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

DOCS_PATH: Final = "/docs"
ASSETS_PATH: Final = "/docs/assets"
FILES: Final = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})
_ASSETS: Final = Path(fastapi_offline.__file__).parent / "static"
_INLINE_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def install_docs(app: FastAPI, **parameters: Any) -> None:
    """Serve the page and its files. `parameters` are Swagger UI's own."""
    page = get_swagger_ui_html(
        openapi_url=str(app.openapi_url),
        title=app.title,
        swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS_PATH}/favicon.png",
        swagger_ui_parameters=parameters,
    )
    html = bytes(page.body).decode()
    headers = {"Content-Security-Policy": _policy(html), "Cache-Control": "no-cache"}

    async def show_docs(_request: Request) -> Response:
        return HTMLResponse(html, headers=headers)

    app.add_route(DOCS_PATH, show_docs, include_in_schema=False)
    app.mount(ASSETS_PATH, _Assets(directory=_ASSETS))


class _Assets(StaticFiles):
    """Only the files of the page, which change with the package alone."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path if path in FILES else "nothing", scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _policy(html: str) -> str:
    """The page's own script by its hash; Swagger UI writes style attributes and shows images from data."""
    scripts = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(html)
    )
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )
