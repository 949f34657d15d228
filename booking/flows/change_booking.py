"""Moving and cancelling a visit that is booked, with the certainty of a create.

A move books the new time first, as a booking of its own that ``replaces`` the old one, and only when the EHR has it
is the old one cancelled: the patient is never without a visit, and has two for minutes at most. A cancel is on record
before it goes out, and is sent again only after a look has shown that the visit still stands.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F

from booking import board, ehr
from booking.models import Booking
from booking.models.bookings import REPLACING, Visitor
from booking.scheduling.errors import (
    CannotChange,
    Changed,
    EhrFailure,
    EhrRejected,
    EhrUnavailable,
    OutcomeUnknown,
    Refusal,
)
from booking.scheduling.lifecycle import GONE, BookingState
from booking.scheduling.terms import AppointmentRecord

from . import clinic_rules, confirm_booking, database_away, hold_slot, leases, notify
from .confirm_booking import Clock

log = logging.getLogger(__name__)

MOST_CANCELS = 5
RELATED = ("clinician", "schedule__location", "patient", "reason")


def move_booking(booking: Booking, choice: hold_slot.Choice, *, visitor: Visitor, clock: Clock) -> Booking:
    """Book another time for a visit and, once the EHR has that, cancel the one it had. Returns the new booking.

    Its state tells: ``booked``, and the old one is cancelled or about to be; ``unconfirmed``, and reconcile goes on
    with both; ``refused``, and the old one stands. Raises ``CannotChange``, and ``Refusal`` or ``EhrUnavailable`` as
    a hold and a submit do: then the old one stands.
    """
    old = _changeable(booking, visitor, clock())
    new = hold_slot.hold(old.to_visit(clinic_rules.reason_of(old)), choice, visitor=visitor, now=clock())
    hold_slot.give_to(new, old, replaces=old)
    try:
        new = confirm_booking.submit(new, visitor=visitor, clock=clock)
    except (CannotChange, EhrUnavailable, Refusal):
        # The visit stands as it was. Nobody goes on with the hold, so it is not kept from others.
        new.refresh_from_db()
        hold_slot.release(new, note="not moved")
        raise
    if new.status is BookingState.BOOKED:
        _cancel_leased(old, clock=clock)
    return new


def cancel_booking(booking: Booking, *, visitor: Visitor, clock: Clock) -> Booking:
    """Cancel a visit. Safe to call again. Raises ``CannotChange``.

    The state of the booking returned tells: ``cancelled``; ``cancelling`` while the EHR does not answer, and reconcile
    goes on with it; ``needs_staff`` when the EHR will not have it so.
    """
    now = clock()
    found = Booking.objects.of(visitor).get(pk=booking.pk)
    if found.status not in (BookingState.CANCELLING, BookingState.CANCELLED):
        found = _changeable(booking, visitor, now)
        with transaction.atomic():
            # A move that is under way takes the same lock, so that one of the two comes first.
            locked = Booking.objects.select_for_update().get(pk=found.pk)
            if _is_being_moved(locked) or not confirm_booking.begin_cancel(locked, now, actor="patient"):
                raise CannotChange
        _cancel_leased(found, clock=clock)
    return Booking.objects.select_related(*RELATED).get(pk=booking.pk)


def _changeable(booking: Booking, visitor: Visitor, now: datetime) -> Booking:
    found = Booking.objects.of(visitor).select_related(*RELATED).get(pk=booking.pk)
    if found.status is not BookingState.BOOKED or found.starts_at <= now or _is_being_moved(found):
        raise CannotChange
    return found


def _is_being_moved(booking: Booking) -> bool:
    return booking.replacements.filter(state__in=REPLACING).exists()


def _cancel_leased(booking: Booking, *, clock: Clock) -> None:
    """At once, unless a worker has begun already."""
    booking = Booking.objects.select_related(*RELATED).get(pk=booking.pk)
    if booking.status is BookingState.CANCELLING and leases.take(booking, clock()):
        try:
            settle_cancel(booking, clock=clock)
        finally:
            leases.give_back(booking)


def settle_cancel(booking: Booking, *, clock: Clock, is_last: bool = False) -> None:
    """One look at a visit that is being cancelled, and one cancel if it still stands and this look is not the last."""
    now = clock()
    try:
        record = _standing(booking)
    except EhrFailure as error:
        _tell("look before a cancel failed", error)
        if is_last:
            _to_staff(booking, now, "not cancelled in time")
        else:
            _go_on(booking, now, seconds=settings.EHR_LOOK_AGAIN_SECONDS)
        return
    if record is None:
        # Not there is not the same as cancelled.
        _to_staff(booking, now, "the visit to cancel is not in the EHR")
    elif record.status in GONE:
        cancelled(booking, now, actor="system")
    elif booking.cancels >= MOST_CANCELS or is_last:
        _to_staff(booking, now, "not cancelled in time")
    elif leases.keep(booking, now) and _put_on_record(booking, record, now):
        _send(booking, record.ref, clock=clock)


def _standing(booking: Booking) -> AppointmentRecord | None:
    """The visit as the EHR has it now, wherever staff moved it; None when it is not there, or another patient's."""
    record = ehr.gateway().current_appointment(booking.appointment_ref)
    whose = booking.patient.ehr_patient_ref if booking.patient else ""
    if record is not None and record.patient_ref not in ("", whose):
        log.error("the appointment of booking %s is another patient's", booking.pk)
        return None
    return record


def _put_on_record(booking: Booking, record: AppointmentRecord, now: datetime) -> bool:
    ours = Booking.objects.filter(pk=booking.pk, state=BookingState.CANCELLING, cancels=booking.cancels)
    changes = {"appointment_ref": record.ref, "look_up_at": now + ehr.longest_write()}
    return bool(ours.update(cancels=F("cancels") + 1, **changes))


def _send(booking: Booking, ref: str, *, clock: Clock) -> None:
    try:
        ehr.gateway().cancel_appointment(ref)
    except OutcomeUnknown as error:
        _tell("cancel outcome unknown", error)
        _go_on(booking, clock(), seconds=settings.EHR_REST_SECONDS)
    except (EhrUnavailable, Changed) as error:
        _tell("not cancelled yet", error)
        _go_on(booking, clock(), seconds=settings.EHR_LOOK_AGAIN_SECONDS)
    except EhrRejected as error:
        _tell("cancel rejected", error)
        _to_staff(booking, clock(), "the EHR will not cancel it")
    else:
        cancelled(booking, clock(), actor="system")


def _tell(what: str, error: EhrFailure) -> None:
    log.warning("%s: %s (status %s, EHR id %s)", what, error, error.status, error.correlation_id)


def _go_on(booking: Booking, now: datetime, *, seconds: float) -> None:
    Booking.objects.filter(pk=booking.pk, state=BookingState.CANCELLING).update(
        look_up_at=now + timedelta(seconds=seconds)
    )


def was_moved(booking: Booking) -> bool:
    """Whether the patient has another visit in its place, and was told of that one."""
    return booking.replacements.filter(booked_at__isnull=False).exists()


def cancelled(booking: Booking, now: datetime, *, actor: str, note: str = "") -> bool:
    """The EHR has it cancelled: record that with the message we owe for it."""

    @transaction.atomic
    def record() -> bool:
        is_ours = booking.move(
            BookingState.CANCELLED,
            actor=actor,
            note=note,
            look_up_at=None,
            **confirm_booking.watch(booking, now),
        )
        if is_ours and not was_moved(booking):
            notify.owe(booking, "cancelled", now=now)
        return is_ours

    is_done = database_away.outlast(record, about=booking)
    if is_done:
        board.mark_stale([booking.schedule.ehr_ref])
    return is_done


def _to_staff(booking: Booking, now: datetime, note: str) -> None:
    log.error("booking %s needs staff: %s", booking.pk, note)
    with transaction.atomic():
        if booking.move(
            BookingState.NEEDS_STAFF, actor="system", note=note, look_up_at=None, attention=note
        ) and not was_moved(booking):
            notify.owe(booking, "cancel_needs_staff", now=now)


def look_again_for_staff(booking: Booking, *, clock: Clock) -> bool:
    """Whether the EHR has it cancelled by now; the patient is then told. Raises ``EhrFailure``."""
    record = _standing(booking)
    return (
        record is not None
        and record.status in GONE
        and cancelled(booking, clock(), actor="system", note="found cancelled")
    )
