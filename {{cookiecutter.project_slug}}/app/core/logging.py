"""Structured logs: JSON for machines, colors for people, one shape for our lines and for libraries'."""

import logging
import logging.config
import re
import traceback
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from sqlalchemy.exc import StatementError
from structlog.typing import ExcInfo

REDACTED: Final = "[redacted]"
DATABASE_MODULES: Final = ("asyncpg.", "sqlalchemy.dialects.")
_SECRET_NAMES: Final = re.compile(
    r"password|passwd|secret|token|authorization|api[_-]?key|cookie|credential|private[_-]?key|dsn",
    re.IGNORECASE,
)
_URL_PASSWORD: Final = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^@/\s]+(?=@)", re.IGNORECASE)
# Names that hold an opaque fact about a secret rather than the secret.
_HARMLESS_NAMES: Final = frozenset({"token_reason", "key_id", "display_prefix"})


def configure_logging(level: str, fmt: str) -> None:
    """Send structlog and the standard library through one pipeline to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "default": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *_renderers(fmt),
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "default"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                "uvicorn": {"level": "INFO", "propagate": True, "handlers": []},
                # The gateway writes the line for each request.
                "uvicorn.access": {"level": "CRITICAL", "propagate": False, "handlers": []},
                **{name: {"level": "WARNING"} for name in ("watchfiles", "httpx", "alembic")},
            },
        }
    )


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values whose name says secret, at any depth, and passwords inside URLs."""
    for name in list(event):
        event[name] = _clean(name, event[name])
    return event


def _clean(name: str, value: Any) -> Any:
    if name not in _HARMLESS_NAMES and _SECRET_NAMES.search(name):
        return REDACTED
    if isinstance(value, str):
        return _URL_PASSWORD.sub(r"\g<head>" + REDACTED, value)
    if isinstance(value, dict):
        return {key: _clean(str(key), member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", member) for member in value]
    return value


def format_traceback(error: BaseException) -> str:
    """The chain of a traceback, oldest first. Of a database error only its kind and the names it gives: its
    message and DETAIL repeat the values of rows and statements."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\nThat led to:\n".join(_format_one(each) for each in reversed(chain))


def _format_one(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    if isinstance(error, StatementError) or type(error).__module__.startswith(DATABASE_MODULES):
        names = (getattr(error, name, None) for name in ("sqlstate", "table_name", "constraint_name"))
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        return frames + " ".join([kind, *(name for name in names if isinstance(name, str))])
    text = frames + "".join(traceback.format_exception_only(error)).rstrip()
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return "\nMember:\n".join([text, *map(format_traceback, members)])


def _write_traceback(file: TextIO, info: ExcInfo) -> None:
    file.write(format_traceback(info[1]))


def _renderers(fmt: str) -> list[structlog.typing.Processor]:
    if fmt == "console":
        # Tracebacks of our own: the rich ones show local variables, and those hold secrets.
        return [structlog.dev.ConsoleRenderer(exception_formatter=_write_traceback)]
    return [
        structlog.processors.ExceptionRenderer(lambda info: format_traceback(info[1])),
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(ensure_ascii=True),
    ]
