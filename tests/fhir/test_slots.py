from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from booking.scheduling.errors import EhrRejected
from booking.scheduling.terms import Coding, Slot

from . import documents
from .documents import ANA, ANA_NORTH, SNOMED, bundle
from .stand_in import StandIn, gateway

NINE = documents.slot("2026-12-01T09:00:00-08:00", "2026-12-01T09:30:00-08:00")
HALF_PAST = documents.slot("2026-12-01T09:30:00-08:00", "2026-12-01T10:00:00-08:00")
NINE_READ = Slot(
    ANA_NORTH, datetime(2026, 12, 1, 17, 0, tzinfo=UTC), datetime(2026, 12, 1, 17, 30, tzinfo=UTC)
)
HALF_PAST_READ = Slot(
    ANA_NORTH, datetime(2026, 12, 1, 17, 30, tzinfo=UTC), datetime(2026, 12, 1, 18, 0, tzinfo=UTC)
)


def free(ehr: StandIn, first_on: date = date(2026, 12, 1), last_on: date = date(2026, 12, 7), **more: object):
    with gateway(ehr) as opened:
        return opened.free_slots(ANA_NORTH, first_on=first_on, last_on=last_on, **{"minutes": 30} | more)


def test_a_search_says_everything_canvas_would_otherwise_guess():
    ehr = StandIn({"GET Slot": bundle(NINE)})
    assert free(ehr) == [NINE_READ]
    asked = {
        "schedule": f"Location.1-Staff.{ANA}",
        "start": "2026-12-01",
        "end": "2026-12-07",
        "duration": "30",
    }
    assert ehr.sent == [("GET", "/Slot", asked)]


def test_an_appointment_type_goes_with_its_system():
    ehr = StandIn({"GET Slot": bundle()})
    free(ehr, appointment_type=Coding(SNOMED, "448337001", "Telehealth"))
    assert ehr.requests[0].url.params["appointment-type"] == "http://snomed.info/sct|448337001"


def test_times_come_in_utc_in_order_and_once():
    same_in_another_offset = documents.slot("2026-12-01T12:00:00-05:00", "2026-12-01T12:30:00-05:00")
    ehr = StandIn({"GET Slot": bundle(HALF_PAST, NINE, NINE, same_in_another_offset)})
    assert free(ehr) == [NINE_READ, HALF_PAST_READ]


@pytest.mark.parametrize(
    "wrong",
    [
        NINE | {"status": "busy"},
        NINE | {"status": "busy-tentative"},
        NINE | {"status": None},
        documents.slot("2026-12-01T09:00:00-08:00", "2026-12-01T09:20:00-08:00"),
        documents.slot("2026-12-01T09:00:00-08:00", "2026-12-01T10:00:00-08:00"),
        documents.slot("2026-12-01T09:00:00-08:00", "2026-12-01T09:30:00-05:00"),
        NINE | {"schedule": {"reference": f"Schedule/Location.2-Staff.{ANA}"}},
        NINE | {"schedule": {"reference": f"Schedule/Location.1-Staff.{ANA}9"}},
        NINE | {"schedule": None},
        documents.slot("2026-12-01T09:00:00", "2026-12-01T09:30:00"),
        documents.slot("2026-12-01 09:00", "2026-12-01 09:30"),
        documents.slot("2026-02-30T09:00:00-08:00", "2026-02-30T09:30:00-08:00"),
        documents.slot("2026-11-29T09:00:00-08:00", "2026-11-29T09:30:00-08:00"),
        documents.slot("2026-12-09T09:00:00-08:00", "2026-12-09T09:30:00-08:00"),
    ],
)
def test_what_was_not_asked_for_is_left_out(wrong):
    assert free(StandIn({"GET Slot": bundle(wrong, HALF_PAST)})) == [HALF_PAST_READ]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-12-01T00:00:00+14:00", "2026-12-01T00:30:00+14:00"),
        ("2026-12-01T00:00:00-11:00", "2026-12-01T00:30:00-11:00"),
        ("2026-12-01T23:30:00-11:00", "2026-12-02T00:00:00-11:00"),
    ],
)
def test_a_days_first_and_last_times_are_kept_in_every_zone(start, end):
    found = free(StandIn({"GET Slot": bundle(documents.slot(start, end))}), last_on=date(2026, 12, 1))
    assert len(found) == 1


def test_the_hour_that_comes_twice_in_autumn_is_two_times():
    earlier = documents.slot("2026-11-01T01:00:00-07:00", "2026-11-01T01:30:00-07:00")
    later = documents.slot("2026-11-01T01:00:00-08:00", "2026-11-01T01:30:00-08:00")
    ehr = StandIn({"GET Slot": bundle(later, earlier)})
    found = free(ehr, first_on=date(2026, 11, 1), last_on=date(2026, 11, 1))
    assert [slot.starts_at.isoformat() for slot in found] == [
        "2026-11-01T08:00:00+00:00",
        "2026-11-01T09:00:00+00:00",
    ]


def test_busy_times_only_are_no_error():
    assert free(StandIn({"GET Slot": bundle(NINE | {"status": "busy"})})) == []


def test_free_times_of_which_none_can_be_read_are_an_error_and_not_a_full_calendar():
    with pytest.raises(EhrRejected):
        free(StandIn({"GET Slot": bundle(NINE | {"start": "9 am"}, HALF_PAST | {"start": None})}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"last_on": date(2026, 11, 30)},
        {"last_on": date(2026, 12, 15)},
        {"minutes": 0},
        {"minutes": -30},
    ],
)
def test_a_search_outside_the_ports_terms_is_a_mistake_of_the_caller(wrong):
    ehr = StandIn()
    with pytest.raises(ValueError, match="14 days"):
        free(ehr, **wrong)
    assert ehr.requests == []


def test_fourteen_days_can_be_asked_for_at_once():
    assert free(StandIn({"GET Slot": bundle()}), last_on=date(2026, 12, 14)) == []
