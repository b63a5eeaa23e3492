"""A TCP proxy before PostgreSQL that counts round trips, and that can make the way there longer."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy import make_url

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
# The one message that no answer comes to (PostgreSQL's protocol, "Terminate").
TERMINATE = b"X\x00\x00\x00\x04"


class RoundTripProxy:
    """Counts each burst from a client that waits for an answer: what is sent before one comes is one trip.

    `delay_seconds` is added in each direction. Connecting and logging in count too, so `reset` after that.
    """

    def __init__(self, database_url: str, *, delay_seconds: float = 0.0) -> None:
        self._target = make_url(database_url)
        self._delay = delay_seconds
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.round_trips = 0

    @property
    def url(self) -> str:
        """The same database with the same login, through the proxy."""
        if self._server is None:
            raise RuntimeError("the proxy is not running")
        port = self._server.sockets[0].getsockname()[1]
        return self._target.set(host=LOOPBACK, port=port).render_as_string(hide_password=False)

    def reset(self) -> None:
        """Count from zero."""
        self.round_trips = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client. The connection ends when either side ends it."""
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        answers, requests = await asyncio.open_connection(self._target.host, self._target.port)
        awaits_answer = False

        def client_spoke(sent: bytes) -> None:
            nonlocal awaits_answer
            if sent == TERMINATE:
                return
            self.round_trips += not awaits_answer
            awaits_answer = True

        def server_spoke(_sent: bytes) -> None:
            nonlocal awaits_answer
            awaits_answer = False

        directions = [
            asyncio.create_task(self._forward(reader, requests, client_spoke)),
            asyncio.create_task(self._forward(answers, writer, server_spoke)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            for side in (writer, requests):
                side.close()
                with suppress(OSError):
                    await side.wait_closed()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, spoke: Callable[[bytes], None]
    ) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            spoke(chunk)
            if self._delay:
                await asyncio.sleep(self._delay)
            target.write(chunk)
            await target.drain()
