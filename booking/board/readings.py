"""What is kept of the EHR's answers: free starts by schedule, length, type and calendar week, with their age."""

from __future__ import annotations

import hashlib
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from typing import overload

from django.conf import settings

from booking.scheduling.clock import day_bounds, local_day
from booking.scheduling.terms import Coding, Slot

_AGES = struct.Struct("<dd")
_AT = struct.Struct("<d")


def week_of(day: date) -> int:
    """Weeks are numbered from Monday, January 1 of the year 1, so that a reading stays in its week as days pass."""
    return (day.toordinal() - 1) // 7


def monday_of(week: int) -> date:
    return date.fromordinal(week * 7 + 1)


@dataclass(frozen=True)
class Line:
    """Free times of one schedule for visits of one length and type. ``zone`` is the schedule's own."""

    schedule_ref: str
    zone: str
    minutes: int
    appointment_type: Coding

    @cached_property
    def key(self) -> str:
        kind = self.appointment_type
        return _line_key(settings.EHR_BASE_URL, self.schedule_ref, self.minutes, f"{kind.system}|{kind.code}")


@lru_cache(maxsize=100_000)
def _line_key(ehr: str, schedule_ref: str, minutes: int, type_words: str) -> str:
    told = "\n".join((ehr, schedule_ref, str(minutes), type_words))
    return f"board:{hashlib.blake2b(told.encode(), digest_size=12).hexdigest()}"


def stale_key(schedule_ref: str, week: int | None = None) -> str:
    """Where the instant is kept at which a schedule's week, or all of it, was last seen to differ."""
    return _stale_key(settings.EHR_BASE_URL, schedule_ref, week)


@lru_cache(maxsize=100_000)
def _stale_key(ehr: str, schedule_ref: str, week: int | None) -> str:
    told = f"{ehr}\n{schedule_ref}"
    digest = hashlib.blake2b(told.encode(), digest_size=12).hexdigest()
    return f"board:stale:{digest}:{'' if week is None else week}"


@dataclass(frozen=True)
class Want:
    """Free times of one schedule on practice-local days ``first_on`` to ``last_on``, both included."""

    line: Line
    first_on: date
    last_on: date

    @cached_property
    def weeks(self) -> range:
        return range(week_of(self.first_on), week_of(self.last_on) + 1)

    @cached_property
    def keys(self) -> list[str]:
        key = self.line.key
        return [f"{key}:{week}" for week in self.weeks]

    @cached_property
    def stale_keys(self) -> list[str]:
        ref = self.line.schedule_ref
        return [stale_key(ref), *(stale_key(ref, week) for week in self.weeks)]


@lru_cache(maxsize=20_000)
def wanted(
    schedule_ref: str, zone: str, minutes: int, appointment_type: Coding, first_on: date, last_on: date
) -> Want:
    """The one value for all questions that want the same: each holds its keys."""
    return Want(Line(schedule_ref, zone, minutes, appointment_type), first_on, last_on)


class Wants(Sequence[Want]):
    """All that a page asks of the board. Put together once for as long as it asks the same: for thousands that takes a while."""

    def __init__(self, wants: Iterable[Want]) -> None:
        self._all = tuple(wants)

    def __len__(self) -> int:
        return len(self._all)

    @overload
    def __getitem__(self, index: int) -> Want: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Want]: ...

    def __getitem__(self, index: int | slice) -> Want | Sequence[Want]:
        return self._all[index]

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(key for want in self._all for key in want.keys)

    @cached_property
    def stale_keys(self) -> frozenset[str]:
        return frozenset(key for want in self._all for key in want.stale_keys)

    @cached_property
    def group(self) -> str:
        """Names all of them together."""
        told = "\n".join(key for want in self._all for key in want.keys)
        return f"board:group:{hashlib.blake2b(told.encode(), digest_size=12).hexdigest()}"

    @cached_property
    def places(self) -> Mapping[str, Sequence[int]]:
        """Which of them depend on a key."""
        found: dict[str, list[int]] = {}
        for place, want in enumerate(self._all):
            for key in (*want.keys, *want.stale_keys):
                found.setdefault(key, []).append(place)
        return found


@dataclass(frozen=True, slots=True)
class Reading:
    """One week of a line. ``read_at`` is when the EHR was asked, ``failed_at`` when it last failed to answer.

    Seconds since 1970; 0 for never. ``starts`` are sorted.
    """

    read_at: float = 0.0
    failed_at: float = 0.0
    starts: array[int] = field(default_factory=lambda: array("I"))

    def to_bytes(self) -> bytes:
        return _AGES.pack(self.read_at, self.failed_at) + self.starts.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Reading:
        starts = array("I")
        starts.frombytes(data[_AGES.size :])
        read_at, failed_at = _AGES.unpack_from(data)
        return cls(read_at, failed_at, starts)


NEVER = Reading()


def instant_to_bytes(at: float) -> bytes:
    return _AT.pack(at)


def instant_from_bytes(data: bytes | None) -> float:
    return float(_AT.unpack(data)[0]) if data else 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """Weeks of one line that are asked for together; ``due`` are those it is asked for, and when each was last read."""

    line: Line
    first_week: int
    weeks: int
    due: tuple[tuple[int, float], ...] = field(default=(), compare=False)

    def is_due(self, readings: Mapping[str, Reading], kept_after: float) -> bool:
        """Whether any of them has not been read since, or so long ago that it counts for nothing."""
        return any(
            readings[f"{self.line.key}:{week}"].read_at <= max(read_at, kept_after)
            for week, read_at in self.due
        )

    @property
    def keys(self) -> list[str]:
        return [f"{self.line.key}:{week}" for week in range(self.first_week, self.first_week + self.weeks)]

    def days(self, now: datetime) -> tuple[date, date]:
        """Practice-local days to ask for; those before today are over."""
        first, last = monday_of(self.first_week), monday_of(self.first_week + self.weeks) - timedelta(days=1)
        return max(first, min(local_day(now, self.line.zone), last)), last

    def by_week(self, slots: Iterable[Slot]) -> list[array[int]]:
        """Sorted starts of each week. What lies outside is counted to the nearest: no time is lost to a wrong zone."""
        edges = [
            int(day_bounds(monday_of(week), self.line.zone)[0].timestamp())
            for week in range(self.first_week + 1, self.first_week + self.weeks)
        ]
        parts: list[array[int]] = [array("I") for _ in range(self.weeks)]
        for start in sorted({int(slot.starts_at.timestamp()) for slot in slots}):
            parts[bisect_right(edges, start)].append(start)
        return parts


def windows(line: Line, due: Sequence[tuple[int, float]], most: int, now: float) -> list[Window]:
    """As few searches as cover these weeks (in order, each with when it was last read).

    Each is as wide as the EHR permits, ``most`` weeks: a wider one costs the same. They are counted from this week, so
    that no two pages ask for windows that overlap.
    """
    # In the first hours of a Monday in UTC it is still the week before wherever people are.
    this_week = week_of(datetime.fromtimestamp(now - 12 * 3600, UTC).date())
    found: dict[int, list[tuple[int, float]]] = {}
    for week, read_at in due:
        found.setdefault((week - this_week) // most, []).append((week, read_at))
    return [Window(line, this_week + number * most, most, tuple(weeks)) for number, weeks in found.items()]
