"""What messages say: short, the clinic first, no reason, specialty or clinician, and nothing to click but one link."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from booking.models import Booking, Message
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality

from .calendar import calendar_file
from .channels import Text
from .links import visit_link
from .words import place_of, when_of


def render(message: Message) -> Text:
    return _TEXTS[message.kind](message.booking, message.channel == Message.Channel.SMS)


def _how(booking: Booking) -> str:
    if booking.modality == Modality.VIDEO:
        return "It is a video visit. The link below shows how to join."
    if booking.modality == Modality.PHONE:
        return "It is a phone visit. We call you at the time of the visit."
    return "Where: " + ", ".join(place_of(booking))


def _confirmation(booking: Booking, is_sms: bool) -> Text:
    clinic, link = settings.CLINIC_NAME, visit_link(booking)
    if is_sms:
        return Text(
            f"{clinic}: your visit is booked for {when_of(booking)}. Details: {link} "
            f"To change it call {settings.CLINIC_PHONE}. Reply STOP to end texts."
        )
    lines = (
        "See your visit, how to join and how to change it:",
        link,
        "",
        f"Questions? Call {settings.CLINIC_PHONE}.",
    )
    return _mail_with_visit(
        booking,
        "Your visit is booked.",
        "When",
        (*lines, "If this is an emergency, call 911."),
        subject=f"{clinic}: your visit is booked",
    )


def _mail_with_visit(
    booking: Booking, said: str, when_label: str, lines: tuple[str, ...], *, subject: str
) -> Text:
    """What happened, when and how the visit is, what to do; with the calendar file."""
    head = (settings.CLINIC_NAME, "", said, "", f"{when_label}: {when_of(booking)}", _how(booking), "")
    attachment = ("visit.ics", calendar_file(booking), "text/calendar")
    return Text("\n".join((*head, *lines, "")), subject=subject, attachments=(attachment,))


def _short(said: str, is_sms: bool, *, mail: str, subject: str) -> Text:
    """One sentence or two, as a text or as a mail."""
    clinic = settings.CLINIC_NAME
    if is_sms:
        return Text(f"{clinic}: {said}")
    return Text(f"{clinic}\n\n{mail}\n", subject=f"{clinic}: {subject}")


def _not_booked(booking: Booking, is_sms: bool) -> Text:
    said = (
        f"the visit on {when_of(booking)} could not be booked, and nothing was made. "
        f"Please choose another time at {settings.PORTAL_URL} or call {settings.CLINIC_PHONE}."
    )
    old = booking.replaces
    if old is not None and old.status is BookingState.BOOKED:
        said += f" Your visit on {when_of(old)} stands as it was."
    return _short(said, is_sms, mail=f"We are sorry: {said}", subject="please choose another time")


def _needs_staff(booking: Booking, is_sms: bool) -> Text:
    said = (
        f"we are still confirming the visit you asked for on {when_of(booking)}. The time is kept for you, and "
        f"our staff will contact you. You can also call {settings.CLINIC_PHONE}."
    )
    return _short(said, is_sms, mail=f"A short update: {said}", subject="we are confirming your visit")


def _cancel_needs_staff(booking: Booking, is_sms: bool) -> Text:
    said = (
        f"you asked to cancel the visit on {when_of(booking)}, and that is not confirmed yet. "
        f"Our staff will contact you. You can also call {settings.CLINIC_PHONE}."
    )
    return _short(said, is_sms, mail=f"A short update: {said}", subject="we are canceling your visit")


def _moved(booking: Booking, is_sms: bool) -> Text:
    clinic, link = settings.CLINIC_NAME, visit_link(booking)
    if is_sms:
        return Text(
            f"{clinic}: your visit has been moved. It is now on {when_of(booking)}. Details: {link} "
            f"If that does not suit you, call {settings.CLINIC_PHONE}."
        )
    lines = (
        "See your visit and how to join:",
        link,
        "",
        f"If that does not suit you, call {settings.CLINIC_PHONE}.",
    )
    return _mail_with_visit(
        booking,
        "Your visit has been moved." if booking.replaces_id else "The clinic has moved your visit.",
        "It is now",
        lines,
        subject=f"{clinic}: your visit has been moved",
    )


def _cancelled(booking: Booking, is_sms: bool) -> Text:
    said = (
        f"the visit on {when_of(booking)} has been canceled. "
        f"To book another one go to {settings.PORTAL_URL} or call {settings.CLINIC_PHONE}."
    )
    return _short(said, is_sms, mail=said[0].upper() + said[1:], subject="your visit was canceled")


_TEXTS: dict[str, Callable[[Booking, bool], Text]] = {
    "confirmation": _confirmation,
    "not_booked": _not_booked,
    "needs_staff": _needs_staff,
    "cancel_needs_staff": _cancel_needs_staff,
    "moved": _moved,
    "cancelled": _cancelled,
}
