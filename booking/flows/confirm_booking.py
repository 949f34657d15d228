"""From a hold to an Appointment in the EHR.

The attempt is on record before each call, no transaction is open during one, and a create whose outcome is unknown
is never sent again from here: ``reconcile`` rests, looks it up by our identifier, and only then decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from booking import board, crash_points, ehr, video
from booking.models import Booking, SchedulingPolicy
from booking.models.bookings import REPLACING, Visitor
from booking.scheduling.errors import (
    CannotChange,
    EhrRejected,
    EhrUnavailable,
    OutcomeUnknown,
    Refusal,
    RefusalCode,
    TimeTaken,
)
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import AppointmentRequest, Modality

from . import clinic_rules, database_away, hold_slot, notify

log = logging.getLogger(__name__)
Clock = Callable[[], datetime]

# After a booking that was in doubt is settled, the EHR is looked at again, ever later, for a second visit of it.
SWEEP_AFTER = tuple(timedelta(minutes=each) for each in (5, 30, 120, 480, 1440))


def submit(booking: Booking, *, visitor: Visitor, clock: Clock) -> Booking:
    """Book what is held. Safe to call again at any time: only a booking that is held is ever submitted.

    A hold that ended is renewed if its time is still free, so the booking returned may be another one. Raises
    ``Refusal(HOLD_ENDED)`` when it is not, ``EhrUnavailable`` when the EHR surely did nothing and the hold still
    stands, and ``CannotChange`` when it was to replace a visit that stands no more or is being changed already. Any
    other outcome is in the state of the booking returned.
    """
    now = clock()
    booking = clinic_rules.whole(Booking.objects.of(visitor).filter(pk=booking.pk))
    if booking.status is BookingState.EXPIRED or (
        booking.status is BookingState.HELD and not booking.is_live_hold(now)
    ):
        try:
            booking = hold_slot.renew(booking, visitor=visitor, now=now)
        except Refusal as refusal:
            raise Refusal(RefusalCode.HOLD_ENDED) from refusal
    if booking.status is not BookingState.HELD:
        return booking
    if booking.patient is None or booking.contact_verified_at is None:
        raise Refusal(RefusalCode.NOT_OFFERED)
    if not _begin(booking, now):
        booking.refresh_from_db()
        if booking.state == BookingState.EXPIRED:
            raise Refusal(RefusalCode.HOLD_ENDED)
        return booking
    crash_points.reach("attempt on record")
    try:
        with ehr.within(settings.EHR_PAGE_SECONDS):
            database_away.outlast(lambda: last_look(booking, now=now), about=booking)
        return create(booking, clock=clock)
    except Refusal as refusal:
        return refuse(booking, refusal.code, now=clock())
    except EhrRejected as error:
        log.error("last look rejected: %s (status %s, EHR id %s)", error, error.status, error.correlation_id)
        return refuse(booking, RefusalCode.NOT_ACCEPTED, now=clock())
    except EhrUnavailable:
        _hold_again(booking, clock())
        raise


def _begin(booking: Booking, now: datetime) -> bool:
    """Turn the hold into an attempt, on record before any call; False when it is a hold no more.

    Raises ``CannotChange`` when it may not take the place of the visit it was to replace.
    """
    with transaction.atomic():
        if booking.replaces is not None and not _may_replace(booking, booking.replaces):
            raise CannotChange
        return booking.move(
            BookingState.SUBMITTING,
            actor="patient",
            submitted_at=now,
            # Should this process die, reconcile takes over once every call below must have ended.
            look_up_at=now + 4 * timedelta(seconds=settings.EHR_TOTAL_SECONDS) + ehr.longest_write(),
            video_url=booking.video_url or _video_url(booking),
        )


def _may_replace(booking: Booking, replaced: Booking) -> bool:
    """Whether the old visit stands and nothing else is to replace it. Its row stays locked: one change at a time."""
    old = Booking.objects.select_for_update().get(pk=replaced.pk)
    others = old.replacements.exclude(pk=booking.pk).filter(state__in=REPLACING)
    return old.status is BookingState.BOOKED and not others.exists()


def last_look(booking: Booking, *, now: datetime) -> None:
    """Our rules and the EHR's free times once more, just before a create. Raises ``Refusal``."""
    choice = hold_slot.Choice(booking.schedule_id, booking.starts_at)
    hold_slot.check_offer(
        booking.to_visit(clinic_rules.reason_of(booking)),
        choice,
        now=now,
        apart_from=[booking.pk],
        submitted_at=booking.submitted_at,
        is_kept_for_us=booking.ehr_hold_settled_at is not None,
    )


def _video_url(booking: Booking) -> str:
    return video.room_for(booking.clinician.fixed_room_url) if booking.is_by_video else ""


def _hold_again(booking: Booking, now: datetime) -> None:
    """The EHR did nothing: the patient keeps the time and can press the button again."""

    @transaction.atomic
    def hold() -> bool:
        # Where this was done and not told of, the patient may have pressed the button again since.
        if Booking.objects.select_for_update().get(pk=booking.pk).submitted_at != booking.submitted_at:
            return False
        expires_at = now + timedelta(minutes=SchedulingPolicy.current().hold_minutes)
        return booking.move(
            BookingState.HELD,
            actor="system",
            note="EHR unavailable",
            posts=0,
            hold_expires_at=expires_at,
            hold_full_expires_at=expires_at,
            look_up_at=None,
        )

    database_away.outlast(hold, about=booking)


def create(booking: Booking, *, clock: Clock) -> Booking:
    """Make the patient, if need be, and the Appointment; record what came of it.

    Raises ``EhrUnavailable`` when surely nothing was done. The booking is ``submitting`` or ``unconfirmed``.
    """
    gateway = ehr.gateway()
    try:
        request = appointment_request(booking, ensure_patient(booking, clock=clock))
        if not _put_on_record(booking, clock, posts=1):
            booking.refresh_from_db()
            return booking
        crash_points.reach("create about to be sent")
        appointment_ref = gateway.create_appointment(request)
        crash_points.reach("create answered")
    except OutcomeUnknown as error:
        log.warning("create outcome unknown (status %s, EHR id %s)", error.status, error.correlation_id)
        look_up_at = clock() + timedelta(seconds=settings.EHR_REST_SECONDS)
        database_away.outlast(
            lambda: booking.move(
                BookingState.UNCONFIRMED, actor="system", note="no answer", look_up_at=look_up_at, misses=0
            ),
            about=booking,
        )
        return booking
    except TimeTaken:
        return refuse(booking, RefusalCode.TIME_TAKEN, now=clock())
    except EhrRejected as error:
        log.error("create rejected: %s (status %s, EHR id %s)", error, error.status, error.correlation_id)
        return refuse(booking, RefusalCode.NOT_ACCEPTED, now=clock())
    confirm(booking, appointment_ref, clock=clock)
    return booking


def appointment_request(booking: Booking, patient_ref: str) -> AppointmentRequest:
    reason = clinic_rules.reason_of(booking)
    return AppointmentRequest(
        booking_id=booking.pk,
        practitioner_ref=booking.clinician.ehr_ref,
        patient_ref=patient_ref,
        location_ref=booking.schedule.location.ehr_ref,
        starts_at=booking.starts_at,
        ends_at=booking.ends_at,
        reason=reason.coding,
        reason_text=booking.reason.label,
        appointment_type=reason.appointment_types[Modality(booking.modality)],
        video_url=booking.video_url,
        schedule_ref=booking.schedule.ehr_ref,
    )


def ensure_patient(booking: Booking, *, clock: Clock) -> str:
    """The EHR's reference for the person the visit is for: known, found beyond doubt, or created."""
    patient = booking.patient
    assert patient is not None
    if patient.ehr_patient_ref:
        return patient.ehr_patient_ref
    details = patient.to_term(
        verified_channel=booking.contact_channel, verified_value=booking.contact_value, zone=booking.zone
    )
    gateway = ehr.gateway()
    found = gateway.find_patient(details)
    if found is None:
        if not _put_on_record(booking, clock, posts=0):
            raise EhrUnavailable("another worker has taken this booking over")
        crash_points.reach("patient about to be created")
        found = gateway.create_patient(details)
        crash_points.reach("patient created")
    patient.ehr_patient_ref = found
    database_away.outlast(lambda: patient.save(update_fields=["ehr_patient_ref"]), about=patient)
    return found


def _put_on_record(booking: Booking, clock: Clock, *, posts: int) -> bool:
    """Write down that a create is about to go out; False when somebody else took the booking over."""
    count, set_here = booking.posts + posts, list[datetime]()

    def record() -> int:
        set_here.append(clock() + ehr.longest_write())
        # As it was, or as a try of ours left it that a crash kept us from hearing of.
        ours = Q(posts=booking.posts) | Q(posts=count, look_up_at__in=set_here)
        mine = Booking.objects.filter(ours, pk=booking.pk, state=booking.state)
        return mine.update(posts=count, look_up_at=set_here[-1])

    if not database_away.outlast(record, about=booking):
        return False
    booking.posts = count
    return True


def confirm(booking: Booking, appointment_ref: str, *, clock: Clock) -> bool:
    """The EHR has it: record the Appointment and the message we owe for it, together. False where it is otherwise by now.

    The visit that it replaces is from the same moment on to be cancelled.
    """
    now = clock()
    if database_away.outlast(lambda: _confirm(booking, appointment_ref, now), about=booking):
        return True
    # By somebody else, or by us whom a crash kept from hearing of it.
    booking.refresh_from_db()
    return booking.status is BookingState.BOOKED and booking.appointment_ref == appointment_ref


def _confirm(booking: Booking, appointment_ref: str, now: datetime) -> bool:
    with transaction.atomic():
        if not booking.move(
            BookingState.BOOKED,
            actor="system",
            appointment_ref=appointment_ref,
            booked_at=now,
            look_up_at=None,
            failure="",
            # What the EHR kept for us has become the visit.
            ehr_hold_settled_at=None,
            **watch(booking, now),
        ):
            return False
        if booking.replaces is None:
            notify.owe(booking, "confirmation", now=now)
        else:
            _retire(booking.replaces, now)
            notify.owe(booking, "moved", now=now)
        crash_points.reach("booked and not committed")
    return True


def _retire(replaced: Booking, now: datetime) -> None:
    """The old visit of a move. One that is not booked any more was cancelled at the clinic meanwhile."""
    old = Booking.objects.get(pk=replaced.pk)
    if old.status is BookingState.BOOKED:
        begin_cancel(old, now, actor="system", note="moved to another time")


def begin_cancel(booking: Booking, now: datetime, *, actor: str, note: str = "") -> bool:
    """Put on record that a visit is to be cancelled; whoever has its lease next does it."""
    return booking.move(
        BookingState.CANCELLING, actor=actor, note=note, cancelling_at=now, cancels=0, look_up_at=now
    )


def watch(booking: Booking, now: datetime) -> dict[str, Any]:
    """What to write when a booking is settled: if the EHR may have two visits of it, when to look for the other."""
    was_in_doubt = booking.status in (BookingState.UNCONFIRMED, BookingState.NEEDS_STAFF)
    may_have_two = booking.posts > 1 or (booking.posts == 1 and was_in_doubt)
    return {"sweep_at": now + SWEEP_AFTER[0]} if may_have_two else {}


def refuse(booking: Booking, code: RefusalCode, *, now: datetime) -> Booking:
    """Record that there will be no visit; a patient who was told to wait is owed a message about it."""
    was_waiting = booking.status is BookingState.UNCONFIRMED

    @transaction.atomic
    def refused() -> bool:
        moved = booking.move(
            BookingState.REFUSED,
            actor="system",
            note=code,
            failure=code,
            look_up_at=None,
            **watch(booking, now),
        )
        if moved and was_waiting:
            notify.owe(booking, "not_booked", now=now)
        return moved

    if not database_away.outlast(refused, about=booking):
        booking.refresh_from_db()
    board.mark_stale([booking.schedule.ehr_ref])
    return booking
