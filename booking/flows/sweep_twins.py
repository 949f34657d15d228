"""Late twins: visits that a create without an answer left in the EHR beside, or in spite of, what we settled.

After a booking that was in doubt is settled, the EHR is looked at for a day, ever less often (``SWEEP_AFTER``). What
carries our identifier, for the same patient, clinician and time, and is not the visit of the booking, is cancelled and
put before staff. What only resembles it is left to staff.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from booking import ehr
from booking.models import Booking, BookingEvent
from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable, OutcomeUnknown
from booking.scheduling.lifecycle import GONE, BookingState
from booking.scheduling.terms import AppointmentRecord

from . import confirm_booking, reconcile
from .confirm_booking import SWEEP_AFTER, Clock

log = logging.getLogger(__name__)

MOST_AT_ONCE = 50
# No visit stands for a booking in one of these, so whatever the EHR has of it is surplus.
OVER = (BookingState.REFUSED, BookingState.CANCELLED)


def sweep(*, clock: Clock) -> int:
    """Look for twins of what is due. Returns how many bookings were looked at. Stops where the EHR does not answer."""
    now = clock()
    due = (
        Booking.objects.filter(sweep_at__lte=now)
        .select_related("clinician", "schedule__location", "patient", "reason")
        .order_by("sweep_at")[:MOST_AT_ONCE]
    )
    looked_at = 0
    for booking in due:
        if not _take(booking, clock()):
            continue
        looked_at += 1
        try:
            is_done = look(booking, clock=clock)
        except (EhrUnavailable, OutcomeUnknown) as error:
            log.warning("twins not looked for: %s (EHR id %s)", error, error.correlation_id)
            break
        except EhrFailure as error:
            log.error(
                "twins not looked for: %s (status %s, EHR id %s)", error, error.status, error.correlation_id
            )
            is_done = True
        if is_done:
            _next(booking, clock())
    return looked_at


def _take(booking: Booking, now: datetime) -> bool:
    """Whoever moves the time on looks; should the look break off, it is made again then."""
    again_at = now + ehr.longest_write()
    taken = Booking.objects.filter(pk=booking.pk, state=booking.state, sweep_at=booking.sweep_at)
    booking.sweep_at = again_at
    return bool(taken.update(sweep_at=again_at))


def _next(booking: Booking, now: datetime) -> None:
    looks = booking.sweeps + 1
    at = now + (SWEEP_AFTER[looks] - SWEEP_AFTER[looks - 1]) if looks < len(SWEEP_AFTER) else None
    # Not where the booking was settled anew meanwhile, which began the looks again.
    Booking.objects.filter(pk=booking.pk, sweep_at=booking.sweep_at).update(sweep_at=at, sweeps=looks)


def look(booking: Booking, *, clock: Clock) -> bool:
    """One look; False when there is more to do soon. Raises ``EhrFailure``."""
    if booking.status is BookingState.CANCELLING:
        return False
    live = _live(booking)
    if booking.status is BookingState.NEEDS_STAFF:
        # One that came late after all is no twin but the visit itself.
        is_visit = bool(live) and booking.cancelling_at is None
        return not (is_visit and confirm_booking.confirm(booking, live[0].ref, clock=clock))
    if booking.status is BookingState.BOOKED:
        if not live or not _stands(booking, live):
            # Nothing is cancelled while the visit of the booking is not seen to stand.
            return True
        live = [record for record in live if record.ref != booking.appointment_ref]
    elif booking.status not in OVER:
        return True
    for record in live:
        _settle(booking, record)
    return True


def _live(booking: Booking) -> list[AppointmentRecord]:
    found = reconcile.look_up(booking)
    return [record for record in found if record.status not in GONE and booking.pk in record.booking_ids]


def _stands(booking: Booking, live: Sequence[AppointmentRecord]) -> bool:
    if any(record.ref == booking.appointment_ref for record in live):
        return True
    current = ehr.gateway().current_appointment(booking.appointment_ref)
    return current is not None and current.status not in GONE


def _settle(booking: Booking, surplus: AppointmentRecord) -> None:
    log.error("booking %s has a surplus appointment in the EHR: %s", booking.pk, surplus.ref)
    if not _is_copy(booking, surplus):
        _note(booking, f"two visits: {surplus.ref}", "Two visits in the EHR, settle there")
        return
    try:
        ehr.gateway().cancel_appointment(surplus.ref)
    except (EhrUnavailable, OutcomeUnknown):
        raise
    except EhrRejected as error:
        log.error("twin not cancelled: %s (status %s)", error, error.status)
        _note(booking, f"twin not cancelled: {surplus.ref}", "Two visits in the EHR, settle there")
    else:
        _note(booking, f"twin cancelled: {surplus.ref}", "A second visit was found and cancelled")


def _is_copy(booking: Booking, record: AppointmentRecord) -> bool:
    whose = booking.patient.ehr_patient_ref if booking.patient else ""
    return (
        record.booking_ids == (booking.pk,)
        and bool(whose)
        and record.patient_ref == whose
        and record.practitioner_ref == booking.clinician.ehr_ref
        and (record.starts_at, record.ends_at) == (booking.starts_at, booking.ends_at)
    )


def _note(booking: Booking, note: str, attention: str) -> None:
    with transaction.atomic():
        # Said once: a look that finds the same again adds nothing.
        if not BookingEvent.objects.filter(booking=booking, note=note[:100]).exists():
            booking.note(note)
            Booking.objects.filter(pk=booking.pk).update(attention=attention)


def may_have_twin(booking: Booking) -> bool:
    return bool(booking.sweep_at or booking.sweeps)


def adopt(booking: Booking, gone_ref: str) -> bool:
    """When the clinic cancelled one of two: whether the other stands, which is then the booking's. Raises ``EhrFailure``."""
    left = [record for record in _live(booking) if record.ref != gone_ref and _is_copy(booking, record)]
    if not left:
        return False
    with transaction.atomic():
        ours = Booking.objects.filter(
            pk=booking.pk, state=BookingState.BOOKED, appointment_ref=booking.appointment_ref
        )
        if ours.update(appointment_ref=left[0].ref):
            _note(booking, f"twin stands: {left[0].ref}", "One of two visits was cancelled, the other stands")
    return True
