"""When each member of staff is free: weekly hours, minus the clinic's own busy blocks, minus what is booked.

Pure arithmetic in whole minutes since the epoch; knows nothing of FHIR or the database.
A calendar's hours are in its home zone; a Slot is reported in the zone of the schedule's location.
Which zone Canvas uses, and the step between candidate times, are not documented: both are inferred.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from .roster import WEEKS, Occupancy, Staff

HORIZON_DAYS = 21
STEP_MINUTES = 15

Span = tuple[int, int]
VisitCode = tuple[str, str]

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DAY_LETTERS = "MTWRFSU"
_CLOCK = tuple(f"{minute // 60:02d}:{minute % 60:02d}:00" for minute in range(1440))

# 21 is three whole weeks, so each residue of a day's ordinal is one weekday and comes once in any three weeks.
_TWO_FREE = {2: (600, 630), 11: (870, 900)}  # a Tuesday at 10:00, a Thursday at 14:30


@dataclass(frozen=True, slots=True)
class Window:
    days: frozenset[int]
    start: int
    end: int
    locations: frozenset[int]
    only: VisitCode | None


@dataclass(frozen=True, slots=True)
class Busy:
    """Time that is taken: spans in order of start that do not overlap."""

    starts: Sequence[int]
    ends: Sequence[int]

    def within(self, start: int, end: int) -> Iterator[Span]:
        for index in range(bisect_right(self.ends, start), bisect_left(self.starts, end)):
            yield self.starts[index], self.ends[index]


@dataclass(frozen=True, slots=True)
class Calendar:
    """One person's working week. Hashable, so a day's free time is worked out once.

    ``busy`` is what a file says is taken, in place of what is drawn.
    """

    staff_id: str
    zone: str
    windows: tuple[Window, ...]
    occupancy: Occupancy
    step_minutes: int = STEP_MINUTES
    horizon_days: int = HORIZON_DAYS
    busy: Busy | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class OpenTime:
    """Unbooked stretches of one window on one day; candidate times count from `origin`."""

    origin: int
    locations: frozenset[int]
    only: VisitCode | None
    spans: tuple[Span, ...]


def calendar_of(staff: Staff, staff_id: str, zone: str) -> Calendar:
    sites = {
        "home": frozenset({staff.home}),
        "away": frozenset({staff.away} if staff.away else ()),
        "both": frozenset({staff.home, staff.away or staff.home}),
    }
    windows = tuple(
        Window(
            days=frozenset(_DAY_LETTERS.index(letter) for letter in hours.days),
            start=_minutes(hours.start),
            end=_minutes(hours.end),
            locations=sites[hours.site],
            only=(hours.only.system, hours.only.code) if hours.only else None,
        )
        for hours in WEEKS[staff.week]
        if sites[hours.site]
    )
    return Calendar(staff_id, zone, windows, staff.occupancy)


def free_times(
    calendar: Calendar,
    location: int,
    zone: ZoneInfo,
    *,
    first: date,
    last: date,
    minutes: int,
    now: datetime,
    booked: Sequence[Span] = (),
    visit: VisitCode | None = None,
) -> Iterator[int]:
    """Starts, in epoch minutes, of every time `minutes` long that can be booked from `first` to `last` inclusive."""
    today = now.astimezone(zone).date()
    first, last = max(first, today), min(last, today + timedelta(days=calendar.horizon_days - 1))
    earliest = max(_epoch(first, 0, zone), -(-int(now.timestamp()) // 60))
    latest = _epoch(last + timedelta(days=1), 0, zone)
    for day in _days(first - timedelta(days=1), last + timedelta(days=1)):
        for stretch in open_times(calendar, day):
            if location not in stretch.locations:
                continue
            if visit is not None and stretch.only is not None and stretch.only != visit:
                continue
            for start, end in minus(stretch.spans, booked):
                candidate = start + (stretch.origin - start) % calendar.step_minutes
                while candidate + minutes <= end:
                    if earliest <= candidate < latest:
                        yield candidate
                    candidate += calendar.step_minutes


@lru_cache(maxsize=8192)
def open_times(calendar: Calendar, day: date) -> tuple[OpenTime, ...]:
    """What the clinic itself leaves open that day. The same question always has the same answer."""
    zone = ZoneInfo(calendar.zone)
    found = []
    for number, window in enumerate(calendar.windows):
        if day.weekday() not in window.days:
            continue
        start, end = _epoch(day, window.start, zone), _epoch(day, window.end, zone)
        spans = minus([(start, end)], _taken(calendar, day, number, window, start, end))
        if spans:
            found.append(OpenTime(start, window.locations, window.only, tuple(spans)))
    return tuple(found)


def day_windows(calendar: Calendar, day: date) -> Iterator[tuple[Window, Span, tuple[Span, ...]]]:
    """Each window of that day, from when to when it is, and what the clinic itself leaves open in it."""
    zone = ZoneInfo(calendar.zone)
    openings = {opening.origin: opening.spans for opening in open_times(calendar, day)}
    for window in calendar.windows:
        if day.weekday() in window.days:
            start, end = _epoch(day, window.start, zone), _epoch(day, window.end, zone)
            yield window, (start, end), openings.get(start, ())


def local_times(starts: Iterable[int], minutes: int, zone: ZoneInfo) -> Iterator[tuple[str, str]]:
    """Each start and its end as ISO instants with the zone's own offset at that moment."""
    offsets: dict[int, tuple[int, str]] = {}
    dates: dict[int, str] = {}

    def text(minute: int) -> str:
        # No zone in use changes its offset except on a whole hour of UTC.
        hour = minute // 60
        if hour not in offsets:
            offsets[hour] = _offset(hour * 60, zone)
        shift, suffix = offsets[hour]
        day, clock = divmod(minute + shift, 1440)
        if day not in dates:
            dates[day] = date.fromordinal(_EPOCH_ORDINAL + day).isoformat()
        return f"{dates[day]}T{_CLOCK[clock]}{suffix}"

    for start in starts:
        yield text(start), text(start + minutes)


def _taken(
    calendar: Calendar, day: date, number: int, window: Window, start: int, end: int
) -> Iterator[Span]:
    """Time the clinic keeps for visits and meetings of its own: about two fifths of it, drawn from a hash."""
    if calendar.busy is not None:
        yield from calendar.busy.within(start, end)
        return
    if calendar.occupancy == "full":
        yield start, end
        return
    if calendar.occupancy == "two-free-times":
        free = _TWO_FREE.get(day.toordinal() % 21)
        if free is None or not window.start <= free[0] < window.end:
            yield start, end
        else:
            yield start, start + free[0] - window.start
            yield start + free[1] - window.start, end
        return
    draws = hashlib.sha256(f"{calendar.staff_id}/{day.isoformat()}/{number}".encode()).digest()
    at = start + (0, 0, 15, 30)[draws[0] % 4]
    for index in range(1, len(draws) - 1, 2):
        if at >= end:
            return
        busy = (15, 30, 30, 45, 60, 60)[draws[index] % 6]
        yield at, min(at + busy, end)
        at += busy + (20, 30, 45, 60, 60, 75)[draws[index + 1] % 6]


def minus(spans: Sequence[Span], taken: Iterable[Span]) -> list[Span]:
    """What is left of `spans`."""
    left = list(spans)
    for busy_start, busy_end in taken:
        left = [
            piece
            for start, end in left
            for piece in (
                ((start, end),)
                if busy_end <= start or end <= busy_start
                else ((start, min(end, busy_start)), (max(start, busy_end), end))
            )
            if piece[0] < piece[1]
        ]
    return left


def _days(first: date, last: date) -> Iterator[date]:
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        yield date.fromordinal(ordinal)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


@lru_cache(maxsize=16384)
def _epoch(day: date, minute: int, zone: ZoneInfo) -> int:
    local = datetime.combine(day, time(minute // 60, minute % 60), zone)
    return int(local.timestamp()) // 60


def _offset(minute: int, zone: ZoneInfo) -> tuple[int, str]:
    shift = datetime.fromtimestamp(minute * 60, UTC).astimezone(zone).utcoffset() or timedelta()
    total = int(shift.total_seconds()) // 60
    sign = "-" if total < 0 else "+"
    return total, f"{sign}{abs(total) // 60:02d}:{abs(total) % 60:02d}"
