"""Finding out what became of creates that got no answer; never a blind retry.

A booking rests first (EHR_REST_SECONDS), longer than the EHR's slowest commit and the lag of its search. Then our
identifier is looked up. Found: booked. Not found twice, EHR_LOOK_AGAIN_SECONDS apart: one more create. After three
creates, or a quarter of an hour in all, the booking goes to the staff list, and its time stays claimed. What is being
cancelled is looked at in the same way, and in the same time.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from booking import crash_points, ehr
from booking.models import Booking
from booking.scheduling.errors import EhrFailure, EhrUnavailable, Refusal
from booking.scheduling.lifecycle import GONE, PATIENCE, WAITING, BookingState
from booking.scheduling.terms import AppointmentRecord

from . import change_booking, confirm_booking, leases, notify
from .confirm_booking import Clock

log = logging.getLogger(__name__)

MOST_POSTS = 3
# A time that is gone while our identifier is not found this often is somebody else's.
SURE_AFTER_MISSES = 6


def due(now: datetime) -> list[Booking]:
    """What is to be looked at, and what is so late that it is looked at whatever its times and leases say."""
    late = now - PATIENCE
    is_late = (Q(cancelling_at=None) & Q(submitted_at__lte=late)) | Q(cancelling_at__lte=late)
    waiting = Booking.objects.filter(state__in=WAITING)
    return list(
        (waiting.look_up_due(now) | waiting.filter(is_late))
        .select_related("clinician", "schedule__location", "patient", "reason")
        .order_by("look_up_at")[:50]
    )


def reconcile(*, clock: Clock) -> int:
    """Settle what is due. Returns how many were looked at; each is leased, so any number of workers may run."""
    looked_at = 0
    for booking in due(clock()):
        now = clock()
        if leases.take(booking, now, even_leased=_is_late(booking, now)):
            looked_at += 1
            crash_points.reach("look-up leased")
            try:
                # Others may have been at it since it was listed.
                booking.refresh_from_db(fields=["posts", "misses"])
                settle(booking, clock=clock)
            finally:
                leases.give_back(booking)
    return looked_at


def _waited(booking: Booking, now: datetime) -> timedelta:
    since = booking.cancelling_at or booking.submitted_at
    return now - since if since else timedelta()


def _is_late(booking: Booking, now: datetime) -> bool:
    return _waited(booking, now) >= PATIENCE


def settle(booking: Booking, *, clock: Clock) -> None:
    """One look-up of one booking, and what follows from it."""
    now = clock()
    if booking.status is BookingState.CANCELLING:
        change_booking.settle_cancel(booking, clock=clock, is_last=_is_late(booking, now))
        return
    # Still submitting: the process that sent it is gone, and with it the knowledge of what the EHR said.
    is_abandoned = booking.status is BookingState.SUBMITTING
    if is_abandoned and not booking.move(BookingState.UNCONFIRMED, actor="system", note="taken over"):
        return
    try:
        records = look_up(booking)
        crash_points.reach("look-up answered")
    except EhrFailure as error:
        log.warning("look-up failed: %s (status %s, EHR id %s)", error, error.status, error.correlation_id)
        _look_again(booking, now)
        return
    live = sorted((record for record in records if record.status not in GONE), key=lambda record: record.ref)
    if live:
        if len(live) > 1:
            log.error("booking %s has %d appointments in the EHR", booking.pk, len(live))
        confirm_booking.confirm(booking, live[0].ref, clock=clock)
    elif records:
        # Made, and since cancelled or removed in the EHR: whoever did that must say what the patient is told.
        _to_staff(booking, now, "cancelled in the EHR")
    elif booking.misses == 0:
        _look_again(booking, now, misses=1)
    else:
        _create_again(booking, clock=clock)


def look_up(booking: Booking) -> list[AppointmentRecord]:
    """What the EHR has under our identifier. Raises ``EhrFailure``."""
    gateway = ehr.gateway()
    patient_ref = booking.patient.ehr_patient_ref if booking.patient else ""
    if not patient_ref and not gateway.capabilities.appointment_identifier_search:
        # No visit was ever asked for, since there is nobody yet in the EHR whom it could be for.
        return []
    like = confirm_booking.appointment_request(booking, patient_ref) if patient_ref else None
    return gateway.find_appointments(booking.pk, like)


def look_up_for_staff(booking: Booking, *, clock: Clock) -> bool:
    """Whether the EHR has done it after all; if so that is recorded and the patient told. Raises ``EhrFailure``."""
    if booking.cancelling_at:
        return change_booking.look_again_for_staff(booking, clock=clock)
    live = [record for record in look_up(booking) if record.status not in GONE]
    return bool(live) and confirm_booking.confirm(booking, live[0].ref, clock=clock)


def close_for_staff(booking: Booking, *, actor: str, now: datetime) -> bool:
    """Staff found that there is no visit and will be none: free the time and tell the patient."""
    if booking.cancelling_at:
        return change_booking.cancelled(booking, now, actor=actor, note="closed by staff")
    with transaction.atomic():
        moved = booking.move(
            BookingState.REFUSED,
            actor=actor,
            note="closed by staff",
            failure="not_accepted",
            **confirm_booking.watch(booking, now),
        )
        if moved:
            notify.owe(booking, "not_booked", now=now)
    return moved


def _look_again(
    booking: Booking, now: datetime, *, misses: int | None = None, posts: int | None = None
) -> None:
    if _is_late(booking, now):
        _to_staff(booking, now, "no answer in time")
        return
    ours = Booking.objects.filter(pk=booking.pk, state=booking.state)
    changes = {
        "look_up_at": now + timedelta(seconds=settings.EHR_LOOK_AGAIN_SECONDS),
        "misses": booking.misses if misses is None else misses,
    }
    if posts is not None:
        # Over our own count only: where it is another, somebody else is at it and has set the next look.
        ours, changes["posts"] = ours.filter(posts=booking.posts), posts
    ours.update(**changes)


def _create_again(booking: Booking, *, clock: Clock) -> None:
    now = clock()
    # One that gets no answer has to be settled in time as well.
    is_too_late = _waited(booking, now) + ehr.longest_write() > PATIENCE
    if booking.posts >= MOST_POSTS or is_too_late:
        _to_staff(booking, now, "not found after every attempt")
        return
    if not leases.keep(booking, now):
        return
    posts = booking.posts
    try:
        confirm_booking.last_look(booking, now=now)
        confirm_booking.create(booking, clock=clock)
    except Refusal as refusal:
        if booking.posts and booking.misses < SURE_AFTER_MISSES:
            # What took the time may be our own visit, made without an answer and not shown by the search yet.
            _look_again(booking, clock(), misses=booking.misses + 1)
        else:
            confirm_booking.refuse(booking, refusal.code, now=clock())
    except EhrUnavailable:
        # The EHR surely did nothing, so that was no attempt.
        _look_again(booking, clock(), posts=posts)
    except EhrFailure as error:
        log.error("create again failed: %s (status %s, EHR id %s)", error, error.status, error.correlation_id)
        _look_again(booking, clock())


def _to_staff(booking: Booking, now: datetime, note: str) -> None:
    log.error("booking %s needs staff: %s", booking.pk, note)
    with transaction.atomic():
        if booking.move(
            BookingState.NEEDS_STAFF,
            actor="system",
            note=note,
            look_up_at=None,
            **confirm_booking.watch(booking, now),
        ):
            notify.owe(booking, "needs_staff", now=now)
