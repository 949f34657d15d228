"""Which of the EHR's times a patient is offered. Each limit is tried on its edge and one minute beside it."""

from __future__ import annotations

from array import array
from datetime import date, timedelta

import pytest

from booking.scheduling.availability import Policy, last_start
from booking.scheduling.eligibility import Withheld, weigh
from booking.scheduling.openings import open_times
from booking.scheduling.terms import License

from .builders import (
    EASTERN,
    IN_PERSON,
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

MORNING = "2026-06-10 16:00"  # 9:00 am in Oakland
MINUTE = timedelta(minutes=1)


def outcome(found) -> Withheld | None:
    """The one cause a single time was withheld for, or None when it was offered."""
    if found.offers:
        assert (len(found.offers), found.withheld) == (1, {})
        return None
    ((cause, count),) = found.withheld.items()
    assert count == 1
    return cause


@pytest.mark.parametrize(
    ("now", "lead", "expected"),
    [
        pytest.param("2026-06-10 14:00", 120, None, id="exactly-the-lead-time-before"),
        pytest.param("2026-06-10 14:01", 120, Withheld.TOO_SOON, id="one-minute-too-soon"),
        pytest.param("2026-06-10 15:59", 0, None, id="no-lead-time-one-minute-before"),
        pytest.param("2026-06-10 16:00", 0, Withheld.IN_PAST, id="begins-this-instant"),
        pytest.param("2026-06-10 16:01", 120, Withheld.IN_PAST, id="began-a-minute-ago"),
    ],
)
def test_a_time_is_offered_from_the_lead_time_on(now, lead, expected):
    found = offered([slot(MORNING)], now=now, policy=Policy(lead=timedelta(minutes=lead)))
    assert outcome(found) == expected


@pytest.mark.parametrize(
    ("zone", "now", "starts_at", "expected"),
    [
        pytest.param(PACIFIC, "2026-06-10 07:00", "2026-06-13 06:59", None, id="last-minute-of-the-last-day"),
        pytest.param(
            PACIFIC, "2026-06-10 07:00", "2026-06-13 07:00", Withheld.TOO_FAR, id="midnight-after-it"
        ),
        pytest.param(
            PACIFIC,
            "2026-06-11 06:59",
            "2026-06-13 06:59",
            None,
            id="late-in-the-evening-today-is-still-today",
        ),
        pytest.param(
            PACIFIC, "2026-06-11 06:59", "2026-06-13 07:00", Withheld.TOO_FAR, id="though-not-in-utc"
        ),
        pytest.param(EASTERN, "2026-06-11 06:59", "2026-06-13 07:00", None, id="further-east-it-is-tomorrow"),
    ],
)
def test_the_horizon_counts_the_patients_days(zone, now, starts_at, expected):
    policy = Policy(lead=timedelta(0), horizon_days=2)
    assert outcome(offered([slot(starts_at)], now=now, policy=policy, asked=visit(zone=zone))) == expected


def test_the_last_day_to_start_is_the_horizon_after_today():
    asked, now = visit(zone=PACIFIC), utc("2026-06-11 06:59")
    assert last_start(asked, Policy(horizon_days=28), now) == date(2026, 7, 8)


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        pytest.param(claim("2026-06-10 15:30"), None, id="ends-as-it-begins"),
        pytest.param(claim("2026-06-10 15:30", minutes=31), Withheld.CLAIMED, id="ends-a-minute-in"),
        pytest.param(claim("2026-06-10 16:30"), None, id="begins-as-it-ends"),
        pytest.param(claim("2026-06-10 16:29"), Withheld.CLAIMED, id="begins-a-minute-before-the-end"),
        pytest.param(claim("2026-06-10 16:00"), Withheld.CLAIMED, id="the-same-time"),
        pytest.param(claim("2026-06-10 16:10", minutes=5), Withheld.CLAIMED, id="inside"),
        pytest.param(claim("2026-06-10 12:00", minutes=480), Withheld.CLAIMED, id="around"),
        pytest.param(claim("2026-06-10 16:00", clinician_id=2), None, id="another-clinician"),
    ],
)
def test_a_claim_takes_what_it_overlaps_and_no_more(taken, expected):
    assert outcome(offered([slot(MORNING)], now="2026-06-10 10:00", claims=[taken])) == expected


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        pytest.param(claim("2026-06-10 15:15"), None, id="exactly-the-buffer-before"),
        pytest.param(claim("2026-06-10 15:16"), Withheld.CLAIMED, id="a-minute-less-before"),
        pytest.param(claim("2026-06-10 16:45"), None, id="exactly-the-buffer-after"),
        pytest.param(claim("2026-06-10 16:44"), Withheld.CLAIMED, id="a-minute-less-after"),
    ],
)
def test_the_buffer_is_kept_on_both_sides(taken, expected):
    policy = Policy(lead=timedelta(0), buffer=timedelta(minutes=15))
    assert (
        outcome(offered([slot(MORNING)], now="2026-06-10 10:00", claims=[taken], policy=policy)) == expected
    )


def test_a_long_claim_counts_though_a_later_one_began_after_it():
    claims = [claim("2026-06-10 12:00", minutes=300), claim("2026-06-10 13:00", minutes=15)]
    assert outcome(offered([slot(MORNING)], now="2026-06-10 10:00", claims=claims)) == Withheld.CLAIMED


@pytest.mark.parametrize(
    ("claims", "cap", "expected"),
    [
        pytest.param(["2026-06-10 20:00"], 2, None, id="one-below-the-cap"),
        pytest.param(["2026-06-10 20:00", "2026-06-10 21:00"], 2, Withheld.DAY_FULL, id="at-the-cap"),
        pytest.param(
            ["2026-06-11 06:30"], 1, Withheld.DAY_FULL, id="late-that-evening-though-tomorrow-in-utc"
        ),
        pytest.param(["2026-06-11 07:00"], 1, None, id="midnight-after"),
        pytest.param(["2026-06-10 07:00"], 1, Withheld.DAY_FULL, id="first-thing-that-day"),
        pytest.param(["2026-06-10 06:30"], 1, None, id="the-night-before-though-today-in-utc"),
        pytest.param(["2026-06-10 20:00"] * 9, None, None, id="no-cap"),
    ],
)
def test_the_daily_cap_counts_days_of_the_schedule(claims, cap, expected):
    policy = Policy(lead=timedelta(0), daily_cap=cap)
    taken = [claim(each) for each in claims]
    asked = visit(zone=EASTERN)
    found = offered([slot(MORNING)], now="2026-06-09 10:00", claims=taken, policy=policy, asked=asked)
    assert outcome(found) == expected


def test_the_daily_cap_counts_the_day_of_a_late_time_at_the_practice():
    """10 pm in Oakland is tomorrow for a patient in the East; it is still today's work for the clinician."""
    policy = Policy(lead=timedelta(0), daily_cap=1)
    late, taken = slot("2026-06-11 05:00"), claim(MORNING)
    found = offered([late], now="2026-06-09 10:00", claims=[taken], policy=policy, asked=visit(zone=EASTERN))
    assert outcome(found) == Withheld.DAY_FULL


def test_the_daily_cap_does_not_count_other_clinicians():
    policy = Policy(lead=timedelta(0), daily_cap=1)
    claims = [claim("2026-06-10 20:00", clinician_id=2)]
    assert outcome(offered([slot(MORNING)], now="2026-06-10 10:00", claims=claims, policy=policy)) is None


@pytest.mark.parametrize("minutes", [29, 31, 15, 60])
def test_a_time_of_another_length_than_the_visit_is_withheld(minutes):
    found = offered([slot(MORNING, minutes=minutes)], now="2026-06-10 10:00")
    assert outcome(found) == Withheld.WRONG_LENGTH


JUNE_10, JUNE_11 = date(2026, 6, 10), date(2026, 6, 11)


def licensed(*licenses: License):
    return [clinician(licenses=licenses)]


@pytest.mark.parametrize(
    ("licenses", "expected"),
    [
        pytest.param([License("CA", "", None, JUNE_11)], None, id="in-force-when-it-ends"),
        pytest.param(
            [License("CA", "", None, JUNE_10)], Withheld.LICENSE_ENDED, id="ends-the-day-before-it-ends"
        ),
        pytest.param([License("CA", "", JUNE_11, None)], Withheld.LICENSE_ENDED, id="begins-after-it-starts"),
        pytest.param([License("CA", "", JUNE_10, None)], None, id="begins-the-day-it-starts"),
        pytest.param(
            [License("CA", "", None, JUNE_10), License("NV", "", None, None)],
            Withheld.LICENSE_ENDED,
            id="goes-on-in-the-next-state-only",
        ),
    ],
)
def test_a_license_must_hold_on_both_days_of_a_visit_over_midnight(licenses, expected):
    """From 11:45 pm on June 10 to 12:15 am on June 11 where the patient is."""
    found = offered([slot("2026-06-11 06:45")], now="2026-06-10 10:00", people=licensed(*licenses))
    assert outcome(found) == expected


@pytest.mark.parametrize(
    ("zone", "state", "starts_at", "expected"),
    [
        pytest.param(PACIFIC, "CA", "2026-06-11 00:30", None, id="5-30-pm-in-california-is-tomorrow-in-utc"),
        pytest.param(PACIFIC, "CA", "2026-06-11 07:00", Withheld.LICENSE_ENDED, id="midnight-in-california"),
        pytest.param(
            "Pacific/Guam",
            "GU",
            "2026-06-10 23:00",
            Withheld.LICENSE_ENDED,
            id="9-am-on-guam-is-yesterday-in-utc",
        ),
        pytest.param("Pacific/Guam", "GU", "2026-06-10 13:00", None, id="11-pm-on-guam"),
    ],
)
def test_the_last_day_of_a_license_is_the_patients(zone, state, starts_at, expected):
    people = licensed(License(state, "", None, JUNE_10))
    asked = visit(zone=zone, jurisdiction=state)
    found = offered([slot(starts_at)], now="2026-06-09 10:00", people=people, asked=asked)
    assert outcome(found) == expected


def test_an_offer_names_the_license_it_stands_on():
    old, new = License("CA", "old", None, JUNE_10), License("CA", "new", JUNE_11, None)
    slots = [slot("2026-06-10 16:00"), slot("2026-06-11 16:00")]
    found = offered(slots, now="2026-06-10 10:00", people=licensed(old, new))
    assert [(offer.starts_at, offer.license) for offer in found.offers] == [
        (utc("2026-06-10 16:00"), old),
        (utc("2026-06-11 16:00"), new),
    ]


def test_one_instant_in_two_places_is_offered_once():
    oakland, berkeley = schedule(1), schedule(2)
    person = clinician(schedules=(oakland, berkeley))
    slots = [slot(MORNING, at=oakland), slot(MORNING, at=berkeley), slot("2026-06-10 17:00", at=berkeley)]
    found = offered(slots, now="2026-06-10 10:00", people=[person])
    assert [(offer.starts_at, offer.schedule) for offer in found.offers] == [
        (utc("2026-06-10 16:00"), oakland),
        (utc("2026-06-10 17:00"), berkeley),
    ]
    assert found.withheld == {}


def test_a_place_where_the_time_is_withheld_does_not_hide_it_elsewhere():
    first, second = schedule(1), schedule(2)
    slots = [slot(MORNING, minutes=20, at=first), slot(MORNING, at=second)]
    found = offered(slots, now="2026-06-10 10:00", people=[clinician(schedules=(first, second))])
    assert ([offer.schedule for offer in found.offers], found.withheld) == (
        [second],
        {Withheld.WRONG_LENGTH: 1},
    )


def test_times_of_other_schedules_are_nobodys():
    found = offered([slot(MORNING, at=schedule(9))], now="2026-06-10 10:00")
    assert (found.offers, found.withheld) == ((), {})


def test_a_visit_in_person_is_never_offered_in_another_state():
    here, there = schedule(1), schedule(2, jurisdiction="NV")
    person = clinician(schedules=(there, here))
    slots = [slot(MORNING, at=there), slot("2026-06-10 17:00", at=here)]
    found = offered(slots, now="2026-06-10 10:00", people=[person], asked=visit(modality=IN_PERSON))
    assert [offer.schedule for offer in found.offers] == [here]


def test_offers_come_by_start_then_name_then_number():
    people = [
        clinician(3, name="Amara Diallo"),
        clinician(2, name="Wesley Yazzie"),
        clinician(1, name="Wesley Yazzie"),
    ]
    slots = [
        slot(start, at=person.schedules[0]) for person in people for start in ("2026-06-10 17:00", MORNING)
    ]
    found = offered(slots, now="2026-06-10 10:00", people=people)
    assert [(offer.starts_at, offer.clinician.id) for offer in found.offers] == [
        (utc(MORNING), 3),
        (utc(MORNING), 1),
        (utc(MORNING), 2),
        (utc("2026-06-10 17:00"), 3),
        (utc("2026-06-10 17:00"), 1),
        (utc("2026-06-10 17:00"), 2),
    ]


def test_withheld_times_are_counted_by_cause():
    policy = Policy(lead=timedelta(hours=2), horizon_days=1)
    slots = [slot(f"2026-06-{day} {hour}:00") for day in (10, 11, 12, 13) for hour in ("16", "17")]
    found = offered(slots, now="2026-06-10 16:30", policy=policy, claims=[claim("2026-06-11 17:00")])
    assert starts(found) == [utc("2026-06-11 16:00")]
    assert found.withheld == {
        Withheld.IN_PAST: 1,
        Withheld.TOO_SOON: 1,
        Withheld.CLAIMED: 1,
        Withheld.TOO_FAR: 4,
    }


def test_offers_are_grouped_by_the_days_of_a_zone():
    found = offered([slot("2026-06-11 06:30"), slot("2026-06-11 07:30")], now="2026-06-10 10:00")
    pacific, eastern = (by_local_day(found.offers, zone) for zone in (PACIFIC, EASTERN))
    assert {day: len(offers) for day, offers in pacific.items()} == {JUNE_10: 1, JUNE_11: 1}
    assert {day: len(offers) for day, offers in eastern.items()} == {JUNE_11: 2}


def test_a_time_the_horizon_has_reached_since_is_open_though_nothing_else_changed():
    person = clinician(1)
    free = {person.schedules[0].ref: array("I", [int(utc("2026-06-12 16:00").timestamp())])}
    asked = {"visit": visit(), "policy": Policy(horizon_days=1), "claims": ()}
    eligible = weigh([person], visit()).eligible
    before = open_times(eligible, free, now=utc("2026-06-10 16:00"), **asked)
    after = open_times(eligible, free, now=utc("2026-06-11 16:00"), before=before, **asked)
    assert (len(before.offers()), len(after.offers())) == (0, 1)


def near(*texts: str, wanted: str = MORNING, **more) -> list[tuple[str, int]]:
    """What is nearest to a start, among two clinicians free at the same times."""
    people = [clinician(1), clinician(2)]
    found = open_times(
        weigh(people, visit()).eligible,
        {person.schedules[0].ref: [int(utc(text).timestamp()) for text in texts] for person in people},
        visit=visit(),
        policy=Policy(lead=timedelta(0)),
        claims=(),
        now=utc("2026-06-10 10:00"),
    )
    return [
        (f"{offer.starts_at:%d %H:%M}", offer.clinician.id) for offer in found.nearest(utc(wanted), **more)
    ]


def test_the_nearest_are_the_closest_in_time_in_order_of_start():
    times = ("2026-06-10 12:00", "2026-06-10 15:30", "2026-06-10 16:45", "2026-06-11 16:00")
    assert near(*times, clinician_id=1, count=2) == [("10 15:30", 1), ("10 15:30", 2)]
    assert near(*times, clinician_id=1, count=3) == [("10 15:30", 1), ("10 15:30", 2), ("10 16:45", 1)]


@pytest.mark.parametrize("mine", [1, 2])
def test_at_equal_distance_the_same_clinician_comes_first(mine):
    assert near("2026-06-10 15:30", "2026-06-10 16:30", clinician_id=mine, count=2) == [
        ("10 15:30", mine),
        ("10 16:30", mine),
    ]


def test_at_equal_distance_the_earlier_comes_first():
    assert near("2026-06-10 15:30", "2026-06-10 16:30", clinician_id=1, count=1) == [("10 15:30", 1)]


def test_nothing_is_near_nothing():
    assert near(count=3) == []
