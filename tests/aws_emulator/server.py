"""The emulator's process: a moto server with its supplements. Prints its port; ends when its input does."""

import json
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from tests.aws_emulator import holdings, supplements

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def with_holdings(application: Application) -> Application:
    """Answers `/terrace/holdings` itself, and hands everything else on."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != "/terrace/holdings":
            return application(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(holdings.listed()).encode()]

    return answer


def main() -> None:
    if "--plain" not in sys.argv[1:]:
        supplements.apply()
    application = with_holdings(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    # The launcher holds the other end: it is closed when the launcher ends, however it ends.
    sys.stdin.read()


if __name__ == "__main__":
    main()
