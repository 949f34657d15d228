"""A booking in words, for messages and pages alike."""

from __future__ import annotations

from booking.models import Booking
from booking.scheduling.clock import when_words
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.terms import Modality

MODALITY_WORDS = {
    Modality.VIDEO: "Video visit",
    Modality.IN_PERSON: "Visit in person",
    Modality.PHONE: "Phone visit",
}


def zone_of(booking: Booking) -> str:
    """The zone a booking is worded in: the place's own for a visit in person, else the patient's."""
    return booking.schedule.location.time_zone if booking.modality == Modality.IN_PERSON else booking.zone


def when_of(booking: Booking) -> str:
    return when_words(booking.starts_at, zone_of(booking))


def place_of(booking: Booking) -> tuple[str, ...]:
    """Where the visit is: the address in person, else how it is held."""
    if booking.modality == Modality.IN_PERSON:
        location = booking.schedule.location
        return (location.name, *filter(None, location.address.splitlines()))
    return ("Online, by video",) if booking.modality == Modality.VIDEO else ("By phone: we call you",)


def license_words(jurisdiction: str, compact: str) -> str:
    """ "Licensed in California", or by way of a compact "May see patients in Colorado (PSYPACT)"."""
    place = JURISDICTIONS[jurisdiction].name
    return f"May see patients in {place} ({compact})" if compact else f"Licensed in {place}"
