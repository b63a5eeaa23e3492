"""Structured logs: JSON for machines, colors for people, one shape for our lines and for libraries'."""

import logging
import logging.config
import re
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

REDACTED: Final = "[redacted]"
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


def _renderers(fmt: str) -> list[structlog.typing.Processor]:
    if fmt == "console":
        # Plain tracebacks: the rich ones show local variables, and those hold secrets.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(ensure_ascii=True),
    ]
