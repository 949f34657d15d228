"""Holds and bookings in finished words."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.urls import reverse

from booking.flows import clinic_rules, notify
from booking.messaging.words import MODALITY_WORDS, license_words, place_of, when_of, zone_of
from booking.models import Booking, Message
from booking.scheduling.clock import date_words, local_day, time_words, zone_words
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality

from .presenters import HoldNotice, SummaryRow, VisitCard
from .refusals import notice_for

_STATES = {
    BookingState.BOOKED: "booked",
    BookingState.CANCELLING: "cancelling",
    BookingState.SUBMITTING: "confirming",
    BookingState.UNCONFIRMED: "confirming",
    BookingState.REFUSED: "refused",
    BookingState.NEEDS_STAFF: "needs_staff",
    BookingState.CANCELLED: "cancelled",
}


def hold_notice(booking: Booking, now: datetime) -> HoldNotice | None:
    """None when it is not held any more."""
    if not booking.is_live_hold(now):
        return None
    return HoldNotice(
        when_words=when_of(booking),
        clinician_name=booking.clinician.full_name,
        until_words=f"{time_words(booking.hold_full_expires_at, booking.zone)} {zone_words(booking.zone)} time",
        seconds_left=int((booking.hold_full_expires_at - now).total_seconds()),
        can_extend=not booking.hold_is_extended,
    )


def _contact_words(booking: Booking) -> str:
    channel = notify.channel_for(booking)
    if channel is None:
        return ""
    kind, value = channel
    return (
        f"text to the number ending in {value[-4:]}" if kind == Message.Channel.SMS else f"e-mail to {value}"
    )


def _state(booking: Booking) -> str:
    if booking.status is BookingState.NEEDS_STAFF and booking.cancelling_at:
        return "staff_cancel"
    if booking.is_moved_onto_another:
        return "staff_move"
    return _STATES.get(booking.status, "cancelled")


def visit_card(booking: Booking, *, now: datetime, is_owner: bool = True) -> VisitCard:
    """``is_owner`` False is for a link in a message: no name, reason or contact is shown."""
    zone = zone_of(booking)
    on = local_day(booking.starts_at, zone)
    minutes = int((booking.ends_at - booking.starts_at).total_seconds() // 60)
    is_booked = booking.state == BookingState.BOOKED and not booking.is_moved_onto_another
    policy = clinic_rules.current().policy_record
    contact = _contact_words(booking) if is_owner else ""
    return VisitCard(
        state=_state(booking),
        weekday=f"{on:%A}",
        month=f"{on:%B}",
        day_number=str(on.day),
        date_words=date_words(on),
        time_words=time_words(booking.starts_at, zone),
        zone_words=f"{zone_words(zone)} time",
        length_words=f"{minutes} minutes",
        clinician_name=booking.clinician.full_name,
        clinician_detail=license_words(booking.jurisdiction, booking.license_compact),
        modality_words=MODALITY_WORDS[Modality(booking.modality)],
        place_lines=place_of(booking),
        patient_name=str(booking.patient) if is_owner and booking.patient else "",
        join_url=booking.video_url if is_booked and booking.is_by_video else "",
        room_words=_room_words(booking),
        calendar_url=reverse("visit_calendar", args=[booking.pk]) if is_booked and is_owner else "",
        message_words=f"We are sending a confirmation by {contact}." if is_booked and contact else "",
        change_words=policy.change_words,
        prepare=tuple(line.strip() for line in booking.reason.prepare.splitlines() if line.strip())
        if is_owner
        else (),
        refusal=notice_for(booking.failure)
        if booking.state == BookingState.REFUSED and booking.failure
        else None,
        times_url=reverse("times"),
        refresh_url=reverse("visit", args=[booking.pk]) if is_owner else "",
        rows=tuple(visit_rows(booking)) if is_owner else (),
    )


def _room_words(booking: Booking) -> str:
    if booking.modality == Modality.VIDEO:
        return (
            "Open this page at the time of your visit and choose Join. You need a camera and a quiet place."
        )
    if booking.modality == Modality.PHONE:
        return f"{settings.CLINIC_NAME} calls you at the time of your visit. Keep your phone near you."
    return "Please come 10 minutes early and bring a photo ID."


def visit_rows(booking: Booking, *, with_changes: bool = False) -> list[SummaryRow]:
    """A booking as a list of labels and values; with links to change each while it is not booked."""

    def url(name: str, query: str = "") -> str:
        return reverse(name) + query if with_changes else ""

    rows = [
        SummaryRow("Reason for visit", booking.reason.label, url("start")),
        SummaryRow(
            "When",
            "The clinic is moving it" if booking.is_moved_onto_another else when_of(booking),
            url("times"),
        ),
        SummaryRow("How", MODALITY_WORDS[Modality(booking.modality)], url("times")),
        SummaryRow("Clinician", booking.clinician.full_name, url("times")),
        SummaryRow("You will be in", JURISDICTIONS[booking.jurisdiction].name, url("choose_state")),
    ]
    if booking.modality == Modality.IN_PERSON:
        rows.insert(3, SummaryRow("Where", ", ".join(place_of(booking))))
    if booking.patient:
        born = booking.patient.birth_date
        rows.append(SummaryRow("Visit for", str(booking.patient), url("details")))
        rows.append(SummaryRow("Date of birth", f"{born:%B} {born.day}, {born.year}", url("details")))
    contact = _contact_words(booking)
    if contact:
        rows.append(SummaryRow("Confirmation", contact[0].upper() + contact[1:], url("contact", "?change=1")))
    return rows
