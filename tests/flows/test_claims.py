"""The check under the lock, against rows alone: overlap, buffer and daily cap, on their edges."""

from __future__ import annotations

from datetime import timedelta

import pytest

from booking.flows import hold_slot
from booking.models import Booking, claims
from booking.scheduling.availability import Policy
from booking.scheduling.lifecycle import CLAIMING, BookingState
from booking.scheduling.terms import Claim, License, Offer
from tests import factories
from tests.scheduling.builders import utc

pytestmark = pytest.mark.django_db

NOW = utc("2026-06-01 12:00")
NINE = "2026-06-10 16:00"  # in Oakland
MINUTE = timedelta(minutes=1)


@pytest.fixture
def who():
    made = factories.clinician()
    factories.reason()
    return made


def take(who, starts_at: str, *, minutes: int = 30, **more) -> Booking:
    begins = utc(starts_at)
    return factories.booking(clinician=who, starts_at=begins, ends_at=begins + minutes * MINUTE, **more)


def is_free(who, starts_at: str = NINE, **limits) -> bool:
    record = type(who).objects.with_directory().get(pk=who.pk).to_term()
    begins = utc(starts_at)
    offer = Offer(record, record.schedules[0], begins, begins + 30 * MINUTE, License("CA"))
    return hold_slot.is_free(offer, policy=Policy(**limits), now=NOW)


@pytest.mark.parametrize(
    ("starts_at", "minutes", "free"),
    [
        pytest.param("2026-06-10 15:30", 30, True, id="ends-as-it-begins"),
        pytest.param("2026-06-10 15:30", 31, False, id="ends-a-minute-in"),
        pytest.param("2026-06-10 16:30", 30, True, id="begins-as-it-ends"),
        pytest.param("2026-06-10 16:29", 30, False, id="begins-a-minute-before-the-end"),
        pytest.param("2026-06-10 16:10", 10, False, id="inside"),
        pytest.param("2026-06-10 15:00", 120, False, id="around"),
    ],
)
def test_a_visit_takes_what_it_overlaps(who, starts_at, minutes, free):
    take(who, starts_at, minutes=minutes)
    assert is_free(who) is free


@pytest.mark.parametrize(
    ("starts_at", "free"),
    [
        pytest.param("2026-06-10 15:15", True, id="the-buffer-before"),
        pytest.param("2026-06-10 15:16", False, id="a-minute-less-before"),
        pytest.param("2026-06-10 16:45", True, id="the-buffer-after"),
        pytest.param("2026-06-10 16:44", False, id="a-minute-less-after"),
    ],
)
def test_the_buffer_is_kept_on_both_sides(who, starts_at, free):
    take(who, starts_at)
    assert is_free(who, buffer=15 * MINUTE) is free


@pytest.mark.parametrize("state", list(BookingState))
def test_only_states_that_claim_take_time(who, state):
    take(who, NINE, state=state, hold_expires_at=NOW + MINUTE)
    assert is_free(who) is (state not in CLAIMING)


@pytest.mark.parametrize(
    ("ends", "free"), [pytest.param(MINUTE, False, id="live"), pytest.param(0 * MINUTE, True, id="over")]
)
def test_a_hold_takes_time_until_it_ends(who, ends, free):
    take(who, NINE, state=BookingState.HELD, hold_expires_at=NOW + ends)
    assert is_free(who) is free


def test_another_clinicians_visit_takes_nothing(who):
    take(factories.clinician(), NINE)
    assert is_free(who, daily_cap=1) is True


@pytest.mark.parametrize(
    ("starts_at", "free"),
    [
        pytest.param("2026-06-10 20:00", False, id="that-day"),
        pytest.param("2026-06-11 06:30", False, id="late-that-evening-though-tomorrow-in-utc"),
        pytest.param("2026-06-11 07:00", True, id="midnight-after"),
        pytest.param("2026-06-10 07:00", False, id="first-thing-that-day"),
        pytest.param("2026-06-10 06:30", True, id="the-night-before-though-today-in-utc"),
    ],
)
def test_the_daily_cap_counts_the_days_of_the_place(who, starts_at, free):
    take(who, starts_at)
    assert is_free(who, daily_cap=1) is free
    assert is_free(who, daily_cap=2) is True


def test_the_daily_cap_counts_both_ends_of_a_day_of_25_hours(who):
    """12:05 am and 11:25 pm in Oakland on the day the clocks go back."""
    take(who, "2026-11-01 07:05", minutes=15)
    assert is_free(who, "2026-11-02 07:25", daily_cap=1) is False


@pytest.mark.parametrize("read", ["_in_sql", "_by_orm"])
def test_both_ways_of_reading_find_the_same_claims(who, read):
    """In every state, a hold that lapses in this very second and one that does not; in time and around it."""
    first, last = utc("2026-06-10 16:00"), utc("2026-06-10 18:00")
    others = factories.clinician()
    mine = []
    for hour, state in enumerate(BookingState):
        fields = {"appointment_ref": "Appointment/1"} if state is BookingState.BOOKED else {}
        begins = first + hour * 10 * MINUTE
        for lapses, person in ((NOW, who), (NOW + timedelta(seconds=1, microseconds=7), others)):
            made = factories.booking(
                clinician=person,
                state=state,
                starts_at=begins,
                ends_at=begins + 10 * MINUTE,
                hold_expires_at=lapses,
                **fields,
            )
            is_lapsed = state is BookingState.HELD and lapses == NOW
            if state in CLAIMING and not is_lapsed:
                mine.append(made)
    # Ends as it begins, begins as it ends, and one that reaches in from before.
    take(who, "2026-06-10 15:30")
    take(who, "2026-06-10 18:00")
    mine.append(take(factories.clinician(), "2026-06-10 15:30", minutes=31))

    def found(**asked):
        question = claims._Question(first, last, NOW, asked.get("of"), asked.get("apart_from", ()))
        rows = getattr(claims, read)(question)
        return sorted(rows, key=lambda claim: (claim.clinician_id, claim.starts_at))

    def expected(among):
        among = sorted(among, key=lambda each: (each.clinician_id, each.starts_at))
        return [
            Claim(
                each.clinician_id,
                each.starts_at,
                each.ends_at,
                each.hold_expires_at if each.state == BookingState.HELD else None,
            )
            for each in among
        ]

    assert (len(mine), found()) == (12, expected(mine))
    assert found(of=[who.pk]) == expected(each for each in mine if each.clinician_id == who.pk)
    assert found(of=[]) == []
    assert found(apart_from=[mine[0].pk, mine[-1].pk]) == expected(mine[1:-1])
