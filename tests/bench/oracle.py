"""What every system must answer: the free times of each clinician and day, by brute force.

A time is free when every single minute of it lies within working hours and in no busy cell. Nothing here is shared
with any system; a system is timed only when its answers have the oracle's hashes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from .data import CELLS, CLOSES, OPENS, STEP, ZONE, Clinic, epoch_minute

# A clinician's index and a day; and what is free then, as seconds since the epoch.
ClinicianDay = tuple[int, date]
Answer = dict[ClinicianDay, frozenset[int]]


class Oracle:
    def __init__(self, clinic: Clinic, minutes: int) -> None:
        self.clinic = clinic
        self.minutes = minutes
        self._known: Answer = {}

    def day(self, clinician: int, day: date) -> frozenset[int]:
        key = (clinician, day)
        if key not in self._known:
            self._known[key] = frozenset(self._free(clinician, day))
        return self._known[key]

    def _free(self, clinician: int, day: date) -> Iterable[int]:
        if day not in self.clinic.days:
            return
        cells = self.clinic.people[clinician].busy[self.clinic.days.index(day)]
        for cell in range(CELLS):
            start = OPENS + cell * STEP
            if all(
                OPENS <= minute < CLOSES and not cells[(minute - OPENS) // STEP]
                for minute in range(start, start + self.minutes)
            ):
                yield epoch_minute(day, start) * 60

    def answer(self, clinicians: Iterable[int], days: Iterable[date]) -> Answer:
        """Only days with a time: no system lists what it does not have."""
        days = tuple(days)
        found = {(each, day): self.day(each, day) for each in clinicians for day in days}
        return {key: starts for key, starts in found.items() if starts}

    def next_available(self, clinicians: Iterable[int]) -> int:
        return min(min(starts) for starts in self.answer(clinicians, self.clinic.days).values())


def by_clinician_day(slots: Iterable[tuple[int, int]]) -> Answer:
    """Pairs of a clinician's index and a start in epoch seconds, as an answer."""
    zone = ZoneInfo(ZONE)
    found: dict[ClinicianDay, set[int]] = defaultdict(set)
    for clinician, epoch in slots:
        found[clinician, datetime.fromtimestamp(epoch, zone).date()].add(epoch)
    return {key: frozenset(starts) for key, starts in found.items()}


def hashes(answer: Mapping[ClinicianDay, Iterable[int]]) -> dict[ClinicianDay, str]:
    return {
        key: hashlib.sha256(" ".join(map(str, sorted(starts))).encode()).hexdigest()
        for key, starts in answer.items()
    }


def differences(found: Answer, expected: Answer) -> list[str]:
    """What is missing, added or other, a line for each clinician and day; empty when all hashes are equal."""
    theirs, ours = hashes(found), hashes(expected)
    return [
        f"clinician {clinician} on {day}: {_times(found, (clinician, day))} instead of {_times(expected, (clinician, day))}"
        for clinician, day in sorted(theirs.keys() | ours.keys())
        if theirs.get((clinician, day)) != ours.get((clinician, day))
    ]


def _times(answer: Answer, key: ClinicianDay) -> str:
    starts = sorted(answer.get(key, ()))
    zone = ZoneInfo(ZONE)
    return f"{len(starts)} times ({', '.join(f'{datetime.fromtimestamp(each, zone):%H:%M}' for each in starts[:4])} …)"


class Wrong(AssertionError):
    """A system's answer is not the oracle's, so that its time would mean nothing."""


def require(found: Answer, expected: Answer, who: str) -> None:
    if wrong := differences(found, expected):
        raise Wrong(f"{who}: {len(wrong)} clinician-days differ, first {wrong[:3]}")
