"""Days and hours in words, and zones whose rules change: the pinned tzdata package counts, not the machine's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import TZPATH, ZoneInfoNotFoundError

import pytest

from booking.scheduling import clock

from .builders import ARIZONA, CENTRAL, EASTERN, PACIFIC, part_of_day, utc


@pytest.mark.parametrize(
    ("at", "zone", "words"),
    [
        pytest.param(
            "2026-11-24 22:30", PACIFIC, "Tuesday, November 24, 2:30 pm Pacific time", id="afternoon"
        ),
        pytest.param("2026-06-10 07:00", PACIFIC, "Wednesday, June 10, 12:00 am Pacific time", id="midnight"),
        pytest.param("2026-06-10 19:05", PACIFIC, "Wednesday, June 10, 12:05 pm Pacific time", id="noon"),
        pytest.param(
            "2026-06-11 06:59", PACIFIC, "Wednesday, June 10, 11:59 pm Pacific time", id="before-midnight"
        ),
        pytest.param("2026-06-10 15:00", ARIZONA, "Wednesday, June 10, 8:00 am Arizona time", id="arizona"),
        pytest.param("2026-06-10 15:00", CENTRAL, "Wednesday, June 10, 10:00 am Central time", id="central"),
        pytest.param("2026-06-10 15:00", EASTERN, "Wednesday, June 10, 11:00 am Eastern time", id="eastern"),
        pytest.param(
            "2026-06-10 15:00", "Pacific/Guam", "Thursday, June 11, 1:00 am Chamorro time", id="guam"
        ),
        pytest.param(
            "2026-06-10 15:00", "Pacific/Pago_Pago", "Wednesday, June 10, 4:00 am Samoa time", id="samoa"
        ),
    ],
)
def test_when_words_name_day_time_and_zone(at, zone, words):
    assert clock.when_words(utc(at), zone) == words


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("America/New_York", "Eastern"),
        ("America/Phoenix", "Arizona"),
        ("Pacific/Honolulu", "Hawaii"),
        ("America/Vancouver", "Vancouver"),
        ("America/Argentina/Buenos_Aires", "Buenos Aires"),
        ("UTC", "UTC"),
    ],
)
def test_zone_words_are_the_common_name_or_the_city(zone, words):
    assert clock.zone_words(zone) == words


def test_dates_are_worded_long_and_short():
    on = date(2026, 11, 4)
    assert (clock.date_words(on), clock.short_date_words(on)) == ("Wednesday, November 4", "Wed, Nov 4")


@pytest.mark.parametrize(
    ("at", "part"),
    [
        ("2026-06-10 07:00", clock.MORNING),
        ("2026-06-10 18:59", clock.MORNING),
        ("2026-06-10 19:00", clock.AFTERNOON),
        ("2026-06-10 23:59", clock.AFTERNOON),
        ("2026-06-11 00:00", clock.EVENING),
        ("2026-06-11 06:59", clock.EVENING),
    ],
)
def test_parts_of_the_day_change_at_noon_and_at_five(at, part):
    assert part_of_day(utc(at), PACIFIC) == part


def test_a_local_day_is_that_of_the_zone():
    at = utc("2026-06-11 06:59")
    assert [clock.local_day(at, zone) for zone in (PACIFIC, CENTRAL, "UTC")] == [
        date(2026, 6, 10),
        date(2026, 6, 11),
        date(2026, 6, 11),
    ]


def test_an_unknown_zone_is_an_error():
    with pytest.raises(ZoneInfoNotFoundError):
        clock.zone("America/Atlantis")


def test_the_machines_own_zones_are_not_used():
    assert TZPATH == ()


def test_vancouver_stays_on_its_summer_offset_after_november_2026():
    """British Columbia ends clock changes; tzdata of 2025 and the system's of Debian 12 say 17:00Z."""
    nine = datetime(2026, 12, 1, 9, tzinfo=clock.zone("America/Vancouver"))
    assert nine.astimezone(UTC) == utc("2026-12-01 16:00")
    assert clock.time_words(utc("2026-12-01 16:00"), "America/Vancouver") == "9:00 am"


@pytest.mark.parametrize(
    ("zone", "on", "starts", "hours"),
    [
        pytest.param(EASTERN, date(2026, 3, 8), "2026-03-08 05:00", 23, id="new-york-spring-2026"),
        pytest.param(EASTERN, date(2026, 11, 1), "2026-11-01 04:00", 25, id="new-york-fall-2026"),
        pytest.param(EASTERN, date(2027, 3, 14), "2027-03-14 05:00", 23, id="new-york-spring-2027"),
        pytest.param(CENTRAL, date(2026, 3, 8), "2026-03-08 06:00", 23, id="chicago-spring-2026"),
        pytest.param(CENTRAL, date(2026, 11, 1), "2026-11-01 05:00", 25, id="chicago-fall-2026"),
        pytest.param(CENTRAL, date(2027, 3, 14), "2027-03-14 06:00", 23, id="chicago-spring-2027"),
        pytest.param(PACIFIC, date(2026, 3, 8), "2026-03-08 08:00", 23, id="los-angeles-spring-2026"),
        pytest.param(PACIFIC, date(2026, 11, 1), "2026-11-01 07:00", 25, id="los-angeles-fall-2026"),
        pytest.param(PACIFIC, date(2027, 3, 14), "2027-03-14 08:00", 23, id="los-angeles-spring-2027"),
        pytest.param(ARIZONA, date(2026, 3, 8), "2026-03-08 07:00", 24, id="phoenix-spring-2026"),
        pytest.param(ARIZONA, date(2026, 11, 1), "2026-11-01 07:00", 24, id="phoenix-fall-2026"),
        pytest.param(ARIZONA, date(2027, 3, 14), "2027-03-14 07:00", 24, id="phoenix-spring-2027"),
        pytest.param(EASTERN, date(2026, 3, 7), "2026-03-07 05:00", 24, id="new-york-the-day-before"),
        pytest.param(EASTERN, date(2026, 11, 2), "2026-11-02 05:00", 24, id="new-york-the-day-after"),
    ],
)
def test_day_bounds_are_as_far_apart_as_the_day_is_long(zone, on, starts, hours):
    assert clock.day_bounds(on, zone) == (utc(starts), utc(starts) + timedelta(hours=hours))


@pytest.mark.parametrize("zone", [EASTERN, CENTRAL, PACIFIC, ARIZONA])
def test_days_follow_each_other_without_gap_or_overlap(zone):
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(500)]
    bounds = [clock.day_bounds(day, zone) for day in days]
    assert [ends for _, ends in bounds[:-1]] == [starts for starts, _ in bounds[1:]]
