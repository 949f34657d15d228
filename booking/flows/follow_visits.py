"""Keeping booked visits true to the EHR, where staff move and cancel them without telling us.

A visit that was moved keeps its Appointment and has new times, or has been handed on to another Appointment; both are
followed. What changed is written down with the message we owe for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q

from booking import board, crash_points, ehr
from booking.models import Booking, ScheduleRecord
from booking.models.bookings import MOVED_ONTO_ANOTHER
from booking.scheduling.errors import EhrFailure, EhrUnavailable
from booking.scheduling.lifecycle import GONE, BookingState
from booking.scheduling.terms import AppointmentRecord

from . import hold_slot, notify, sweep_twins

log = logging.getLogger(__name__)

MOST_AT_ONCE = 50


def follow_visits(*, clock: Callable[[], datetime]) -> int:
    """Look again at the visits to come that were looked at longest ago, EHR_FOLLOW_SECONDS ago or more. Returns how
    many had changed. Stops at the first look that the EHR does not answer."""
    now = clock()
    due = (
        Booking.objects.filter(
            Q(followed_at=None) | Q(followed_at__lte=now - timedelta(seconds=settings.EHR_FOLLOW_SECONDS)),
            state=BookingState.BOOKED,
            ends_at__gt=now,
        )
        .select_related("clinician", "schedule__location", "patient", "reason")
        .order_by(F("followed_at").asc(nulls_first=True))[:MOST_AT_ONCE]
    )
    changed = 0
    for booking in due:
        try:
            changed += follow(booking, now=clock())
        except EhrUnavailable as error:
            log.warning("visits not followed: %s (EHR id %s)", error, error.correlation_id)
            break
        except EhrFailure as error:
            log.error(
                "visit not followed: %s (status %s, EHR id %s)", error, error.status, error.correlation_id
            )
        Booking.objects.filter(pk=booking.pk).update(followed_at=now)
    return changed


def follow(booking: Booking, *, now: datetime) -> bool:
    """Whether the EHR's Appointment differed from the booking, which is then as the Appointment is. Raises ``EhrFailure``."""
    record = ehr.gateway().current_appointment(booking.appointment_ref)
    if record is None:
        # Not there is not the same as cancelled, and a patient told so in error stays at home.
        log.error("the appointment of booking %s is not in the EHR any more", booking.pk)
        return False
    if record.status in GONE:
        # Of two visits that a lost answer left, the clinic may have cancelled either: the patient still has one.
        if sweep_twins.may_have_twin(booking) and sweep_twins.adopt(booking, record.ref):
            return True
        return _cancelled(booking, now)
    fields = _differences(booking, record)
    if not fields:
        return False
    if booking.attention == MOVED_ONTO_ANOTHER:
        fields["attention"] = ""
    _make_way(booking, record)
    crash_points.reach("change seen in the EHR")
    try:
        with transaction.atomic():
            ours = Booking.objects.filter(
                pk=booking.pk, state=BookingState.BOOKED, appointment_ref=booking.appointment_ref
            )
            if not ours.update(**fields):
                return False
            booking.note("changed in the EHR")
            if {"starts_at", "schedule_id"} & set(fields):
                about = (
                    f"{int(record.starts_at.timestamp())}.{fields.get('schedule_id', booking.schedule_id)}"
                )
                notify.owe(booking, "moved", now=now, about=about)
    except IntegrityError:
        return _is_in_the_way(booking)
    board.mark_stale([booking.schedule.ehr_ref])
    return True


def _is_in_the_way(booking: Booking) -> bool:
    """Staff put two visits of ours at one time. The EHR has it so, our own rule stays: staff see it, and the visit's page says
    that its time does not hold. It is followed as soon as the other one is out of the way."""
    log.error("booking %s was moved onto another visit of the same clinician", booking.pk)
    with transaction.atomic():
        ours = Booking.objects.filter(
            pk=booking.pk, state=BookingState.BOOKED, appointment_ref=booking.appointment_ref
        )
        if not ours.exclude(attention=MOVED_ONTO_ANOTHER).update(attention=MOVED_ONTO_ANOTHER):
            return False
        booking.note("moved in the EHR onto another visit")
    return True


def _differences(booking: Booking, record: AppointmentRecord) -> dict[str, Any]:
    found = {"appointment_ref": record.ref, "starts_at": record.starts_at, "ends_at": record.ends_at}
    fields = {name: value for name, value in found.items() if getattr(booking, name) != value}
    who, where = booking.clinician.ehr_ref, booking.schedule.location.ehr_ref
    if record.practitioner_ref in ("", who) and record.location_ref in ("", where):
        return fields
    schedule = ScheduleRecord.objects.filter(
        clinician__ehr_ref=record.practitioner_ref or who, location__ehr_ref=record.location_ref or where
    ).first()
    if schedule is None:
        log.error("booking %s was moved to a schedule that is not in our directory", booking.pk)
        return fields
    return fields | {"schedule_id": schedule.pk, "clinician_id": schedule.clinician_id}


def _make_way(booking: Booking, record: AppointmentRecord) -> None:
    """A hold of somebody else's on the new time is over: the EHR has given the time away."""
    in_the_way = Booking.objects.overlapping(booking.clinician_id, record.starts_at, record.ends_at)
    for hold in in_the_way.filter(state=BookingState.HELD):
        hold_slot.release(hold, actor="system", note="taken in the EHR")


def _cancelled(booking: Booking, now: datetime) -> bool:
    with transaction.atomic():
        if not booking.move(BookingState.CANCELLING, actor="system", note="cancelled in the EHR"):
            return False
        booking.move(BookingState.CANCELLED, actor="system", note="cancelled in the EHR")
        notify.owe(booking, "cancelled", now=now)
    board.mark_stale([booking.schedule.ehr_ref])
    return True
