"""Every zone of the pinned tzdata, every change of its clocks from 2025 to 2028, every half hour around each.

Words are taken back to instants by reading them as a person would (tests/zones.py), never by the code that made them.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime

import pytest

from booking.scheduling import clock
from tests.zones import Change, every_change, instant_of

from .builders import part_of_day


def changes() -> list[Change]:
    return [change for found in every_change().values() for change in found]


def day_of(change: Change, at: datetime) -> date:
    return date(*change.readings[at][:3])


def test_there_are_as_many_zones_and_changes_as_the_world_has() -> None:
    assert len(every_change()) > 590
    assert len(changes()) > 1900
    assert sum(change.repeats for change in changes()) > 700


def test_words_without_a_mark_would_mean_two_instants() -> None:
    """The control: a clock read plainly fails at every change that repeats an hour, and at no other."""
    failed = []
    for change in changes():
        plain = [change.readings[at] for at in change.starts]
        if len(set(plain)) < len(plain):
            failed.append(change)
    assert failed == [change for change in changes() if change.repeats]


def test_the_words_of_the_grid_mean_their_instant_and_no_other() -> None:
    """As the grid shows them: the hour, under the heading of its day."""
    for change in changes():
        for at in change.starts:
            on = clock.local_day(at, change.zone)
            assert on == day_of(change, at)
            assert instant_of(clock.time_words(at, change.zone), change, on=on) == at


def test_no_two_instants_of_a_day_show_the_same_words() -> None:
    for change in changes():
        shown = defaultdict(list)
        for at in change.readings:
            shown[clock.local_day(at, change.zone), clock.time_words(at, change.zone)].append(at)
        assert [words for words, instants in shown.items() if len(instants) > 1] == [], change.zone


def test_the_words_of_messages_mean_their_instant_and_name_the_zone() -> None:
    for change in changes():
        for at in change.starts:
            words = clock.when_words(at, change.zone)
            assert instant_of(words, change) == at
            assert words.endswith(f" {clock.zone_words(change.zone)} time")


def test_parts_of_the_day_follow_the_clock_on_the_wall() -> None:
    for change in changes():
        for at in change.starts:
            hour = change.readings[at][3]
            part = "morning" if hour < 12 else "afternoon" if hour < 17 else "evening"
            assert part_of_day(at, change.zone) == part


def test_a_day_holds_its_own_instants_and_no_others() -> None:
    for change in changes():
        days = sorted({day_of(change, at) for at in change.readings})
        for on in days:
            starts, ends = clock.day_bounds(on, change.zone)
            inside = [at for at in change.readings if starts <= at < ends]
            assert inside == [at for at in change.readings if day_of(change, at) == on], (change.zone, on)


@pytest.mark.parametrize(
    ("zone", "at", "words"),
    [
        ("America/Vancouver", "2026-12-01T16:00Z", "9:00 am"),
        ("America/New_York", "2026-03-08T17:00Z", "1:00 pm"),
        ("Australia/Lord_Howe", "2026-04-04T14:45Z", "1:45 am (daylight)"),
        ("Australia/Lord_Howe", "2026-04-04T15:15Z", "1:45 am (standard)"),
        ("Africa/Casablanca", "2026-02-15T01:30Z", "2:30 am (daylight)"),
        ("Africa/Casablanca", "2026-02-15T02:30Z", "2:30 am (standard)"),
        ("Europe/Dublin", "2026-10-25T00:30Z", "1:30 am (daylight)"),
        ("Europe/Dublin", "2026-10-25T01:30Z", "1:30 am (standard)"),
        ("Asia/Kathmandu", "2026-11-01T06:15Z", "12:00 pm"),
    ],
)
def test_named_cases(zone: str, at: str, words: str) -> None:
    assert clock.time_words(datetime.fromisoformat(at), zone) == words
