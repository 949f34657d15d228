"""Whatever becomes of a create: in the end one Appointment, one message, and never "booked" without the EHR's id."""

from __future__ import annotations

import time
from typing import Any

import pytest

from booking import ehr
from booking.flows import confirm_booking
from booking.flows.reconcile import reconcile
from booking.models import Booking
from booking.scheduling.errors import EhrUnavailable, OutcomeUnknown
from booking.scheduling.terms import AppointmentRequest, Coding, PatientDetails

from .conftest import TELEHEALTH, Clinic, Clock

REST, LOOK_AGAIN = 60, 30


@pytest.fixture(autouse=True)
def impatient(settings: Any) -> None:
    """The portal's own times are counted by the injected clock; only the wire's are real."""
    settings.EHR_REST_SECONDS, settings.EHR_LOOK_AGAIN_SECONDS = REST, LOOK_AGAIN
    settings.EHR_READ_SECONDS, settings.EHR_TOTAL_SECONDS = 1.5, 4.0


def submit(booking: Booking, visitor, clock: Clock) -> Booking:
    confirm_booking.submit(booking, visitor=visitor, clock=clock)
    return Booking.objects.get(pk=booking.pk)


def committed(clinic: Clinic, booking: Booking, count: int = 1) -> None:
    """Wait for a commit that comes after the client has given up."""
    ends = time.monotonic() + 10
    while len(clinic.appointments(booking)) < count:
        assert time.monotonic() < ends, "the EHR never committed"
        time.sleep(0.05)


def settled(clinic: Clinic, booking: Booking, clock: Clock, *, rounds: int = 12) -> Booking:
    """Let reconcile run as the beat does until nothing is open, and never see a visit without its id."""
    for _ in range(rounds):
        reconcile(clock=clock)
        booking = Booking.objects.get(pk=booking.pk)
        assert (booking.state == "booked") is (booking.appointment_ref != "")
        if booking.state not in ("submitting", "unconfirmed"):
            break
        clock.tick(LOOK_AGAIN)
    return booking


def outcome(clinic: Clinic, booking: Booking) -> tuple[str, int, bool, list[str]]:
    """State, how many Appointments, whether it is the one we name, and the messages owed."""
    made = clinic.appointments(booking)
    return (
        booking.state,
        len(made),
        [f"Appointment/{each['id']}" for each in made] == [booking.appointment_ref],
        list(booking.messages.values_list("kind", flat=True)),
    )


ONE_VISIT = ("booked", 1, True, ["confirmation"])


@pytest.mark.parametrize(
    ("fault", "was_made", "posts"),
    [
        pytest.param({"kind": "commit-then-no-answer"}, True, 1, id="made-and-the-connection-was-cut"),
        pytest.param({"kind": "commit-then-500"}, True, 1, id="made-and-answered-500"),
        pytest.param({"kind": "reset-before-commit"}, False, 2, id="not-made-and-the-connection-was-cut"),
        pytest.param({"kind": "500"}, False, 2, id="not-made-and-answered-500"),
        pytest.param({"kind": "502"}, False, 2, id="not-made-and-answered-502"),
        pytest.param({"kind": "slow", "delay_seconds": 2.2}, True, 1, id="made-after-we-stopped-waiting"),
        pytest.param({"kind": "commit-late", "delay_seconds": 2.2}, True, 1, id="made-late"),
    ],
)
def test_a_create_without_an_answer_ends_in_one_visit(clinic, visitor, clock, fault, was_made, posts):
    held = clinic.hold(visitor, now=clock())
    before = clinic.posts()
    clinic.sandbox.faults(**fault, method="POST", type="Appointment")
    waiting = submit(held, visitor, clock)
    assert (waiting.state, waiting.appointment_ref, waiting.posts) == ("unconfirmed", "", 1)
    assert list(waiting.messages.all()) == []
    if was_made:
        committed(clinic, held)

    clock.tick(REST - 1)
    assert (reconcile(clock=clock), clinic.posts() - before) == (0, 1)
    clock.tick(1)
    booked = settled(clinic, waiting, clock)
    assert outcome(clinic, booked) == ONE_VISIT
    assert (booked.posts, clinic.posts() - before, len(clinic.patients(booked))) == (posts, posts, 1)
    assert (booked.look_up_at, booked.lease_until) == (None, None)
    clock.tick(3600)
    assert (reconcile(clock=clock), outcome(clinic, booked)) == (0, ONE_VISIT)


def test_a_create_made_between_the_two_look_ups_is_found_by_the_second(clinic, visitor, clock):
    """The EHR took longer than the rest. One look-up would have booked the visit a second time."""
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("commit-late", method="POST", type="Appointment", delay_seconds=6)
    waiting = submit(held, visitor, clock)
    clock.tick(REST)
    assert reconcile(clock=clock) == 1
    waiting.refresh_from_db()
    assert (waiting.state, waiting.misses) == ("unconfirmed", 1)
    committed(clinic, held)
    clock.tick(LOOK_AGAIN)
    assert outcome(clinic, settled(clinic, waiting, clock)) == ONE_VISIT


def test_answers_lost_again_and_again_still_end_in_one_visit(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    for kind in ("reset-before-commit", "500", "commit-then-no-answer"):
        clinic.sandbox.faults(kind, method="POST", type="Appointment")
    booked = settled(clinic, submit(held, visitor, clock), clock)
    assert (outcome(clinic, booked), booked.posts) == (ONE_VISIT, 3)


def test_a_time_taken_before_the_second_create_is_refused_and_the_patient_told(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("reset-before-commit", method="POST", type="Appointment")
    waiting = submit(held, visitor, clock)
    clinic.sandbox.staff_books(clinic.clinician.ehr_ref, held.starts_at, held.ends_at)
    refused = settled(clinic, waiting, clock)
    assert (refused.failure, outcome(clinic, refused)) == (
        "time_taken",
        ("refused", 0, False, ["not_booked"]),
    )


def test_our_own_visit_that_search_does_not_show_yet_is_not_called_refused(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.switches(search_lag_seconds=20.0)
    clinic.sandbox.faults("commit-then-no-answer", method="POST", type="Appointment")
    waiting = submit(held, visitor, clock)
    for _ in range(3):
        clock.tick(REST)
        reconcile(clock=clock)
    clinic.sandbox.switches(search_lag_seconds=0.0)
    waiting.refresh_from_db()
    assert (waiting.state, len(clinic.appointments(held))) == ("unconfirmed", 1)
    assert outcome(clinic, settled(clinic, waiting, clock)) == ONE_VISIT


@pytest.mark.parametrize(
    ("kind", "posts"),
    [pytest.param("commit-then-no-answer", 1, id="made"), pytest.param("500", 2, id="not-made")],
)
def test_a_patient_without_an_answer_is_made_once(clinic, visitor, clock, kind, posts):
    held = clinic.hold(visitor, now=clock())
    before = clinic.calls("POST", "Patient")
    clinic.sandbox.faults(kind, method="POST", type="Patient")
    waiting = submit(held, visitor, clock)
    assert (waiting.state, waiting.posts, clinic.appointments(held)) == ("unconfirmed", 0, [])
    booked = settled(clinic, waiting, clock)
    assert outcome(clinic, booked) == ONE_VISIT
    (patient,) = clinic.patients(booked)
    assert booked.patient.ehr_patient_ref == f"Patient/{patient['id']}"
    assert clinic.calls("POST", "Patient") - before == posts


def direct_request(clinic: Clinic, booking: Booking) -> AppointmentRequest:
    """A create made by hand, with the identifier of a booking."""
    person = booking.patient
    ref = ehr.gateway().create_patient(
        PatientDetails(
            person.pk,
            person.given_name,
            person.family_name,
            person.birth_date,
            person.sex,
            email=person.email,
        )
    )
    return AppointmentRequest(
        booking_id=booking.pk,
        practitioner_ref=clinic.clinician.ehr_ref,
        patient_ref=ref,
        location_ref=clinic.schedule.location.ehr_ref,
        starts_at=booking.starts_at,
        ends_at=booking.ends_at,
        reason=Coding("INTERNAL", "BACK"),
        reason_text="Back",
        appointment_type=TELEHEALTH,
    )


def test_control_a_create_sent_again_at_once_makes_two_visits(clinic, visitor, clock):
    """What the rest is for: the naive loop, on the same fault, books the patient twice."""
    held = clinic.hold(visitor, now=clock())
    request = direct_request(clinic, held)
    clinic.sandbox.faults("commit-then-no-answer", method="POST", type="Appointment")
    for _ in range(3):
        try:
            ehr.gateway().create_appointment(request)
            break
        except OutcomeUnknown:
            continue
    assert len(clinic.appointments(held)) == 2


def test_control_a_look_up_at_once_before_the_second_create_makes_two_visits(clinic, visitor, clock):
    """Looking first does not help when the EHR is still at it: nothing is there yet."""
    held = clinic.hold(visitor, now=clock())
    request = direct_request(clinic, held)
    clinic.sandbox.faults("commit-late", method="POST", type="Appointment", delay_seconds=5)
    for _ in range(3):
        try:
            if not ehr.gateway().find_appointments(held.pk):
                ehr.gateway().create_appointment(request)
            break
        except OutcomeUnknown:
            continue
    committed(clinic, held, count=2)
    assert len(clinic.appointments(held)) == 2


@pytest.mark.parametrize("seconds", [0.6, 8], ids=["impatient", "control"])
def test_who_presses_waits_for_the_ehrs_look_no_longer_than_set_and_keeps_the_time(
    clinic, visitor, clock, settings, seconds
):
    held = clinic.hold(visitor, now=clock())
    settings.EHR_READ_SECONDS, settings.EHR_TOTAL_SECONDS, settings.EHR_PAGE_SECONDS = 8, 9, seconds
    clinic.sandbox.faults("slow", delay_seconds=2.5, method="GET", type="Slot", times=None)
    began = time.monotonic()
    if seconds < 1:
        with pytest.raises(EhrUnavailable):
            confirm_booking.submit(held, visitor=visitor, clock=clock)
        assert (Booking.objects.get(pk=held.pk).state, clinic.appointments(held)) == ("held", [])
        assert time.monotonic() - began < 2.5
    else:
        assert submit(held, visitor, clock).state == "booked"
        assert time.monotonic() - began > 2.5


def test_an_attempt_in_doubt_is_not_refused_for_the_lead_time_that_passed_meanwhile(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock(), choice=clinic.soonest(clock, hold_minutes=3))
    clock.tick(150)
    clinic.sandbox.faults("reset-before-commit", method="POST", type="Appointment")
    waiting = submit(held, visitor, clock)
    assert (waiting.state, clinic.appointments(held)) == ("unconfirmed", [])
    clock.tick(600)
    assert outcome(clinic, settled(clinic, waiting, clock)) == ONE_VISIT
