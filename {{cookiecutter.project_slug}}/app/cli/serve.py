"""`serve`: the API under uvicorn, as containers and `make up` run it."""

from typing import Annotated

import typer
import uvicorn

from app.core.settings import load_settings


def serve(
    reload: Annotated[bool, typer.Option(help="Restart when the code changes; for development.")] = False,
) -> None:
    """Serve the API on APP_HOST and APP_PORT until told to stop."""
    settings = load_settings()
    uvicorn.run(
        "app.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=None if reload else settings.workers,
        reload=reload,
        reload_dirs=["app"] if reload else None,
        # The gateway logs requests, knows the client behind proxies, and says nothing of itself.
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=20,
        # Longer than a load balancer keeps a silent connection (60 s), or it sends into one just closed.
        timeout_keep_alive=75,
    )
