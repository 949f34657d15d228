"""The EHR as last seen: whether it answered, and when. Kept from the calls that are made anyway; nothing is asked here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from django.core.cache import cache

_KEY = "ehr:seen"
_KEPT_SECONDS = 24 * 3600
# The same again is not written more often than this.
_EVERY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """``is_ok`` is the last call's outcome, ``at`` its time; ``ok_at`` is when the EHR last answered, if it has."""

    is_ok: bool
    at: datetime
    ok_at: datetime | None


_written: tuple[bool, float] = (False, float("-inf"))


def record(ok: bool, at: datetime) -> None:
    """A call to the EHR has ended: with an answer of any kind (``ok``), or without one."""
    global _written
    now = time.monotonic()
    if _written[0] == ok and now - _written[1] < _EVERY_SECONDS:
        return
    _written = ok, now
    before = None if ok else cache.get(_KEY)
    ok_at = at.timestamp() if ok else (before or {}).get("ok_at")
    cache.set(_KEY, {"ok": ok, "at": at.timestamp(), "ok_at": ok_at}, timeout=_KEPT_SECONDS)


def last() -> Seen | None:
    """None when nothing was asked of the EHR for a day, or Redis was emptied since."""
    found = cache.get(_KEY)
    if not found:
        return None
    ok_at = found["ok_at"]
    return Seen(
        is_ok=found["ok"],
        at=datetime.fromtimestamp(found["at"], UTC),
        ok_at=None if ok_at is None else datetime.fromtimestamp(ok_at, UTC),
    )
