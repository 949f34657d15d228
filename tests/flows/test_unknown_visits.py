"""After a restore from a backup: what was booked since is in the EHR, and is listed for staff."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from booking.flows import change_booking
from booking.models import Booking, BookingEvent, Message
from tests import factories

from .conftest import Clinic, Clock


def forget(*bookings: Booking) -> None:
    """As if the backup had been made before them."""
    for model in (Message, BookingEvent):
        model.objects.filter(booking__in=bookings).delete()
    Booking.objects.filter(pk__in=[each.pk for each in bookings]).delete()


def said(*words: str) -> str:
    out = StringIO()
    call_command("find_unknown_visits", *words, stdout=out)
    return out.getvalue()


def test_visits_booked_after_the_backup_are_listed_and_no_others(clinic: Clinic, clock: Clock) -> None:
    visitors = [factories.visitor() for _ in range(3)]
    known, lost, cancelled = (clinic.book(visitor, clock) for visitor in visitors)
    change_booking.cancel_booking(cancelled, visitor=visitors[2], clock=clock)
    at = clinic.free()[0].starts_at
    clinic.sandbox.staff_books(clinic.clinician.ehr_ref, at, at + timedelta(minutes=30))
    assert said() == "Every visit of the next 29 days that was booked here is known here.\n"
    forget(lost, cancelled)
    out = StringIO()
    with pytest.raises(CommandError, match="not known here: 1"):
        call_command("find_unknown_visits", stdout=out)
    when = f"{lost.starts_at:%Y-%m-%d %H:%M UTC}"
    assert out.getvalue() == (
        f"{when}  {clinic.clinician.full_name}  {lost.appointment_ref} (booked)  booking {lost.pk}\n"
    )
    assert Booking.objects.get().pk == known.pk


def test_a_list_that_is_not_complete_is_an_error(clinic: Clinic) -> None:
    clinic.sandbox.faults("403-html", method="GET", type="Appointment", times=None)
    with pytest.raises(CommandError, match="The list is not complete"):
        said()


def test_days_that_are_none_are_refused(db: None) -> None:
    with pytest.raises(CommandError, match="--days is a number from 1 to 1000"):
        said("--days", "0")
