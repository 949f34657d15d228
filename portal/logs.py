"""Log lines as JSON, one object a line; and nothing in them that came from a patient.

Addresses of requests hold booking ids and signed links, and an error's own words may quote a row or a form: a line
names the route and the kind of error, with the places in the code it went through.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

# Whole objects that Django, Celery and asyncio attach to a record; what they print as is not for a log.
_OBJECTS = ("request", "data", "taskName", "server_time")


def route_of(request: Any) -> str:
    match = getattr(request, "resolver_match", None)
    return match.view_name if match else "no route"


class RoutesForPaths(logging.Filter):
    """Django's own lines about a request end in its path; they get the name of the route in its place."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        path = getattr(request, "path", None)
        if path and isinstance(record.args, tuple):
            record.args = tuple(route_of(request) if arg == path else arg for arg in record.args)
        return True


def places(error: BaseException | None) -> str:
    """A traceback without the errors' own words."""
    lines: list[str] = []
    while error is not None:
        lines.append(f"{type(error).__module__}.{type(error).__qualname__}")
        lines += [
            f"  {at.filename}:{at.lineno} in {at.name}" for at in traceback.extract_tb(error.__traceback__)
        ]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(lines)


ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class TextLines(logging.Formatter):
    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 (logging's name)
        return places(ei[1])


class JsonLines(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(correlation_id)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp=True,
            reserved_attrs=[*RESERVED_ATTRS, *_OBJECTS],
        )

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 (logging's name)
        return places(ei[1])


def config(*, form: str, level: str, hides_words: bool) -> dict[str, Any]:
    """Django's LOGGING. What an error says may quote what a patient typed; only the demo's are invented."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "correlation": {"()": "booking.web.middleware.CorrelationFilter"},
            "routes": {"()": "portal.logs.RoutesForPaths"},
        },
        "formatters": {
            "text": {
                "()": "portal.logs.TextLines" if hides_words else "logging.Formatter",
                "format": "%(asctime)s %(levelname)s %(name)s [%(correlation_id)s] %(message)s",
            },
            "json": {"()": "portal.logs.JsonLines"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": sys.stderr,
                "formatter": form,
                "filters": ["correlation", "routes"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own request log carries paths and mails carry settings; neither belongs in a log of ours.
            "django.request": {"level": "ERROR"},
            "django.server": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
        },
    }
