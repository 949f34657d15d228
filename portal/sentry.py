"""Error reports to Sentry, where SENTRY_DSN is set: what kind of error, where in the code, on which route. No more.

An event is built anew from what may leave, so that whatever else the library comes to collect stays here: bodies,
cookies, headers, addresses, query strings, users, breadcrumbs, local values and the errors' own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EVENT = ("event_id", "timestamp", "level", "platform", "release", "environment", "logger", "sdk")
_FRAME = ("filename", "module", "function", "lineno", "in_app")
# Where the name of a transaction comes from; any other is the address itself.
_SOURCES = frozenset({"route", "component", "task"})


def _kept(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: given[name] for name in names if given.get(name) is not None}


def _error(given: Mapping[str, Any]) -> dict[str, Any]:
    frames = (given.get("stacktrace") or {}).get("frames") or []
    return _kept(given, ("type", "module")) | {
        "stacktrace": {"frames": [_kept(frame, _FRAME) for frame in frames]}
    }


def scrubbed(event: Any, hint: Any = None) -> Any:
    """Sentry's ``before_send``: a new event with what may leave of the given one."""
    left = _kept(event, _EVENT)
    errors = (event.get("exception") or {}).get("values") or []
    if errors:
        left["exception"] = {"values": [_error(each) for each in errors]}
    if (event.get("transaction_info") or {}).get("source") in _SOURCES:
        left["transaction"] = event.get("transaction")
    return left


def start(dsn: str) -> None:
    import sentry_sdk

    sentry_sdk.init(
        dsn=dsn,
        before_send=scrubbed,
        send_default_pii=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        traces_sample_rate=0.0,
        auto_session_tracking=False,
    )
