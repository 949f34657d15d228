"""The availability board: free times per schedule, visit length and week, in the shared cache.

A page reads from here and never waits for more than its deadline. What was never read, or was seen to differ, is
fetched from the EHR once across all processes; what has merely grown old is shown with its age and fetched meanwhile;
what is older than GRID_KEEP_SECONDS is not shown. Nothing of a patient is in a key or a value.

``readings`` says what is kept, ``store`` and ``shared`` where, ``mirror`` keeps this process's copies, ``known`` judges
their age, ``fetching`` asks the EHR within ``budget``, and ``demand`` reads ahead what people look at.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Sequence
from concurrent.futures import Future, wait
from datetime import date
from threading import BoundedSemaphore

from django.conf import settings

from . import demand, fetching, shared
from .demand import ReadAhead, copy_watched, read_ahead, watch
from .known import BoardView, Known
from .mirror import mirror
from .readings import Line, Want, Wants, instant_to_bytes, stale_key, wanted, week_of, windows
from .shared import ask

__all__ = [
    "BoardView",
    "Line",
    "ReadAhead",
    "Want",
    "Wants",
    "changed",
    "claims_key",
    "copy_watched",
    "forget",
    "has_changed",
    "mark_stale",
    "note_claims",
    "read",
    "read_ahead",
    "wanted",
    "watch",
]

# How many windows a page may send for, of those that are merely old, beside the ones it lacks.
OLD_AT_ONCE = 16
# So many pages of a process wait for the EHR at once, of the eight that it works at (docker-compose.yml). Whoever comes then is
# shown what there is, and the rest from the browser's next look; else a hundred at one cold grid would stand in line.
MOST_WAITING = 4
_waiting = BoundedSemaphore(MOST_WAITING)


def read(wants: Wants, *, deadline_seconds: float, before: BoardView | None = None) -> BoardView:
    """What the board knows of ``wants``, after at most ``deadline_seconds`` of fetching what it lacks.

    With an earlier view of the same wants, what has not changed since is not looked at again.
    """
    ends = time.monotonic() + deadline_seconds
    known = Known(wants, time.time(), None if before is None else before.known)
    if lacking := known.unsettled():
        most = fetching.weeks_per_search()
        asked = [
            window
            for each in lacking
            for window in windows(each.want.line, known.lacks(each), most, known.now)
        ]
        fetches = fetching.submit(asked, ends=ends)
        if _waiting.acquire(blocking=False):
            try:
                known = _waited(wants, known, fetches, ends)
            finally:
                _waiting.release()
    _refresh_aged(known)
    return known.view()


def _waited(wants: Wants, known: Known, fetches: Sequence[Future[bool]], ends: float) -> Known:
    """What is known when the fetches are through, or at ``ends``."""
    done = wait(fetches, timeout=max(0.0, ends - time.monotonic())).done
    known = Known(wants, time.time(), known)
    # Another process is fetching some of these: its answer is as good as ours.
    is_elsewhere = any(each.exception() is None and each.result() for each in done)
    while is_elsewhere and time.monotonic() < ends and known.unsettled():
        time.sleep(0.05)
        known = Known(wants, time.time(), known)
    return known


def _refresh_aged(known: Known) -> None:
    aged = known.aged()
    if not aged or demand.is_read_ahead() or known.has_failed(aged[0]):
        return
    most = fetching.weeks_per_search()
    asked = [
        window
        for each in aged[:OLD_AT_ONCE]
        for window in windows(each.want.line, each.read_before(known.fresh_after), most, known.now)
    ]
    fetching.submit(asked[:OLD_AT_ONCE], ends=time.monotonic())


def has_changed(keys: Container[str], since: int, *, age: float = 0.0) -> bool:
    """Whether anything kept under these keys, or claimed of these clinicians, may have changed since ``number``.

    Asks the store once, whatever the number of keys; not at all when that was done less than ``age`` seconds ago.
    """
    mirror.sync(age=age)
    return mirror.has_changed(keys, since)


def changed(since: int) -> set[str] | None:
    """The keys that this process saw change since ``number``; None when that is not known any more."""
    return mirror.changed(since)


def mark_stale(schedule_refs: Iterable[str], on: date | None = None) -> None:
    """Count what is known of these schedules as wrong, on one practice-local day or on all, because the EHR differs."""
    week = None if on is None else week_of(on)
    now = instant_to_bytes(time.time())
    entries = {stale_key(ref, week): now for ref in schedule_refs}
    if entries:
        ask(lambda store: store.put(entries, settings.GRID_KEEP_SECONDS))


def claims_key(clinician_id: int) -> str:
    return f"board:claims:{clinician_id}"


def note_claims(clinician_ids: Iterable[int]) -> None:
    """Tell every process that a hold or booking of these clinicians began or ended. Call it once that is committed."""
    entries = {claims_key(each): b"" for each in clinician_ids}
    if entries:
        ask(lambda store: store.put(entries, 60))


def forget() -> None:
    """As a process that has just begun: its copies are gone, what the shared store has is not."""
    demand.forget()
    mirror.forget()
    shared.forget()
