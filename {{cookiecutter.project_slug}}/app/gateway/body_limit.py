"""Innermost: refuses a body that is too large, by its announced length or as soon as it grows beyond."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import BadRequest, PayloadTooLarge, send_problem


class BodyLimit:
    """Nothing beyond `max_bytes` reaches the application."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = Headers(scope=scope).get("content-length")
        if announced is not None:
            if not (announced.isascii() and announced.isdigit()):
                await send_problem(scope, receive, send, BadRequest("Content-Length is not a number."))
                return
            if len(announced) > 18 or int(announced) > self._max_bytes:
                await send_problem(scope, receive, send, self._refusal())
                return
        received = 0
        answered = False

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._max_bytes:
                    raise _BodyTooLarge
            return message

        async def note_answer(message: Message) -> None:
            nonlocal answered
            answered = answered or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive_within_limit, note_answer)
        except _BodyTooLarge:
            if answered:
                raise
            await send_problem(scope, receive, send, self._refusal())

    def _refusal(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"At most {self._max_bytes} bytes are accepted.", headers={"Connection": "close"}
        )


class _BodyTooLarge(BaseException):
    """A BaseException, because frameworks turn any Exception while reading a body into a 400."""
