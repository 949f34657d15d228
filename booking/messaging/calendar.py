"""The calendar file of a visit (RFC 5545): time, clinic and a link; no reason, specialty or clinician."""

from __future__ import annotations

from datetime import UTC

from django.conf import settings
from icalendar import Calendar, Event

from booking.models import Booking, Message

from .links import visit_link
from .words import place_of, when_of


def calendar_file(booking: Booking) -> str:
    """Text of a ``text/calendar`` file with one event; the same booking always has the same UID."""
    event = Event()
    event.add("uid", f"{booking.pk}@{settings.PORTAL_HOST}")
    # Each move is a later version of the same event, which a calendar then changes instead of adding a second.
    moves = list(Message.objects.filter(booking=booking, kind="moved").values_list("created_at", flat=True))
    event.add("sequence", len(moves))
    event.add("dtstamp", max([booking.booked_at or booking.created_at, *moves]).astimezone(UTC))
    # In UTC: a local time cannot say which of two equal hours it means when the clocks go back, and the rules of a
    # zone that come with a file are read differently from one calendar to the next.
    event.add("dtstart", booking.starts_at.astimezone(UTC))
    event.add("dtend", booking.ends_at.astimezone(UTC))
    event.add("summary", f"Visit with {settings.CLINIC_NAME}")
    event.add("location", ", ".join(place_of(booking)))
    link = visit_link(booking)
    lines = (
        f"{when_of(booking)}.",
        f"Details and how to join: {link}",
        f"Questions? Call {settings.CLINIC_PHONE}.",
    )
    event.add("description", "\n".join(lines))
    event.add("url", link)
    event.add("status", "CONFIRMED")
    calendar = Calendar()
    calendar.add("prodid", "-//Patient self-scheduling portal//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    return calendar.to_ical().decode()
