"""`python -m app.health.probe`: the health check of a container; exits 0 while the API on APP_PORT lives.

It imports nothing of the service, so that asking every few seconds costs next to nothing.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_SECONDS = 3.0


def is_alive(port: int) -> bool:
    """Asks for liveness, not readiness: a container is not replaced because its database is away."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(int(os.environ.get("APP_PORT", "8000"))) else 1)
