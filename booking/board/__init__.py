"""The availability board: free times per schedule, visit length and week, in the shared cache.

A page reads from here and never waits for more than its deadline. What was never read, or was seen to differ, is
fetched from the EHR once across all processes; what has merely grown old is shown with its age and fetched meanwhile;
what is older than GRID_KEEP_SECONDS is not shown. Nothing of a patient is in a key or a value.

``readings`` says what is kept, ``store`` and ``shared`` where, ``mirror`` keeps this process's copies, ``fetching``
asks the EHR within ``budget``, and ``demand`` reads ahead what people look at.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.conf import settings

from . import fetching
from .mirror import mirror
from .readings import NEVER, Line, Reading, Want, instant_to_bytes, stale_key, week_of, windows
from .shared import ask

__all__ = [
    "BoardView",
    "Line",
    "Want",
    "claims_key",
    "forget",
    "has_changed",
    "mark_stale",
    "note_claims",
    "read",
]

# How many windows a page may send for, of those that are merely old, beside the ones it lacks.
OLD_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class BoardView:
    """``starts`` (sorted seconds since 1970) by schedule reference; ``read_at`` is that of the oldest reading shown.

    ``pending`` schedules are still being looked up, ``unreachable`` ones could not be. ``is_stale`` means that the EHR
    does not answer and some of what is shown has grown old. ``number`` is for ``has_changed``; ``until`` (seconds since
    1970) is when the passing of time alone makes this view another.
    """

    starts: dict[str, array[int]]
    read_at: datetime | None
    pending: int
    unreachable: int
    is_stale: bool
    number: int = 0
    until: float = 0.0


class _Known:
    """What this process knows of some wants, judged at one instant."""

    def __init__(self, wants: Sequence[Want], now: float) -> None:
        self.wants, self.now = wants, now
        self.number = mirror.sync()
        self._readings = mirror.readings(key for want in wants for key in want.keys)
        self._stale = mirror.stale_since(key for want in wants for key in want.stale_keys)
        self._is_away: bool | None = None
        self._fresh_after = now - settings.GRID_FRESH_SECONDS
        self._kept_after = now - settings.GRID_KEEP_SECONDS

    def weeks(self, want: Want) -> list[Reading]:
        """The readings of a want's weeks; one too old to be shown counts as none."""
        found = (self._readings[key] for key in want.keys)
        return [each if each.read_at >= self._kept_after else NEVER for each in found]

    def marked_at(self, want: Want) -> float:
        return max(self._stale[key] for key in want.stale_keys)

    def lacks(self, want: Want) -> list[int]:
        """Weeks never read, or seen to differ since: a page waits for these."""
        marked_at = self.marked_at(want)
        return [
            week
            for week, reading in zip(want.weeks, self.weeks(want), strict=True)
            if reading.read_at == 0.0 or reading.read_at < marked_at
        ]

    def has_aged(self, want: Want) -> list[int]:
        return [
            week
            for week, reading in zip(want.weeks, self.weeks(want), strict=True)
            if 0.0 < reading.read_at < self._fresh_after
        ]

    def has_failed(self, want: Want) -> bool:
        failed_after = self.now - fetching.FAILURE_SECONDS
        if any(self._readings[key].failed_at > failed_after for key in want.keys):
            return True
        if self._is_away is None:
            self._is_away = fetching.is_away()
        return self._is_away

    def unsettled(self) -> list[Want]:
        return [want for want in self.wants if self.lacks(want) and not self.has_failed(want)]

    def view(self) -> BoardView:
        starts: dict[str, array[int]] = {}
        oldest = until = float("inf")
        pending = unreachable = 0
        is_stale = False
        for want in self.wants:
            readings = self.weeks(want)
            known = [each for each in readings if each.read_at]
            for reading in known:
                oldest = min(oldest, reading.read_at)
                found = starts.get(want.line.schedule_ref)
                starts[want.line.schedule_ref] = reading.starts if found is None else found + reading.starts
            is_fresh = not self.lacks(want) and not self.has_aged(want)
            if is_fresh:
                until = min(until, *(each.read_at for each in readings))
            elif self.has_failed(want):
                until = 0.0
                unreachable += not known
                is_stale = is_stale or bool(known)
            else:
                until = 0.0
                pending += bool(self.lacks(want))
        return BoardView(
            starts=starts,
            read_at=None if oldest == float("inf") else datetime.fromtimestamp(oldest, UTC),
            pending=pending,
            unreachable=unreachable,
            is_stale=is_stale,
            number=self.number,
            until=until + settings.GRID_FRESH_SECONDS if until else 0.0,
        )


def read(wants: Sequence[Want], *, deadline_seconds: float) -> BoardView:
    """What the board knows of ``wants``, after at most ``deadline_seconds`` of fetching what it lacks."""
    ends = time.monotonic() + deadline_seconds
    known = _Known(wants, time.time())
    if lacking := known.unsettled():
        most = fetching.weeks_per_search()
        asked = [window for want in lacking for window in windows(want.line, known.lacks(want), most)]
        wait(fetching.submit(asked, ends=ends), timeout=max(0.0, ends - time.monotonic()))
        known = _Known(wants, time.time())
        # Another process may be fetching the same windows: its answer is as good as ours.
        while time.monotonic() < ends and known.unsettled():
            time.sleep(0.05)
            known = _Known(wants, time.time())
    _refresh_aged(known)
    return known.view()


def _refresh_aged(known: _Known) -> None:
    aged = [(want, weeks) for want in known.wants if (weeks := known.has_aged(want))]
    if not aged or known.has_failed(aged[0][0]):
        return
    aged.sort(key=lambda each: min(reading.read_at for reading in known.weeks(each[0])))
    most = fetching.weeks_per_search()
    asked = [window for want, weeks in aged[:OLD_AT_ONCE] for window in windows(want.line, weeks, most)]
    fetching.submit(asked[:OLD_AT_ONCE], ends=time.monotonic())


def has_changed(keys: frozenset[str], since: int) -> bool:
    """Whether anything kept under these keys, or claimed of these clinicians, may have changed since ``number``.

    Asks the store once, whatever the number of keys.
    """
    mirror.sync()
    return mirror.has_changed(keys, since)


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
    from . import shared

    mirror.forget()
    shared.forget()
