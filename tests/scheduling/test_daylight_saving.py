"""Visits across the hours that a clock change skips or repeats: arithmetic in UTC, words as people read clocks."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from booking.scheduling.availability import Policy
from booking.scheduling.clock import time_words
from booking.scheduling.eligibility import Withheld

from .builders import (
    ARIZONA,
    CENTRAL,
    EASTERN,
    PACIFIC,
    by_local_day,
    claim,
    clinician,
    offered,
    schedule,
    slot,
    starts,
    utc,
    visit,
)

HALF_HOUR = timedelta(minutes=30)
SKIPPED = ["1:00 am", "1:30 am", "3:00 am", "3:30 am"]
REPEATED = [
    "12:30 am",
    "1:00 am (daylight)",
    "1:30 am (daylight)",
    "1:00 am (standard)",
    "1:30 am (standard)",
    "2:00 am",
]
# The first half hour worded, and the words of each that follows: the change is in the middle.
CHANGES = [
    pytest.param(EASTERN, "2026-03-08 06:00", SKIPPED, id="new-york-spring-2026"),
    pytest.param(CENTRAL, "2026-03-08 07:00", SKIPPED, id="chicago-spring-2026"),
    pytest.param(PACIFIC, "2026-03-08 09:00", SKIPPED, id="los-angeles-spring-2026"),
    pytest.param(EASTERN, "2026-11-01 04:30", REPEATED, id="new-york-fall-2026"),
    pytest.param(CENTRAL, "2026-11-01 05:30", REPEATED, id="chicago-fall-2026"),
    pytest.param(PACIFIC, "2026-11-01 07:30", REPEATED, id="los-angeles-fall-2026"),
    pytest.param(EASTERN, "2027-03-14 06:00", SKIPPED, id="new-york-spring-2027"),
    pytest.param(CENTRAL, "2027-03-14 07:00", SKIPPED, id="chicago-spring-2027"),
    pytest.param(PACIFIC, "2027-03-14 09:00", SKIPPED, id="los-angeles-spring-2027"),
    pytest.param(
        ARIZONA, "2026-03-08 08:30", ["1:30 am", "2:00 am", "2:30 am", "3:00 am"], id="phoenix-spring-2026"
    ),
    pytest.param(ARIZONA, "2026-11-01 08:00", ["1:00 am", "1:30 am", "2:00 am"], id="phoenix-fall-2026"),
    pytest.param(ARIZONA, "2027-03-14 08:30", ["1:30 am", "2:00 am", "2:30 am"], id="phoenix-spring-2027"),
]


def half_hours(first: str, count: int):
    return [utc(first) + n * HALF_HOUR for n in range(count)]


def night(zone: str):
    """Somebody with a schedule in the zone, and a patient there."""
    return {"people": [clinician(schedules=(schedule(zone=zone),))], "asked": visit(zone=zone)}


@pytest.mark.parametrize(("zone", "first", "words"), CHANGES)
def test_every_half_hour_through_the_change_is_worded_once(zone, first, words):
    assert [time_words(at, zone) for at in half_hours(first, len(words))] == words
    assert len(set(words)) == len(words)


@pytest.mark.parametrize(("zone", "first", "words"), CHANGES)
def test_every_half_hour_through_the_change_is_offered_in_order_and_thirty_minutes_long(zone, first, words):
    instants = half_hours(first, len(words))
    found = offered(map(slot, reversed(instants)), now=utc(first) - timedelta(days=1), **night(zone))
    assert starts(found) == instants
    assert {offer.minutes for offer in found.offers} == {30}
    assert {offer.ends_at - offer.starts_at for offer in found.offers} == {HALF_HOUR}


@pytest.mark.parametrize(("zone", "first", "words"), CHANGES)
def test_a_claim_through_the_change_takes_its_own_half_hour_only(zone, first, words):
    instants = half_hours(first, len(words))
    middle = len(words) // 2
    taken = claim(f"{instants[middle]:%Y-%m-%d %H:%M}")
    found = offered(map(slot, instants), now=utc(first) - timedelta(days=1), claims=[taken], **night(zone))
    assert starts(found) == instants[:middle] + instants[middle + 1 :]
    assert found.withheld == {Withheld.CLAIMED: 1}


@pytest.mark.parametrize(("zone", "first", "words"), CHANGES)
def test_the_lead_time_through_the_change_is_in_real_minutes(zone, first, words):
    instants = half_hours(first, len(words))
    policy = Policy(lead=timedelta(hours=1))
    found = offered(map(slot, instants), now=instants[0], policy=policy, **night(zone))
    assert starts(found) == instants[2:]


@pytest.mark.parametrize(
    ("zone", "on", "half_hours_long", "first"),
    [
        pytest.param(EASTERN, date(2026, 3, 8), 46, "2026-03-08 05:00", id="spring"),
        pytest.param(EASTERN, date(2026, 11, 1), 50, "2026-11-01 04:00", id="fall"),
        pytest.param(ARIZONA, date(2026, 11, 1), 48, "2026-11-01 07:00", id="no-change"),
    ],
)
def test_a_whole_day_has_as_many_times_as_it_has_hours(zone, on, half_hours_long, first):
    around = [utc(first) + n * HALF_HOUR for n in range(-10, half_hours_long + 10)]
    found = offered(map(slot, around), now=utc(first) - timedelta(days=2), **night(zone))
    offers = by_local_day(found.offers, zone)[on]
    assert [offer.starts_at for offer in offers] == around[10:-10]


@pytest.mark.parametrize(
    ("now", "last_minute"),
    [
        pytest.param("2026-10-31 20:00", "2026-11-02 04:59", id="fall-the-last-day-has-25-hours"),
        pytest.param("2026-03-07 20:00", "2026-03-09 03:59", id="spring-the-last-day-has-23-hours"),
    ],
)
def test_the_horizon_ends_with_the_local_day_however_long(now, last_minute):
    policy = Policy(lead=timedelta(0), horizon_days=1)
    times = [utc(last_minute), utc(last_minute) + timedelta(minutes=1)]
    found = offered(map(slot, times), now=now, policy=policy, **night(EASTERN))
    assert (starts(found), found.withheld) == ([times[0]], {Withheld.TOO_FAR: 1})


def test_the_daily_cap_counts_both_ends_of_a_day_of_25_hours():
    """A visit at 12:05 am leaves no room for one at 11:25 pm, a day and twenty minutes later by the clock in UTC."""
    policy = Policy(lead=timedelta(0), daily_cap=1)
    late, next_day = slot("2026-11-02 04:25"), slot("2026-11-02 05:25")
    found = offered(
        [late, next_day],
        now="2026-10-31 12:00",
        claims=[claim("2026-11-01 04:05", minutes=15)],
        policy=policy,
        **night(EASTERN),
    )
    assert (starts(found), found.withheld) == ([next_day.starts_at], {Withheld.DAY_FULL: 1})
