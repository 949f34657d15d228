"""From a hold to an Appointment: what the EHR is sent, and what becomes of every answer it can give."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from booking.flows import confirm_booking, hold_slot, notify
from booking.models import Booking, Message
from booking.scheduling.errors import EhrUnavailable, Refusal, RefusalCode
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality
from tests import factories

from .conftest import BOOKING_SYSTEM

SNOMED = "http://snomed.info/sct"


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def messages(booking: Booking) -> list[tuple[str, str, str]]:
    return [(each.kind, each.channel, each.recipient) for each in booking.messages.order_by("created_at")]


def submit(booking, visitor, clock) -> Booking:
    """Submit, and read back what is in the database."""
    answer = confirm_booking.submit(booking, visitor=visitor, clock=clock)
    stored = Booking.objects.get(pk=answer.pk)
    assert (answer.state, answer.appointment_ref) == (stored.state, stored.appointment_ref)
    return stored


def path_of(booking: Booking) -> list[str]:
    return list(booking.events.order_by("pk").values_list("new_state", flat=True))


def test_the_appointment_is_the_visit_that_was_chosen(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    booked = submit(held, visitor, clock)
    (made,) = clinic.appointments(booked)
    assert (booked.state, booked.appointment_ref) == ("booked", f"Appointment/{made['id']}")
    assert (booked.booked_at, booked.submitted_at, booked.posts, booked.look_up_at) == (
        clock(),
        clock(),
        1,
        None,
    )
    assert path_of(booked) == ["held", "submitting", "booked"]

    patient = Booking.objects.get(pk=booked.pk).patient
    assert made["status"] == "booked"
    assert [each["actor"]["reference"] for each in made["participant"]] == [
        clinic.clinician.ehr_ref,
        patient.ehr_patient_ref,
    ]
    assert (instant(made["start"]), instant(made["end"])) == (booked.starts_at, booked.ends_at)
    assert booked.ends_at - booked.starts_at == timedelta(minutes=30)
    (reason,) = made["reasonCode"]
    assert ([each["code"] for each in reason["coding"]], reason["text"]) == (["BACK"], clinic.reason.label)
    assert [(c["system"], c["code"]) for c in made["appointmentType"]["coding"]] == [(SNOMED, "448337001")]
    assert [(each["system"], each["value"]) for each in made["identifier"]] == [
        (BOOKING_SYSTEM, str(booked.pk))
    ]
    supporting = [each["reference"] for each in made["supportingInformation"]]
    assert supporting[0] == clinic.schedule.location.ehr_ref
    (endpoint,) = made["contained"]
    assert (endpoint["resourceType"], f"#{endpoint['id']}" in supporting) == ("Endpoint", True)
    assert endpoint["address"] == booked.video_url == clinic.clinician.ehr_room_url


def test_the_patient_is_made_as_they_said(clinic, visitor, clock):
    booked = submit(clinic.hold(visitor, now=clock()), visitor, clock)
    (made,) = clinic.patients(booked)
    person = booked.patient
    assert person.ehr_patient_ref == f"Patient/{made['id']}"
    assert [(name["family"], name["given"]) for name in made["name"]] == [(person.family_name, ["Ana"])]
    assert (made["birthDate"], made["gender"]) == ("1984-02-29", "female")
    assert [each["value"] for each in made["telecom"]] == [person.email]


def test_a_patient_already_known_is_not_made_again(clinic, visitor, clock):
    first = submit(clinic.hold(visitor, now=clock()), visitor, clock)
    second = submit(clinic.hold(visitor, now=clock(), patient=first.patient), visitor, clock)
    assert (first.patient_id, len(clinic.patients(second))) == (second.patient_id, 1)


def test_a_patient_on_file_is_found_by_a_proved_contact(clinic, visitor, clock):
    first = submit(clinic.hold(visitor, now=clock()), visitor, clock)
    same = factories.patient(
        family_name=first.patient.family_name, birth_date=first.patient.birth_date, email=first.patient.email
    )
    stranger = factories.visitor()
    second = submit(clinic.hold(stranger, now=clock(), patient=same), stranger, clock)
    same.refresh_from_db()
    assert same.ehr_patient_ref == first.patient.ehr_patient_ref
    assert (second.state, clinic.patients(second)) == ("booked", [])


def test_the_message_is_owed_once_and_with_the_booking(clinic, visitor, clock):
    booked = submit(clinic.hold(visitor, now=clock()), visitor, clock)
    assert messages(booked) == [("confirmation", "email", booked.contact_value)]


def test_a_clinician_without_a_room_gets_one_that_nobody_can_guess(clinic, visitor, clock, settings):
    type(clinic.clinician).objects.update(ehr_room_url="")
    rooms = [submit(clinic.hold(visitor, now=clock()), visitor, clock).video_url for _ in range(2)]
    assert [room.rsplit("/", 1)[0] for room in rooms] == [settings.VIDEO_BASE_URL] * 2
    assert [len(room.rsplit("/", 1)[1]) for room in rooms] == [22, 22]
    assert rooms[0] != rooms[1]


def test_the_desks_room_goes_before_the_ehrs(clinic, visitor, clock):
    type(clinic.clinician).objects.update(room_url="https://rooms.example/desk")
    booked = submit(clinic.hold(visitor, now=clock()), visitor, clock)
    assert clinic.appointments(booked)[0]["contained"][0]["address"] == "https://rooms.example/desk"


def test_a_phone_visit_has_no_room(clinic, visitor, clock, directory):
    from .conftest import make_clinic

    office = make_clinic(clinic.sandbox, directory, family="Nguyen")
    visit = office.visit(modality=Modality.PHONE)
    choice = office.choice(modality=Modality.PHONE)
    held = hold_slot.hold(visit, choice, visitor=visitor, now=clock())
    booked = submit(factories.give_details(held), visitor, clock)
    (made,) = office.appointments(booked)
    assert (booked.state, booked.video_url, made.get("contained", [])) == ("booked", "", [])
    assert [coding["code"] for coding in made["appointmentType"]["coding"]] == ["185317003"]


def test_a_second_submit_finds_the_visit_and_makes_nothing(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    before = clinic.posts()
    answers = [submit(held, visitor, clock) for _ in range(3)]
    assert {(each.pk, each.state, each.appointment_ref) for each in answers} == {
        (held.pk, "booked", answers[0].appointment_ref)
    }
    assert (clinic.posts() - before, len(clinic.appointments(held))) == (1, 1)
    assert messages(answers[0]) == [("confirmation", "email", held.contact_value)]


def test_another_visitor_cannot_load_it(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    with pytest.raises(Booking.DoesNotExist):
        confirm_booking.submit(held, visitor=factories.visitor(), clock=clock)
    held.refresh_from_db()
    assert (held.state, clinic.appointments(held)) == ("held", [])


@pytest.mark.parametrize(
    "missing", [{"contact_verified_at": None}, {"patient": None}], ids=["unproved-contact", "no-patient"]
)
def test_nothing_is_sent_before_the_patient_is_known_and_proved(clinic, visitor, clock, missing):
    held = clinic.hold(visitor, now=clock())
    Booking.objects.filter(pk=held.pk).update(**missing)
    with pytest.raises(Refusal) as refused:
        confirm_booking.submit(held, visitor=visitor, clock=clock)
    held.refresh_from_db()
    assert (refused.value.code, held.state) == (RefusalCode.NOT_OFFERED, "held")


def test_a_hold_that_ended_goes_on_while_its_time_is_free(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clock.tick(3600)
    booked = submit(held, visitor, clock)
    held.refresh_from_db()
    assert (held.state, booked.state, booked.starts_at) == ("expired", "booked", held.starts_at)
    assert (booked.patient_id, booked.contact_value) == (held.patient_id, held.contact_value)
    assert (len(clinic.appointments(booked)), clinic.appointments(held)) == (1, [])
    again = submit(held, visitor, clock)
    assert (again.pk, Booking.objects.filter(state="booked").count()) == (booked.pk, 1)


def test_a_hold_that_ended_and_is_taken_is_refused(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clock.tick(3600)
    rival = factories.visitor()
    clinic.hold(rival, now=clock(), choice=clinic.choice(held.starts_at))
    with pytest.raises(Refusal) as refused:
        confirm_booking.submit(held, visitor=visitor, clock=clock)
    held.refresh_from_db()
    assert (refused.value.code, held.state) == (RefusalCode.HOLD_ENDED, "expired")
    assert list(Booking.objects.of(rival).values_list("state", flat=True)) == ["held"]
    assert clinic.appointments(held) == []


def test_a_hold_that_ended_and_was_booked_in_the_ehr_is_refused(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clock.tick(3600)
    clinic.sandbox.staff_books(clinic.clinician.ehr_ref, held.starts_at, held.ends_at)
    with pytest.raises(Refusal) as refused:
        confirm_booking.submit(held, visitor=visitor, clock=clock)
    assert refused.value.code == RefusalCode.HOLD_ENDED


def test_a_time_booked_in_the_ehr_since_the_hold_is_refused_before_any_create(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.staff_books(clinic.clinician.ehr_ref, held.starts_at, held.ends_at)
    before = clinic.posts()
    refused = submit(held, visitor, clock)
    assert (refused.state, refused.failure, refused.posts) == ("refused", "time_taken", 0)
    assert (clinic.posts() - before, messages(refused)) == (0, [])


def test_a_time_held_soon_enough_is_booked_however_soon_it_has_become(clinic, visitor, clock):
    choice = clinic.soonest(clock, hold_minutes=10)
    held = clinic.hold(visitor, now=clock(), choice=choice)
    clock.tick(9 * 60)
    # Who chooses it only now comes too late.
    with pytest.raises(Refusal) as refused:
        clinic.hold(factories.visitor(), now=clock(), choice=choice)
    assert refused.value.code == RefusalCode.TOO_SOON
    assert submit(held, visitor, clock).state == "booked"


def test_a_hold_that_ended_does_not_keep_the_lead_time(clinic, visitor, clock):
    choice = clinic.soonest(clock, hold_minutes=10)
    held = clinic.hold(visitor, now=clock(), choice=choice)
    clock.tick(11 * 60)
    with pytest.raises(Refusal) as refused:
        confirm_booking.submit(held, visitor=visitor, clock=clock)
    held.refresh_from_db()
    assert (refused.value.code, held.state) == (RefusalCode.HOLD_ENDED, "expired")
    assert clinic.appointments(held) == []


def test_a_license_lost_since_the_hold_is_refused_before_any_create(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clinic.clinician.licenses.filter(jurisdiction="CA").delete()
    refused = submit(held, visitor, clock)
    assert (refused.state, refused.failure, clinic.appointments(held)) == ("refused", "not_licensed", [])


UNAVAILABLE = [
    pytest.param({"kind": "403-html", "method": "GET", "type": "Slot"}, id="last-look-blocked"),
    pytest.param({"kind": "500", "method": "GET", "type": "Slot", "times": None}, id="last-look-broken"),
    pytest.param({"kind": "403-html", "method": "GET", "type": "Patient"}, id="patient-search-blocked"),
    pytest.param({"kind": "429", "method": "POST", "type": "Patient"}, id="patient-create-turned-away"),
    pytest.param({"kind": "429", "method": "POST", "type": "Appointment"}, id="create-turned-away"),
    pytest.param({"kind": "403-html", "method": "POST", "type": "Appointment"}, id="create-blocked"),
]


@pytest.mark.parametrize("fault", UNAVAILABLE)
def test_when_the_ehr_is_away_the_time_is_held_again_and_nothing_is_made(clinic, visitor, clock, fault):
    held = clinic.hold(visitor, now=clock())
    clock.tick(500)
    clinic.sandbox.faults(**fault)
    with pytest.raises(EhrUnavailable):
        confirm_booking.submit(held, visitor=visitor, clock=clock)
    held.refresh_from_db()
    assert (held.state, held.look_up_at, held.appointment_ref) == ("held", None, "")
    assert held.hold_expires_at == clock() + timedelta(minutes=10)
    assert (clinic.appointments(held), messages(held)) == ([], [])
    assert path_of(held) == ["held", "submitting", "held"]

    clinic.sandbox.clear_faults()
    booked = submit(held, visitor, clock)
    assert (booked.state, len(clinic.appointments(booked)), len(clinic.patients(booked))) == ("booked", 1, 1)


def test_when_the_ehr_calls_the_time_taken_it_is_refused(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("422", method="POST", type="Appointment")
    refused = submit(held, visitor, clock)
    assert (refused.state, refused.failure, refused.appointment_ref) == ("refused", "time_taken", "")
    assert (clinic.appointments(held), messages(refused)) == ([], [])


def test_what_the_ehr_does_not_accept_is_refused(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    type(clinic.reason).objects.update(coding_code="NO-SUCH-CODE")
    refused = submit(held, visitor, clock)
    assert (refused.state, refused.failure) == ("refused", "not_accepted")
    assert (clinic.appointments(held), messages(refused)) == ([], [])


def test_a_refused_time_is_free_for_others_at_once(clinic, visitor, clock):
    held = clinic.hold(visitor, now=clock())
    clinic.sandbox.faults("422", method="POST", type="Appointment")
    submit(held, visitor, clock)
    rival = clinic.hold(factories.visitor(), now=clock(), choice=clinic.choice(held.starts_at))
    assert rival.state == BookingState.HELD


def test_a_visit_in_hand_is_never_submitted_twice_at_once(clinic, visitor, clock):
    """The second press while the first is out: it sees an attempt under way and sends nothing."""
    held = clinic.hold(visitor, now=clock())
    answers = []

    def pressed_again() -> datetime:
        if not answers and Booking.objects.get(pk=held.pk).state == "submitting":
            answers.append(confirm_booking.submit(held, visitor=visitor, clock=clock).state)
        return clock()

    booked = submit(held, visitor, pressed_again)
    assert (answers, booked.state, len(clinic.appointments(held))) == (["submitting"], "booked", 1)


def test_the_database_refuses_booked_without_an_appointment(clinic, visitor, clock):
    from django.db import IntegrityError, transaction

    held = clinic.hold(visitor, now=clock())
    with pytest.raises(IntegrityError, match="booking_booked_has_appointment"), transaction.atomic():
        Booking.objects.filter(pk=held.pk).update(state=BookingState.BOOKED)


def test_the_message_and_the_state_stand_or_fall_together(clinic, visitor, clock, monkeypatch):
    """Killed between the two: neither is there, and reconcile finds the visit."""
    held = clinic.hold(visitor, now=clock())

    class Killed(BaseException):
        pass

    def killed(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(notify, "owe", killed)
        with pytest.raises(Killed):
            confirm_booking.submit(held, visitor=visitor, clock=clock)
    held.refresh_from_db()
    assert (held.state, held.appointment_ref, Message.objects.count()) == ("submitting", "", 0)
    assert len(clinic.appointments(held)) == 1
