"""The states of a booking and the moves between them. Every write compares and sets on the old state."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum


class BookingState(StrEnum):
    HELD = "held"
    EXPIRED = "expired"
    RELEASED = "released"
    SUBMITTING = "submitting"
    UNCONFIRMED = "unconfirmed"
    BOOKED = "booked"
    REFUSED = "refused"
    NEEDS_STAFF = "needs_staff"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


S = BookingState

TRANSITIONS: dict[BookingState, frozenset[BookingState]] = {
    S.HELD: frozenset({S.SUBMITTING, S.EXPIRED, S.RELEASED}),
    # Back to held when the EHR surely did nothing and trying again can help: the patient keeps the time.
    S.SUBMITTING: frozenset({S.BOOKED, S.REFUSED, S.UNCONFIRMED, S.HELD}),
    S.UNCONFIRMED: frozenset({S.BOOKED, S.REFUSED, S.NEEDS_STAFF, S.UNCONFIRMED}),
    # Cancelled only what was booked and whose cancelling came to staff.
    S.NEEDS_STAFF: frozenset({S.BOOKED, S.REFUSED, S.CANCELLED}),
    S.BOOKED: frozenset({S.CANCELLING}),
    S.CANCELLING: frozenset({S.CANCELLED, S.BOOKED, S.NEEDS_STAFF}),
    S.EXPIRED: frozenset(),
    S.RELEASED: frozenset(),
    S.REFUSED: frozenset(),
    S.CANCELLED: frozenset(),
}

# While in one of these a booking takes its time from everybody else (a hold only until it expires).
CLAIMING = frozenset({S.HELD, S.SUBMITTING, S.UNCONFIRMED, S.NEEDS_STAFF, S.BOOKED, S.CANCELLING})

# Meanwhile nobody knows whether the EHR has the visit.
IN_DOUBT = frozenset({S.SUBMITTING, S.UNCONFIRMED, S.NEEDS_STAFF})

# What the EHR says of it is still to come, and is looked up.
WAITING = frozenset({S.SUBMITTING, S.UNCONFIRMED, S.CANCELLING})
# From then on such a booking is only looked at once more: a minute is left for that until the quarter of an hour is over.
PATIENCE = timedelta(minutes=14)

# Statuses of an Appointment (FHIR appointmentstatus) that will not take place.
GONE = frozenset({"cancelled", "entered-in-error", "noshow"})


class IllegalTransition(Exception):
    pass


def check(old: BookingState, new: BookingState) -> None:
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(f"a booking cannot go from {old} to {new}")
