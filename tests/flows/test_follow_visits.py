"""Visits that staff move or cancel in the EHR: the booking follows, and the patient is told once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from icalendar import Calendar

from booking import ehr
from booking.flows import confirm_booking
from booking.flows.follow_visits import follow_visits
from booking.messaging.calendar import calendar_file
from booking.models import Booking, Message
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import AppointmentMove
from tests import factories


@pytest.fixture
def booked(clinic: Any, visitor: Any, clock: Any) -> Booking:
    found = clinic.book(visitor, clock)
    Message.objects.update(state=Message.State.SENT)
    return found


def later(clinic: Any, booking: Booking, count: int = 1) -> list[Any]:
    """Free times well after the visit's own."""
    found = [slot for slot in clinic.free() if slot.starts_at >= booking.ends_at + timedelta(hours=2)]
    return found[::4][:count]


def owed(booking: Booking) -> list[tuple[str, str]]:
    return list(booking.messages.order_by("created_at").values_list("kind", "state"))


def staff_move(clinic: Any, booking: Booking, slot: Any) -> str:
    """As on Canvas' own screen: a new Appointment, the old one cancelled, each linked to the other."""
    key = booking.appointment_ref.removeprefix("Appointment/")
    return f"Appointment/{clinic.sandbox.staff_moves(key, slot.starts_at, slot.ends_at)}"


def move_in_place(booking: Booking, slot: Any) -> None:
    """As another client of the EHR does: the same Appointment, with new times."""
    ehr.gateway().move_appointment(
        AppointmentMove(
            appointment_ref=booking.appointment_ref,
            booking_id=booking.pk,
            schedule_ref=booking.schedule.ehr_ref,
            practitioner_ref=booking.clinician.ehr_ref,
            location_ref=booking.schedule.location.ehr_ref,
            starts_at=slot.starts_at,
            ends_at=slot.ends_at,
            appointment_type=booking.reason.to_term().appointment_types[booking.modality],
        )
    )


def test_nothing_changes_where_nothing_changed(booked, clock):
    assert follow_visits(clock=clock) == 0
    assert owed(booked) == [("confirmation", "sent")]


def test_a_visit_handed_on_to_another_appointment_is_followed(clinic, booked, clock):
    (slot,) = later(clinic, booked)
    ref = staff_move(clinic, booked, slot)
    assert follow_visits(clock=clock) == 1
    booked.refresh_from_db()
    assert (booked.state, booked.appointment_ref, booked.starts_at, booked.ends_at) == (
        BookingState.BOOKED,
        ref,
        slot.starts_at,
        slot.ends_at,
    )
    assert owed(booked) == [("confirmation", "sent"), ("moved", "due")]
    event = booked.events.last()
    assert (event.old_state, event.new_state, event.actor, event.note) == (
        "booked",
        "booked",
        "system",
        "changed in the EHR",
    )


def test_a_visit_moved_in_place_is_followed(clinic, booked, clock):
    (slot,) = later(clinic, booked)
    move_in_place(booked, slot)
    ref = booked.appointment_ref
    assert follow_visits(clock=clock) == 1
    booked.refresh_from_db()
    assert (booked.appointment_ref, booked.starts_at) == (ref, slot.starts_at)


def test_each_move_is_told_once_and_a_calendar_changes_its_event(clinic, booked, clock):
    first, second = later(clinic, booked, 2)
    for number, slot in enumerate((first, second), start=1):
        move_in_place(booked, slot)
        clock.tick(1000)
        assert follow_visits(clock=clock) == 1
        assert follow_visits(clock=clock) == 0
        booked.refresh_from_db()
        (event,) = Calendar.from_ical(calendar_file(booked)).walk("VEVENT")
        assert (event["sequence"], event["dtstart"].dt) == (number, slot.starts_at)
    assert [kind for kind, _ in owed(booked)] == ["confirmation", "moved", "moved"]


def test_a_visit_that_staff_cancelled_is_cancelled_and_its_time_is_free(clinic, booked, clock):
    clinic.sandbox.staff_cancels(booked.appointment_ref.removeprefix("Appointment/"))
    assert follow_visits(clock=clock) == 1
    booked.refresh_from_db()
    assert booked.state == BookingState.CANCELLED
    assert owed(booked) == [("confirmation", "sent"), ("cancelled", "due")]
    assert not Booking.objects.claiming(clock()).filter(pk=booked.pk).exists()
    assert follow_visits(clock=clock) == 0


def test_a_visit_that_the_ehr_does_not_find_is_not_called_cancelled(booked, clock, caplog):
    Booking.objects.filter(pk=booked.pk).update(
        appointment_ref="Appointment/11111111-0000-4000-8000-000000000000"
    )
    assert follow_visits(clock=clock) == 0
    booked.refresh_from_db()
    assert booked.state == BookingState.BOOKED
    assert owed(booked) == [("confirmation", "sent")]
    assert f"the appointment of booking {booked.pk} is not in the EHR any more" in caplog.text


def test_somebody_elses_hold_on_the_new_time_ends(clinic, booked, clock):
    (slot,) = later(clinic, booked)
    other = clinic.hold(factories.visitor(), now=clock(), choice=clinic.choice(slot.starts_at))
    move_in_place(booked, slot)
    assert follow_visits(clock=clock) == 1
    other.refresh_from_db()
    assert (other.state, other.events.last().note) == (BookingState.RELEASED, "taken in the EHR")


def test_a_visit_moved_onto_another_is_before_staff_until_the_other_is_out_of_the_way(
    clinic, booked, clock, caplog
):
    (slot,) = later(clinic, booked)
    stranger, before = factories.visitor(), booked.starts_at
    held = clinic.hold(stranger, now=clock(), choice=clinic.choice(slot.starts_at))
    other = confirm_booking.submit(held, visitor=stranger, clock=clock)
    move_in_place(booked, slot)
    assert [follow_visits(clock=clock), follow_visits(clock=lambda: clock.tick(901))] == [1, 0]
    assert f"booking {booked.pk} was moved onto another visit" in caplog.text
    for each in (booked, other):
        each.refresh_from_db()
    assert (booked.state, booked.starts_at, booked.is_moved_onto_another) == ("booked", before, True)
    assert list(Booking.objects.for_staff()) == [booked]
    assert booked.events.filter(note="moved in the EHR onto another visit").count() == 1
    # It cannot be told when, so nothing is told by message; the other patient has nothing to do with it.
    assert owed(booked) == [("confirmation", "sent")]
    assert (other.state, other.attention) == (BookingState.BOOKED, "")

    clinic.sandbox.staff_cancels(other.appointment_ref.removeprefix("Appointment/"))
    for _ in range(2):
        clock.tick(901)
        follow_visits(clock=clock)
    booked.refresh_from_db()
    assert (booked.starts_at, booked.attention) == (slot.starts_at, "")
    assert owed(booked) == [("confirmation", "sent"), ("moved", "due")]


def test_visits_take_turns_and_are_left_alone_in_between(clinic, booked, clock, settings):
    assert follow_visits(clock=clock) == 0
    calls = clinic.calls("GET", "Appointment")
    clock.tick(settings.EHR_FOLLOW_SECONDS - 1)
    follow_visits(clock=clock)
    assert clinic.calls("GET", "Appointment") == calls
    clock.tick(2)
    follow_visits(clock=clock)
    assert clinic.calls("GET", "Appointment") == calls + 1


def test_an_ehr_that_is_away_is_asked_once_a_run(clinic, booked, clock):
    clinic.sandbox.faults(method="GET", type="Appointment", kind="403-html", times=None)
    factories.booking(
        clinician=clinic.clinician, reason=clinic.reason, starts_at=booked.starts_at + timedelta(days=3)
    )
    calls = clinic.calls("GET", "Appointment")
    assert follow_visits(clock=clock) == 0
    assert clinic.calls("GET", "Appointment") == calls + 1
    booked.refresh_from_db()
    assert (booked.state, booked.followed_at) == (BookingState.BOOKED, None)


def test_a_visit_that_is_over_is_not_looked_at(clinic, booked, clock):
    clock.tick(60 * 24 * 3600)
    calls = clinic.calls("GET", "Appointment")
    assert follow_visits(clock=clock) == 0
    assert clinic.calls("GET", "Appointment") == calls
