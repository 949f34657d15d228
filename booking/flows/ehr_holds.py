"""Holds that the EHR itself keeps for us, where it can, so that nobody else takes the time while a patient types.

Our own claim is the guard; this one spares the patient a "no" at the end. It is on record before it is asked for, and
given back once the booking it was for has become no visit, so a lost answer leaves no time blocked for good.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from booking import board, ehr
from booking.models import Booking, ScheduleRecord, SchedulingPolicy
from booking.scheduling.errors import EhrFailure, Refusal, RefusalCode, TimeTaken
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Coding, HeldTime, HoldRequest, Modality

from . import clinic_rules

log = logging.getLogger(__name__)

OVER = (BookingState.EXPIRED, BookingState.RELEASED, BookingState.REFUSED)
MOST_AT_ONCE = 50
# Giving back goes by the booking and the time: a hold that is over may be of a type that its reason has no more.
_NO_TYPE = Coding("", "")


def _request(booking: Booking) -> HoldRequest:
    types = clinic_rules.reason_of(booking).appointment_types
    return HoldRequest(
        booking_id=booking.pk,
        schedule_ref=booking.schedule.ehr_ref,
        practitioner_ref=booking.clinician.ehr_ref,
        starts_at=booking.starts_at,
        ends_at=booking.ends_at,
        appointment_type=types.get(Modality(booking.modality), _NO_TYPE),
    )


def ask(booking: Booking, *, now: datetime) -> None:
    """Have the EHR keep the time of a hold. Raises ``Refusal`` when somebody has it already; our hold then ends.

    An EHR that does not answer changes nothing: the last look before the create decides.
    """
    gateway = ehr.gateway()
    if not gateway.capabilities.holds:
        return
    # Until then a hold that got no answer may still appear, and giving it back earlier might miss it.
    _record(booking, now + ehr.longest_write())
    try:
        gateway.hold_time(_request(booking))
    except TimeTaken as error:
        _record(booking, now)
        booking.move(BookingState.RELEASED, actor="system", note="taken in the EHR")
        board.mark_stale([booking.schedule.ehr_ref])
        raise Refusal(RefusalCode.TIME_TAKEN) from error
    except EhrFailure as error:
        log.warning(
            "no hold in the EHR: %s (status %s, EHR id %s)", error, error.status, error.correlation_id
        )
    else:
        _record(booking, now)


def _record(booking: Booking, settled_at: datetime | None) -> None:
    Booking.objects.filter(pk=booking.pk).update(ehr_hold_settled_at=settled_at)
    booking.ehr_hold_settled_at = settled_at


def give_back(booking: Booking, *, now: datetime) -> bool:
    """Give back what the EHR may keep for a booking; False when the EHR did not do it now.

    A hold whose asking got no answer may appear later still: then it stays on record, to be given back once more.
    """
    try:
        ehr.gateway().release_time(_request(booking))
    except EhrFailure as error:
        log.warning(
            "hold not given back: %s (status %s, EHR id %s)", error, error.status, error.correlation_id
        )
        return False
    if booking.ehr_hold_settled_at is not None and booking.ehr_hold_settled_at <= now:
        _record(booking, None)
    board.mark_stale([booking.schedule.ehr_ref])
    return True


def give_back_own(bookings: Iterable[Booking], *, now: datetime) -> None:
    """Before a visitor chooses: what the EHR still keeps for their earlier holds must not look taken to them."""
    for booking in bookings:
        give_back(booking, now=now)


def give_back_due(*, now: datetime) -> int:
    """Give back what is kept for bookings that became no visit. Returns how many; safe for any number of workers,
    since giving back twice is the same as once."""
    due = (
        Booking.objects.filter(state__in=OVER, ehr_hold_settled_at__lte=now)
        .select_related("clinician", "schedule__location", "reason")
        .order_by("ehr_hold_settled_at")[:MOST_AT_ONCE]
    )
    given = 0
    for booking in due:
        if give_back(booking, now=now):
            given += 1
        else:
            # Others first next time: one that the EHR will not take back must not stand in everybody's way.
            _record(booking, now + timedelta(seconds=settings.EHR_REST_SECONDS))
    return given


def give_back_lost(*, now: datetime) -> int:
    """Give back what the EHR keeps in the name of bookings that we know nothing of, as after a backup was restored.

    A hold's row is written before the EHR is asked, so that no hold of ours is without one. Returns how many times were
    given back. Raises ``EhrFailure``.
    """
    gateway = ehr.gateway()
    if not gateway.capabilities.holds:
        return 0
    search = ehr.slot_search()
    schedules = dict(
        ScheduleRecord.objects.filter(is_active=True).values_list("ehr_ref", "clinician__ehr_ref")
    )
    refs = sorted(schedules)
    last = now.replace(microsecond=0) + timedelta(days=SchedulingPolicy.current().horizon_days)
    given = 0
    for begin in range(0, len(refs), search.schedules):
        starts_from = now.replace(microsecond=0)
        while starts_from < last:
            starts_before = min(last, starts_from + timedelta(days=search.days))
            held = gateway.held_times(
                refs[begin : begin + search.schedules], starts_from=starts_from, starts_before=starts_before
            )
            for time in _unknown(held):
                gateway.release_time(_of_nobody(time, schedules[time.schedule_ref]))
                log.warning(
                    "a time that the EHR kept for booking %s, which is lost, was given back", time.booking_id
                )
                given += 1
            starts_from = starts_before
    return given


def _unknown(held: Sequence[HeldTime]) -> list[HeldTime]:
    ids = {time.booking_id for time in held}
    known = set(Booking.objects.filter(pk__in=ids).values_list("pk", flat=True))
    return [time for time in held if time.booking_id not in known]


def _of_nobody(time: HeldTime, practitioner_ref: str) -> HoldRequest:
    return HoldRequest(
        booking_id=time.booking_id,
        schedule_ref=time.schedule_ref,
        practitioner_ref=practitioner_ref,
        starts_at=time.starts_at,
        ends_at=time.ends_at,
        appointment_type=_NO_TYPE,
    )
