"""Following the EHR at once where it tells of changes: the free times of the day are read anew, and a visit of ours
that staff moved or cancelled is followed.

A notice is believed in nothing but what to look at again, so a false, repeated or late one does no harm. One that never
comes is made up for by the ordinary looks (``follow_visits``, and readings that grow old).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta

from celery import current_app
from django.conf import settings
from django.db.models import Q
from kombu.exceptions import OperationalError

from booking import board, crash_points, ehr, notice_rate
from booking.models import Booking, ScheduleRecord
from booking.scheduling.clock import local_day
from booking.scheduling.errors import EhrFailure
from booking.scheduling.lifecycle import GONE, BookingState
from booking.scheduling.terms import AppointmentRecord

from . import follow_visits

log = logging.getLogger(__name__)

TASK = "booking.jobs.look_at_appointment"


class NotFromTheEhr(Exception):
    """The sender does not show the secret."""


class QueueAway(Exception):
    """Nobody could be told to look, so the notice is worth sending again."""


def take(body: bytes, headers: Mapping[str, str], *, now: datetime) -> None:
    """Have everything looked at that a notice names and we know. ``headers`` have lower-case names.

    Raises ``NotFromTheEhr``, ``QueueAway``, and ``ValueError`` for what is no notice.
    """
    if not ehr.is_authentic(settings.EHR_NOTICE_SECRET, body, headers, now=now.timestamp()):
        log.warning("a notice without the EHR's secret was turned away")
        raise NotFromTheEhr
    notice = ehr.read_notice(body, headers)
    log.info(
        "the EHR tells of %d appointments and %d slots", len(notice.appointment_refs), len(notice.schedules)
    )
    crash_points.reach("notice taken")
    if notice.schedules:
        _mark_slots(notice)
    for ref in notice.appointment_refs:
        _have_looked_at(ref, now)


def _mark_slots(notice: ehr.Notice) -> None:
    refs = {changed.schedule_ref for changed in notice.schedules}
    zones = dict(
        ScheduleRecord.objects.filter(ehr_ref__in=refs).values_list("ehr_ref", "location__time_zone")
    )
    days: dict[date | None, set[str]] = defaultdict(set)
    for changed in notice.schedules:
        if zone := zones.get(changed.schedule_ref):
            at = changed.starts_at
            days[None if at is None else local_day(at, zone)].add(changed.schedule_ref)
    _mark(days)


def _mark(days: Mapping[date | None, Iterable[str]]) -> None:
    for on, refs in days.items():
        board.mark_stale(sorted(refs), on)


def _have_looked_at(ref: str, now: datetime) -> None:
    wait = notice_rate.seconds_until_look(ref)
    if wait is None:
        return
    if not notice_rate.has_room(at=now.timestamp()):
        _leave_to_the_ordinary_look(ref)
        return
    try:
        # The id alone travels: it says nothing about a patient.
        key = ref.partition("/")[2]
        current_app.send_task(TASK, args=[key], countdown=wait, retry=False, expires=60 + wait)
    except (OperationalError, OSError) as error:
        log.warning("the queue did not take a notice: %s", type(error).__name__)
        notice_rate.forget(ref)
        _leave_to_the_ordinary_look(ref)
        raise QueueAway from error


def _leave_to_the_ordinary_look(*refs: str) -> None:
    """A visit of ours comes first at the next one, which is within a minute."""
    Booking.objects.filter(appointment_ref__in=refs, state=BookingState.BOOKED).update(followed_at=None)


def look(ref: str, *, clock: Callable[[], datetime]) -> None:
    """Read an appointment that the EHR told of. Its clinician's day counts as changed, unless all that it tells is what
    we did ourselves; and a booking of ours that stands on it, or on the one it took the place of, follows it."""
    try:
        record = ehr.gateway().read_appointment(ref)
    except EhrFailure as error:
        log.warning(
            "an appointment told of was not read: %s (status %s, EHR id %s)",
            error,
            error.status,
            error.correlation_id,
        )
        _leave_to_the_ordinary_look(ref)
        return
    refs = {ref, record.replaces_ref} if record else {ref}
    if record and not _is_our_own(record, clock()):
        _mark_day(record)
    ours = Booking.objects.filter(
        appointment_ref__in=refs - {""}, state=BookingState.BOOKED, ends_at__gt=clock()
    ).select_related("clinician", "schedule__location", "patient", "reason")
    for booking in ours:
        now = clock()
        try:
            follow_visits.follow(booking, now=now)
        except EhrFailure as error:
            log.warning(
                "a visit told of was not followed: %s (status %s, EHR id %s)",
                error,
                error.status,
                error.correlation_id,
            )
            _leave_to_the_ordinary_look(booking.appointment_ref)
        else:
            Booking.objects.filter(pk=booking.pk).update(followed_at=now)


def _is_our_own(record: AppointmentRecord, now: datetime) -> bool:
    """Whether a booking of ours claims this very time with this clinician, so that the board knows it already."""
    whose = Q(appointment_ref=record.ref) | Q(pk__in=record.booking_ids)
    return (
        Booking.objects.claiming(now)
        .filter(whose, starts_at=record.starts_at, ends_at=record.ends_at)
        .filter(clinician__ehr_ref=record.practitioner_ref)
        .exists()
        and record.status not in GONE
    )


def _mark_day(record: AppointmentRecord) -> None:
    days: dict[date | None, set[str]] = defaultdict(set)
    schedules = ScheduleRecord.objects.filter(clinician__ehr_ref=record.practitioner_ref)
    last = max(record.starts_at, record.ends_at - timedelta(seconds=1))
    for schedule_ref, zone in schedules.values_list("ehr_ref", "location__time_zone"):
        for at in (record.starts_at, last):
            days[local_day(at, zone)].add(schedule_ref)
    _mark(days)
