"""The availability board: free times per schedule, visit length and block of days, in the shared cache.

A page reads from here. What is missing or old is fetched from the EHR once across all processes, a few schedules
at a time, until the page's deadline; what is not in by then goes on in the background and is reported as pending.
Nothing of a patient is in a key or a value.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.cache import cache

from booking import ehr
from booking.scheduling.errors import EhrFailure, EhrUnavailable
from booking.scheduling.terms import Coding, Slot

log = logging.getLogger(__name__)

# A failed read is not tried again for this long, so that a failing EHR is asked once and not by every page.
FAILURE_SECONDS = 10
# After this many reads in a row without an answer the EHR counts as away, and nothing is asked of it for as long.
AWAY_AFTER = 3
_AWAY, _FAILURES = "board:away", "board:failures"


@dataclass(frozen=True, slots=True)
class Want:
    """Free times of one schedule on practice-local days ``first_on`` to ``last_on``, both included."""

    schedule_ref: str
    minutes: int
    appointment_type: Coding
    first_on: date
    last_on: date

    @property
    def key(self) -> str:
        parts = (
            settings.EHR_BASE_URL,
            self.schedule_ref,
            str(self.minutes),
            f"{self.appointment_type.system}|{self.appointment_type.code}",
            self.first_on.isoformat(),
            self.last_on.isoformat(),
        )
        return "board:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class BoardView:
    """``slots`` by schedule reference; ``read_at`` is that of the oldest reading shown, None when there is none."""

    slots: dict[str, list[Slot]]
    read_at: datetime | None
    pending: int
    unreachable: int
    is_stale: bool


@lru_cache(maxsize=1)
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.GRID_PARALLEL_READS, thread_name_prefix="board")


def _fetch(want: Want) -> None:
    """Fetch one want into the cache, unless another thread or process is at it already."""
    if cache.get(_AWAY) or not cache.add(f"{want.key}:reading", 1, timeout=settings.EHR_TOTAL_SECONDS + 1):
        return
    # The answer is as old as the question: what changes while it is on its way must still count as newer.
    asked_at = time.time()
    try:
        slots = ehr.gateway().free_slots(
            want.schedule_ref,
            first_on=want.first_on,
            last_on=want.last_on,
            minutes=want.minutes,
            appointment_type=want.appointment_type,
        )
        starts = [int(slot.starts_at.timestamp()) for slot in slots]
        cache.set(want.key, (asked_at, starts), timeout=settings.GRID_KEEP_SECONDS)
        cache.delete(_FAILURES)
    except EhrFailure as error:
        log.warning(
            "slot search failed: %s (status %s, EHR id %s)", error, error.status, error.correlation_id
        )
        cache.set(f"{want.key}:failed", 1, timeout=FAILURE_SECONDS)
        if isinstance(error, EhrUnavailable):
            _count_failure()
    finally:
        cache.delete(f"{want.key}:reading")


def _count_failure() -> None:
    cache.add(_FAILURES, 0, timeout=3 * FAILURE_SECONDS)
    try:
        in_a_row = cache.incr(_FAILURES)
    except ValueError:
        # A read that succeeded has just cleared the count.
        return
    if in_a_row >= AWAY_AFTER:
        cache.set(_AWAY, 1, timeout=FAILURE_SECONDS)


def _stale_key(schedule_ref: str) -> str:
    return "board:stale:" + hashlib.sha256(schedule_ref.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Found:
    """What the cache holds for some wants, and from when on a reading counts as fresh."""

    entries: dict[str, Any]
    fresh_after: float

    @classmethod
    def of(cls, wants: Sequence[Want], fresh_after: float) -> _Found:
        keys = [
            key for want in wants for key in (want.key, f"{want.key}:failed", _stale_key(want.schedule_ref))
        ]
        return cls(cache.get_many([*keys, _AWAY]), fresh_after)

    def reading(self, want: Want) -> tuple[float, list[int]] | None:
        return self.entries.get(want.key)

    def is_fresh(self, want: Want) -> bool:
        reading = self.reading(want)
        if reading is None:
            return False
        return reading[0] >= max(self.fresh_after, self.entries.get(_stale_key(want.schedule_ref), 0.0))

    def has_failed(self, want: Want) -> bool:
        return f"{want.key}:failed" in self.entries or (_AWAY in self.entries and not self.is_fresh(want))

    def is_settled(self, want: Want) -> bool:
        return self.is_fresh(want) or self.has_failed(want)


def read(wants: Sequence[Want], *, deadline_seconds: float) -> BoardView:
    """What the board knows of ``wants``, after at most ``deadline_seconds`` of fetching what it lacks."""
    ends = time.monotonic() + deadline_seconds
    fresh_after = time.time() - settings.GRID_FRESH_SECONDS
    found = _Found.of(wants, fresh_after)
    missing = [want for want in wants if not found.is_settled(want)]
    if missing:
        futures = [_readers().submit(_fetch, want) for want in missing]
        wait(futures, timeout=max(0.0, ends - time.monotonic()))
        found = _Found.of(wants, fresh_after)
        # Another process may be fetching the same schedules: its answer is as good as ours.
        while time.monotonic() < ends and not all(map(found.is_settled, missing)):
            time.sleep(0.05)
            found = _Found.of(wants, fresh_after)
    return _view(wants, found)


def _view(wants: Sequence[Want], found: _Found) -> BoardView:
    slots: dict[str, list[Slot]] = {}
    oldest: float | None = None
    pending = unreachable = 0
    is_stale = False
    for want in wants:
        reading, has_failed, is_fresh = found.reading(want), found.has_failed(want), found.is_fresh(want)
        if reading is not None:
            read_at, starts = reading
            length = timedelta(minutes=want.minutes)
            slots.setdefault(want.schedule_ref, []).extend(
                Slot(want.schedule_ref, start, start + length)
                for start in (datetime.fromtimestamp(epoch, UTC) for epoch in starts)
            )
            oldest = read_at if oldest is None else min(oldest, read_at)
            is_stale = is_stale or (has_failed and not is_fresh)
        elif has_failed:
            unreachable += 1
        pending += not is_fresh and not has_failed
    return BoardView(
        slots=slots,
        read_at=None if oldest is None else datetime.fromtimestamp(oldest, UTC),
        pending=pending,
        unreachable=unreachable,
        is_stale=is_stale,
    )


def mark_stale(schedule_refs: Iterable[str]) -> None:
    """Count what is known of these schedules as old, because the EHR was seen to differ."""
    now = time.time()
    cache.set_many({_stale_key(ref): now for ref in schedule_refs}, timeout=settings.GRID_KEEP_SECONDS)
