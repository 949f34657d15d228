"""What clocks show in every zone of the pinned tzdata, as the C library reads it: an opinion other than the portal's.

The portal asks ``zoneinfo``; here the same files are read by the machine's C library, and words are taken apart by
hand and looked up among everything that the clocks show around a change.
"""

from __future__ import annotations

import calendar
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property
from importlib import resources
from zoneinfo import available_timezones

FIRST, LAST = datetime(2025, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
HALF_HOUR, QUARTER = timedelta(minutes=30), timedelta(minutes=15)
# Starts are tried this long before and after each change: the whole local day of the change, and its neighbors' edges.
AROUND = timedelta(hours=26)

MONTHS, WEEKDAYS = list(calendar.month_name)[1:], list(calendar.day_name)

Reading = tuple[int, int, int, int, int]
"""Year, month, day, hour and minute as a clock on the wall shows them."""


@contextmanager
def clocks_of(zone: str) -> Iterator[None]:
    """Inside the block ``time.localtime`` speaks of ``zone``, by the pinned tzdata's own file."""
    before = os.environ.get("TZ")
    with resources.as_file(resources.files("tzdata").joinpath("zoneinfo", *zone.split("/"))) as path:
        os.environ["TZ"] = f":{path}"
        time.tzset()
        try:
            yield
        finally:
            if before is None:
                del os.environ["TZ"]
            else:
                os.environ["TZ"] = before
            time.tzset()


def shown(at: datetime) -> Reading:
    """What the clocks of the block's zone show at an instant."""
    return time.localtime(at.timestamp())[:5]  # type: ignore[return-value]


def _changes() -> Iterator[datetime]:
    """Instants at which the block's zone changes its offset from UTC, to the second."""
    day = 24 * 3600
    for start in range(int(FIRST.timestamp()), int(LAST.timestamp()), day):
        before, after = start, start + day
        old = time.localtime(before).tm_gmtoff
        if time.localtime(after).tm_gmtoff == old:
            continue
        while after - before > 1:
            middle = (before + after) // 2
            if time.localtime(middle).tm_gmtoff == old:
                before = middle
            else:
                after = middle
        yield datetime.fromtimestamp(after, UTC)


@dataclass(frozen=True)
class Change:
    """A change of one zone's clocks, and what they show at every quarter of an hour around it."""

    zone: str
    at: datetime
    readings: dict[datetime, Reading]

    @property
    def starts(self) -> list[datetime]:
        """On the hour and the half hour, as this zone's clocks show them."""
        return [at for at, reading in self.readings.items() if reading[4] in (0, 30)]

    @cached_property
    def instants(self) -> dict[Reading, list[datetime]]:
        """When the clocks show what they show; twice, in an hour that they repeat."""
        found: dict[Reading, list[datetime]] = {}
        for at, reading in self.readings.items():
            found.setdefault(reading, []).append(at)
        return found

    @cached_property
    def days(self) -> dict[tuple[int, int], date]:
        """By month and day, since words leave the year out."""
        return {reading[1:3]: date(*reading[:3]) for reading in self.readings.values()}

    @property
    def repeats(self) -> bool:
        return len(self.instants) < len(self.readings)


@cache
def every_change() -> dict[str, list[Change]]:
    """By zone, every change of every zone from 2025 to 2028; zones without any have one ordinary night instead."""
    found: dict[str, list[Change]] = {}
    steps = int(AROUND / QUARTER)
    for zone in sorted(available_timezones()):
        with clocks_of(zone):
            moments = list(_changes()) or [datetime(2026, 11, 1, 6, tzinfo=UTC)]
            found[zone] = [
                Change(
                    zone,
                    at,
                    {at + n * QUARTER: shown(at + n * QUARTER) for n in range(-steps, steps + 1)},
                )
                for at in moments
            ]
    return found


def unlike_zones() -> list[str]:
    """One zone for each way in which clocks change: all others show the same at every change."""
    kinds: dict[tuple[object, ...], str] = {}
    for zone, changes in every_change().items():
        kinds.setdefault(tuple((each.at, tuple(each.readings.values())) for each in changes), zone)
    return sorted(kinds.values())


_WORDS = re.compile(
    r"(?:(?P<weekday>\w+), (?P<month>\w+) (?P<day>\d{1,2}), )?"
    r"(?P<hour>1?\d):(?P<minute>\d\d) (?P<half>am|pm)(?: \((?P<mark>daylight|standard)\))?(?: (?P<zone>.+) time)?"
)


def instant_of(words: str, change: Change, *, on: date | None = None) -> datetime:
    """The one instant that words such as "1:30 am (standard)" mean near a change.

    ``on`` is the day they stand under when they name none themselves. Fails when they mean none, or leave it open.
    """
    said = _WORDS.fullmatch(words)
    assert said, words
    if said["month"]:
        on = change.days[MONTHS.index(said["month"]) + 1, int(said["day"])]
        assert WEEKDAYS[on.weekday()] == said["weekday"], words
    assert on is not None
    hour = int(said["hour"]) % 12 + (12 if said["half"] == "pm" else 0)
    meant = change.instants.get((on.year, on.month, on.day, hour, int(said["minute"])), [])
    assert len(meant) == (2 if said["mark"] else 1), (change.zone, words, meant)
    return meant[-1] if said["mark"] == "standard" else meant[0]
