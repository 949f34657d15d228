from __future__ import annotations

from datetime import UTC, datetime

import pytest

from booking.scheduling.errors import EhrRejected
from booking.scheduling.gateway import Capabilities, Limits
from booking.scheduling.terms import AppointmentRecord

from . import documents
from .documents import ANA, APPOINTMENT_ID, BOOKING_ID, NORTH, PATIENT_REF, bundle
from .stand_in import StandIn, gateway

RECORD = AppointmentRecord(
    ref=f"Appointment/{APPOINTMENT_ID}",
    status="booked",
    starts_at=datetime(2026, 12, 1, 17, 0, tzinfo=UTC),
    ends_at=datetime(2026, 12, 1, 17, 30, tzinfo=UTC),
    practitioner_ref=f"Practitioner/{ANA}",
    patient_ref=PATIENT_REF,
    location_ref=f"Location/{NORTH}",
    booking_ids=(BOOKING_ID,),
)


def find(*listed: object) -> list[AppointmentRecord]:
    with gateway(StandIn({"GET Appointment": bundle(*listed)})) as opened:
        return opened.find_appointments(BOOKING_ID)


def test_our_appointment_is_found_by_our_identifier_alone():
    ehr = StandIn({"GET Appointment": bundle(documents.appointment())})
    with gateway(ehr) as opened:
        assert opened.find_appointments(BOOKING_ID) == [RECORD]
    assert ehr.sent == [
        (
            "GET",
            "/Appointment",
            {"identifier": f"urn:self-scheduling-portal:booking|{BOOKING_ID}", "_count": "100"},
        )
    ]


def test_every_status_is_told_cancelled_and_deleted_ones_too():
    statuses = ["booked", "cancelled", "entered-in-error", "noshow"]
    listed = [documents.appointment(id=str(number), status=status) for number, status in enumerate(statuses)]
    assert [record.status for record in find(*listed)] == statuses


@pytest.mark.parametrize(
    "identifier",
    [
        None,
        [],
        [{"system": "urn:self-scheduling-portal:booking", "value": "another"}],
        [{"system": "urn:another", "value": str(BOOKING_ID)}],
        [{"value": str(BOOKING_ID)}],
        "urn:self-scheduling-portal:booking",
    ],
)
def test_an_appointment_without_our_identifier_is_not_ours_even_where_the_search_is_ignored(identifier):
    assert find(documents.appointment(identifier=identifier), documents.appointment()) == [RECORD]


@pytest.mark.parametrize("broken", [{"start": "tomorrow"}, {"end": None}, {"id": None}, {"status": 7}])
def test_ours_in_a_form_we_cannot_read_is_an_error_and_not_an_absence(broken):
    with pytest.raises(EhrRejected):
        find(documents.appointment(**broken))


def test_the_patient_first_form_of_older_answers_is_read_too():
    turned = documents.appointment(participant=documents.appointment()["participant"][::-1])
    assert find(turned) == [RECORD]


@pytest.mark.parametrize("prevents", [False, True])
def test_the_capabilities_of_canvas(prevents):
    with gateway(StandIn(), prevents_double_booking=prevents) as opened:
        assert opened.capabilities == Capabilities(
            holds=False,
            appointment_identifier_search=True,
            patient_identifier_search=True,
            prevents_double_booking=prevents,
            conditional_update=True,
            subscriptions=False,
        )
        assert opened.can_move()
        assert opened.limits == Limits(
            days_per_slot_search=14, schedules_per_slot_search=1, calls_per_write=1
        )
