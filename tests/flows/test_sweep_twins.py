"""A second visit that appears after we settled is found, cancelled if it is surely a copy, and put before staff."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from booking import ehr
from booking.flows import change_booking, confirm_booking, follow_visits, reconcile, sweep_twins
from booking.models import Booking
from booking.scheduling.terms import AppointmentRequest, Coding, PatientDetails
from tests import factories

from .conftest import Clinic, Clock

REST, LOOK_AGAIN = 60, 30
DAY = 24 * 3600


@pytest.fixture(autouse=True)
def times(settings):
    settings.EHR_REST_SECONDS, settings.EHR_LOOK_AGAIN_SECONDS = REST, LOOK_AGAIN


def doubtful(clinic: Clinic, visitor, clock: Clock, kind: str = "reset-before-commit") -> Booking:
    """One that was in doubt once and is booked."""
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults(kind, method="POST", type="Appointment")
    confirm_booking.submit(held, visitor=visitor, clock=clock)
    for _ in range(3):
        clock.tick(REST)
        reconcile.reconcile(clock=clock)
    return fresh(held)


def fresh(booking: Booking) -> Booking:
    return Booking.objects.select_related("clinician", "schedule__location", "patient", "reason").get(
        pk=booking.pk
    )


def request_of(booking: Booking) -> AppointmentRequest:
    return confirm_booking.appointment_request(booking, booking.patient.ehr_patient_ref)


def late_twin(booking: Booking, **changes) -> str:
    """What a create that was thought lost makes in the end."""
    return ehr.gateway().create_appointment(replace(request_of(booking), **changes))


def statuses(clinic: Clinic, booking: Booking) -> dict[str, str]:
    return {f"Appointment/{each['id']}": each["status"] for each in clinic.appointments(booking)}


def run(clock: Clock, seconds: float, *, step: float = 300) -> int:
    looked_at = 0
    for _ in range(int(seconds // step)):
        clock.tick(step)
        looked_at += sweep_twins.sweep(clock=clock)
    return looked_at


def test_a_booking_that_was_in_doubt_is_looked_at_five_times_in_a_day(clinic, visitor, clock):
    visit = doubtful(clinic, visitor, clock)
    assert (visit.state, visit.posts) == ("booked", 2)
    before = clinic.calls("GET", "Appointment")
    assert [run(clock, DAY), run(clock, DAY)] == [5, 0]
    assert clinic.calls("GET", "Appointment") - before == 5
    visit = fresh(visit)
    assert (visit.sweep_at, visit.sweeps, visit.attention) == (None, 5, "")
    assert list(statuses(clinic, visit).values()) == ["booked"]


def test_a_booking_that_was_never_in_doubt_is_not_looked_at(clinic, visitor, clock):
    visit = confirm_booking.submit(clinic.hold(visitor, now=clock()), visitor=visitor, clock=clock)
    assert (visit.state, visit.sweep_at, run(clock, DAY)) == ("booked", None, 0)


@pytest.mark.parametrize("after", [0, 1200, 6 * 3600])
def test_a_late_twin_is_cancelled_and_the_visit_stays(clinic, visitor, clock, after):
    visit = doubtful(clinic, visitor, clock)
    run(clock, after)
    twin = late_twin(visit)
    assert sorted(statuses(clinic, visit).values()) == ["booked", "booked"]
    run(clock, DAY)
    assert statuses(clinic, visit) == {visit.appointment_ref: "booked", twin: "cancelled"}
    told = fresh(visit)
    assert (told.state, told.attention) == ("booked", "A second visit was found and cancelled")
    assert told.events.filter(note=f"twin cancelled: {twin}").count() == 1
    assert list(told.messages.values_list("kind", flat=True)) == ["confirmation"]


@pytest.mark.parametrize("what", ["another time", "another patient"])
def test_what_only_resembles_the_visit_is_left_to_staff(clinic, visitor, clock, what):
    visit = doubtful(clinic, visitor, clock)
    changes = {
        "another time": {
            "starts_at": visit.starts_at + timedelta(days=1),
            "ends_at": visit.ends_at + timedelta(days=1),
        },
        "another patient": {"patient_ref": clinic_patient(clinic)},
    }[what]
    twin = late_twin(visit, **changes)
    run(clock, DAY)
    assert statuses(clinic, visit) == {visit.appointment_ref: "booked", twin: "booked"}
    assert fresh(visit).attention == "Two visits in the EHR, settle there"
    assert fresh(visit).events.filter(note=f"two visits: {twin}").count() == 1


def clinic_patient(clinic: Clinic) -> str:
    person = factories.patient()
    return ehr.gateway().create_patient(
        person.to_term(verified_channel="email", verified_value=person.email, zone="America/Los_Angeles")
    )


def test_a_visit_that_the_patient_was_told_there_is_none_of_is_cancelled(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("reset-before-commit", method="POST", type="Appointment")
    confirm_booking.submit(held, visitor=visitor, clock=clock)
    taken = clinic.sandbox.staff_books(clinic.clinician.ehr_ref, held.starts_at, held.ends_at)
    for _ in range(10):
        clock.tick(REST)
        reconcile.reconcile(clock=clock)
    refused = fresh(held)
    assert refused.state == "refused"
    twin = late_twin(refused)
    run(clock, DAY)
    assert statuses(clinic, refused) == {twin: "cancelled"}
    (theirs,) = [each for each in clinic.sandbox.appointments() if each["id"] == taken]
    assert theirs["status"] == "booked"
    assert fresh(refused).attention == "A second visit was found and cancelled"


def test_a_visit_that_appears_after_it_went_to_staff_is_confirmed(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("reset-before-commit", method="POST", type="Appointment", times=None)
    confirm_booking.submit(held, visitor=visitor, clock=clock)
    for _ in range(30):
        clock.tick(LOOK_AGAIN)
        reconcile.reconcile(clock=clock)
    clinic.sandbox.clear_faults()
    assert fresh(held).state == "needs_staff"
    late = late_twin(fresh(held))
    run(clock, 3600)
    found = fresh(held)
    assert (found.state, found.appointment_ref) == ("booked", late)
    assert list(found.messages.order_by("created_at").values_list("kind", flat=True)) == [
        "needs_staff",
        "confirmation",
    ]


def test_a_cancelled_visit_leaves_no_twin_behind(clinic, visitor, clock):
    visit = doubtful(clinic, visitor, clock)
    twin = late_twin(visit)
    change_booking.cancel_booking(visit, visitor=visitor, clock=clock)
    run(clock, DAY)
    assert statuses(clinic, visit) == {visit.appointment_ref: "cancelled", twin: "cancelled"}


def test_nothing_is_cancelled_while_the_visit_itself_is_not_seen_to_stand(clinic, visitor, clock):
    """The clinic saw two and cancelled ours: the patient keeps the other, and is told of no cancellation."""
    visit = doubtful(clinic, visitor, clock)
    twin = late_twin(visit)
    clinic.sandbox.staff_cancels(visit.appointment_ref.partition("/")[2])
    run(clock, 3600)
    assert statuses(clinic, visit)[twin] == "booked"
    assert follow_visits.follow(fresh(visit), now=clock()) is True
    kept = fresh(visit)
    assert (kept.state, kept.appointment_ref) == ("booked", twin)
    assert kept.attention == "One of two visits was cancelled, the other stands"
    assert list(kept.messages.values_list("kind", flat=True)) == ["confirmation"]
    assert follow_visits.follow(fresh(visit), now=clock()) is False


def test_an_ehr_that_does_not_answer_is_asked_again(clinic, visitor, clock):
    visit = doubtful(clinic, visitor, clock)
    twin = late_twin(visit)
    clinic.sandbox.faults("403-html", method="GET", type="Appointment", times=None)
    run(clock, 600)
    assert fresh(visit).sweeps == 0
    clinic.sandbox.clear_faults()
    clinic.sandbox.faults("500", method="PUT", type="Appointment")
    run(clock, 600)
    assert statuses(clinic, visit)[twin] == "cancelled"


def test_control_without_the_sweep_the_twin_stands(clinic, visitor, clock):
    visit = doubtful(clinic, visitor, clock)
    late_twin(visit)
    for _ in range(30):
        clock.tick(3600)
        reconcile.reconcile(clock=clock)
        follow_visits.follow_visits(clock=clock)
    assert list(statuses(clinic, visit).values()) == ["booked", "booked"]


def test_a_copy_that_is_cancelled_gives_back_no_slot_that_the_visit_stands_on(sandboxes, settings):
    """Where time is taken through Slots, both visits stand on the same ones."""
    r4 = sandboxes["r4"]
    for name, value in r4.env.items():
        setattr(settings, name, value)
    r4.reset()
    gateway = ehr.gateway()
    first_on = datetime.now(UTC).date() + timedelta(days=2)
    schedule, slot = next(
        (schedule, slots[0])
        for schedule in gateway.directory().schedules
        if (
            slots := gateway.free_slots(
                schedule.ref, first_on=first_on, last_on=first_on + timedelta(days=7), minutes=30
            )
        )
    )
    person = PatientDetails(uuid4(), "Ana", "Ruiz", date(1984, 2, 29), "female", email="ana@mail.example")
    request = AppointmentRequest(
        booking_id=uuid4(),
        practitioner_ref=schedule.practitioner_ref,
        patient_ref=gateway.create_patient(person),
        location_ref=schedule.location_ref,
        starts_at=slot.starts_at,
        ends_at=slot.ends_at,
        reason=Coding("INTERNAL", "BACK"),
        reason_text="Back",
        appointment_type=Coding("http://snomed.info/sct", "448337001"),
        schedule_ref=schedule.ref,
    )
    visit = gateway.create_appointment(request)
    (document,) = [each for each in r4.appointments() if f"Appointment/{each['id']}" == visit]
    slot_refs = [each["reference"] for each in document["slot"]]
    client = gateway._client  # type: ignore[attr-defined]
    copy = {name: value for name, value in document.items() if name not in ("id", "meta")}
    twin = client.create("Appointment", copy, client.deadline())
    assert twin != visit

    def slots() -> set[str]:
        ids = ",".join(ref.partition("/")[2] for ref in slot_refs)
        return {each["status"] for each in r4.search("Slot", _id=ids)}

    gateway.cancel_appointment(twin)
    assert slots() == {"busy"}
    gateway.cancel_appointment(visit)
    assert slots() == {"free"}
