"""The calendar file of a visit (RFC 5545): time, clinic and a link; no reason, specialty or clinician."""

from __future__ import annotations

from datetime import UTC, timedelta

from django.conf import settings
from icalendar import Calendar, Event

from booking.models import Booking, Message
from booking.scheduling.clock import zone

from .links import visit_link
from .words import place_of, zone_of


def calendar_file(booking: Booking) -> str:
    """Text of a ``text/calendar`` file with one event; the same booking always has the same UID."""
    event = Event()
    event.add("uid", f"{booking.pk}@{settings.PORTAL_HOST}")
    # Each move is a later version of the same event, which a calendar then changes instead of adding a second.
    moves = list(Message.objects.filter(booking=booking, kind="moved").values_list("created_at", flat=True))
    event.add("sequence", len(moves))
    event.add("dtstamp", max([booking.booked_at or booking.created_at, *moves]).astimezone(UTC))
    place = zone(zone_of(booking))
    event.add("dtstart", booking.starts_at.astimezone(place))
    event.add("dtend", booking.ends_at.astimezone(place))
    event.add("summary", f"Visit with {settings.CLINIC_NAME}")
    event.add("location", ", ".join(place_of(booking)))
    link = visit_link(booking)
    event.add("description", f"Details and how to join: {link}\nQuestions? Call {settings.CLINIC_PHONE}.")
    event.add("url", link)
    event.add("status", "CONFIRMED")
    calendar = Calendar()
    calendar.add("prodid", "-//Patient self-scheduling portal//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    # The zone's rules around the visit are enough; all of its history would make the file five times as long.
    calendar.add_missing_timezones(
        first_date=booking.starts_at.date() - timedelta(days=366),
        last_date=booking.ends_at.date() + timedelta(days=366),
    )
    return calendar.to_ical().decode()
