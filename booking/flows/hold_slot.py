"""Taking, extending and giving back a hold.

What is made scarcer is locked: the clinician's row, once, as late as possible, just before the check and the write.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet

from booking import board, crash_points, ehr
from booking.models import (
    Booking,
    BookingEvent,
    ClinicianRecord,
    ScheduleRecord,
    VisitReasonRecord,
)
from booking.models.bookings import Visitor
from booking.models.claims import claims_between
from booking.scheduling.availability import Policy, find_offers
from booking.scheduling.clock import LONGEST_DAY, local_day
from booking.scheduling.eligibility import Visit, Withheld
from booking.scheduling.errors import Refusal, RefusalCode
from booking.scheduling.lifecycle import CLAIMING, BookingState
from booking.scheduling.terms import Offer, Slot

from . import clinic_rules, ehr_holds, hold_limits

# After the browser leaves, a hold is kept this long in case it comes back.
LEAVING_SECONDS = 90

_REFUSALS = {
    Withheld.NO_LICENSE: RefusalCode.NOT_LICENSED,
    Withheld.LICENSE_ENDED: RefusalCode.NOT_LICENSED,
    Withheld.LICENSE_NOT_FOR_MODALITY: RefusalCode.NOT_LICENSED,
    Withheld.IN_PAST: RefusalCode.TIME_PAST,
    Withheld.TOO_SOON: RefusalCode.TOO_SOON,
    Withheld.TOO_FAR: RefusalCode.TOO_FAR,
    Withheld.CLAIMED: RefusalCode.TIME_TAKEN,
    Withheld.DAY_FULL: RefusalCode.TIME_TAKEN,
}
# Who a booking is for, and how they are reached.
_WHOSE = ("patient", "user", "contact_channel", "contact_value", "contact_verified_at", "text_consent_at")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the patient pressed: a schedule of ours and an instant. Everything else is worked out again."""

    schedule_id: int
    starts_at: datetime


def lock_clinician(clinician_id: int) -> None:
    """Wait for, and keep until the transaction ends, the only right to claim this clinician's time.

    On SQLite a transaction is IMMEDIATE (see settings): it holds the database's one write lock already.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("lock_clinician needs a transaction")
    ClinicianRecord.objects.select_for_update().only("pk").get(pk=clinician_id)


def lock_visitor(visitor: Visitor) -> None:
    """Let one visitor take one hold at a time, so that two tabs cannot keep two. Before the clinician's lock, always."""
    hold_limits.lock(f"hold:{visitor.owner_key}")


def expire_overlapping(clinician_id: int, starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    """Close the holds in the way whose time is up. Nobody else need have done it yet."""
    lapsed = (
        Booking.objects.overlapping(clinician_id, starts_at, ends_at)
        .filter(state=BookingState.HELD, hold_expires_at__lte=now)
        .only("state")
    )
    for booking in lapsed:
        booking.move(BookingState.EXPIRED, actor="system", note="hold ended")


def is_free(offer: Offer, *, policy: Policy, now: datetime) -> bool:
    """Whether no live claim of ours, buffer and daily cap included, stands against this offer."""
    claims = Booking.objects.claiming(now)
    starts_at, ends_at, clinician_id = offer.starts_at, offer.ends_at, offer.clinician.id
    if claims.overlapping(clinician_id, starts_at - policy.buffer, ends_at + policy.buffer).exists():
        return False
    if policy.daily_cap is None:
        return True
    zone = offer.schedule.zone
    nearby = claims.overlapping(clinician_id, starts_at - LONGEST_DAY, ends_at + LONGEST_DAY)
    on = local_day(starts_at, zone)
    return (
        sum(local_day(start, zone) == on for start in nearby.values_list("starts_at", flat=True))
        < policy.daily_cap
    )


def clinician_of(choice: Choice) -> int | None:
    return ScheduleRecord.objects.filter(pk=choice.schedule_id).values_list("clinician_id", flat=True).first()


def check_offer(
    visit: Visit,
    choice: Choice,
    *,
    now: datetime,
    apart_from: Collection[UUID] = (),
    submitted_at: datetime | None = None,
    is_kept_for_us: bool = False,
) -> Offer:
    """The offer behind a choice, by our rules and by the EHR's answer for that very day.

    One that was held and then submitted had to keep the lead time when it was chosen, and has not to keep it once more.
    One that the EHR keeps for us is not among its free ones: then our rules alone are asked, and the create tells
    whether it is still kept. Raises ``Refusal`` with the reason, or ``EhrUnavailable``. Reads only; no lock is held.
    """
    rules = clinic_rules.current()
    eligibility = rules.index.weigh_whose(choice.schedule_id, visit)
    if eligibility is None:
        raise Refusal(RefusalCode.NOT_OFFERED)
    if not eligibility.eligible:
        raise Refusal(_REFUSALS.get(eligibility.withheld[0][1], RefusalCode.NOT_OFFERED))
    entry = eligibility.eligible[0]
    schedule = next((each for each in entry.schedules if each.id == choice.schedule_id), None)
    if schedule is None:
        raise Refusal(RefusalCode.NOT_OFFERED)
    ends_at = choice.starts_at + timedelta(minutes=entry.minutes)
    if is_kept_for_us:
        slots = [Slot(schedule.ref, choice.starts_at, ends_at)]
    else:
        on = local_day(choice.starts_at, schedule.zone)
        slots = [
            slot
            for slot in ehr.gateway().free_slots(
                schedule.ref,
                first_on=on,
                last_on=on,
                minutes=entry.minutes,
                appointment_type=visit.reason.appointment_types[visit.modality],
            )
            if slot.starts_at == choice.starts_at
        ]
    policy = rules.policy
    if submitted_at is not None:
        # A hold can be extended once, and an attempt in doubt may be older than any hold.
        longest = 2 * timedelta(minutes=rules.policy_record.hold_minutes)
        policy = replace(policy, lead=policy.lead - longest - (now - submitted_at))
    first, last = choice.starts_at - LONGEST_DAY, ends_at + LONGEST_DAY
    claims = claims_between(first, last, now, of=[entry.clinician.id], apart_from=apart_from)
    found = find_offers([entry], {schedule.ref: slots}, visit=visit, policy=policy, claims=claims, now=now)
    if found.offers:
        return found.offers[0]
    for cause in found.withheld:
        raise Refusal(_REFUSALS.get(cause, RefusalCode.NOT_OFFERED))
    # The EHR no longer has it. A time already past is told apart, since choosing it again cannot help.
    raise Refusal(RefusalCode.TIME_PAST if choice.starts_at <= now else RefusalCode.TIME_TAKEN)


def hold(visit: Visit, choice: Choice, *, visitor: Visitor, now: datetime) -> Booking:
    """Claim the chosen time for a few minutes; the visitor's earlier hold is given back once the new one stands.

    Raises ``Refusal`` or ``EhrUnavailable``. Choosing again the time one already holds returns that hold.
    """
    mine = list(Booking.objects.of(visitor).filter(state=BookingState.HELD))
    for booking in mine:
        if booking.is_live_hold(now) and _is_same(booking, visit, choice):
            return booking
    own = [booking.pk for booking in mine]
    if ehr.gateway().capabilities.holds:
        ehr_holds.give_back_own(_kept_nearby(visitor, choice), now=now)
    try:
        with ehr.within(settings.EHR_PAGE_SECONDS):
            offer = check_offer(visit, choice, now=now, apart_from=own)
    except Refusal:
        # What the page showed was no longer so: let the next one ask the EHR again.
        board.mark_stale(
            ScheduleRecord.objects.filter(pk=choice.schedule_id).values_list("ehr_ref", flat=True)
        )
        raise
    rules = clinic_rules.current()
    expires_at = now + timedelta(minutes=rules.policy_record.hold_minutes)
    with transaction.atomic():
        lock_visitor(visitor)
        lock_clinician(offer.clinician.id)
        expire_overlapping(offer.clinician.id, offer.starts_at, offer.ends_at, now)
        # Two presses of one button: whoever comes second finds the hold of the first.
        here = Q(schedule_id=choice.schedule_id, starts_at=choice.starts_at)
        mine = list(
            Booking.objects.of(visitor).filter(Q(state=BookingState.HELD) | Q(state__in=CLAIMING) & here)
        )
        for booking in mine:
            is_live = booking.state != BookingState.HELD or booking.is_live_hold(now)
            if is_live and booking.pk not in own and _is_at(booking, choice):
                return booking
        # One that has meanwhile been submitted is not released, and stands against the new hold like anybody's.
        for booking in mine:
            release(booking, note="chose another time")
        hold_limits.check(visitor, now=now)
        if not is_free(offer, policy=rules.policy, now=now):
            raise Refusal(RefusalCode.TIME_TAKEN)
        booking = Booking.objects.create(
            owner_key=visitor.owner_key,
            user=visitor.user,
            network_key=visitor.network,
            clinician_id=offer.clinician.id,
            schedule_id=offer.schedule.id,
            reason=VisitReasonRecord.objects.only("code").get(code=visit.reason.code),
            modality=visit.modality,
            specialty=visit.specialty or "",
            patient_kind=visit.patient_kind or "",
            jurisdiction=visit.jurisdiction,
            zone=visit.zone,
            license_number=offer.license.number,
            license_basis=offer.license.basis,
            license_compact=offer.license.compact,
            starts_at=offer.starts_at,
            ends_at=offer.ends_at,
            hold_expires_at=expires_at,
            hold_full_expires_at=expires_at,
        )
        BookingEvent.objects.create(booking=booking, new_state=BookingState.HELD, actor="patient")
    crash_points.reach("hold written")
    board.note_claims([offer.clinician.id])
    ehr_holds.ask(booking, now=now)
    return booking


def _kept_nearby(visitor: Visitor, choice: Choice) -> QuerySet[Booking]:
    """Holds of this visitor's around a choice that the EHR may still keep, though they are or are about to be over."""
    return (
        Booking.objects.of(visitor)
        .filter(
            state__in=[BookingState.HELD, *ehr_holds.OVER],
            schedule_id=choice.schedule_id,
            ehr_hold_settled_at__isnull=False,
            ends_at__gt=choice.starts_at,
            starts_at__lt=choice.starts_at + LONGEST_DAY,
        )
        .select_related("clinician", "schedule__location", "reason")
    )


def renew(booking: Booking, *, visitor: Visitor, now: datetime) -> Booking:
    """A hold like one that ended, for the same person, if the time is still free.

    Raises ``Refusal`` or ``EhrUnavailable``. If this visitor has since claimed the time anew, that booking is given.
    """
    if booking.status is BookingState.HELD:
        booking.move(BookingState.EXPIRED, actor="system", note="hold ended")
    again = (
        Booking.objects.of(visitor)
        .claiming(now)
        .filter(schedule_id=booking.schedule_id, starts_at=booking.starts_at)
    )
    renewed = again.first() or hold(
        booking.to_visit(clinic_rules.reason_of(booking)),
        Choice(booking.schedule_id, booking.starts_at),
        visitor=visitor,
        now=now,
    )
    if renewed.status is BookingState.HELD and renewed.patient is None:
        give_to(renewed, booking, replaces=booking.replaces)
    return renewed


def give_to(booking: Booking, like: Booking, *, replaces: Booking | None) -> None:
    """Make a hold the same person's, to be reached in the same way, as another booking."""
    for name in _WHOSE:
        setattr(booking, name, getattr(like, name))
    booking.replaces = replaces
    booking.save(update_fields=[*_WHOSE, "replaces"])


def _is_at(booking: Booking, choice: Choice) -> bool:
    return booking.schedule_id == choice.schedule_id and booking.starts_at == choice.starts_at


def _is_same(booking: Booking, visit: Visit, choice: Choice) -> bool:
    return (
        _is_at(booking, choice)
        and booking.reason.code == visit.reason.code
        and booking.modality == visit.modality
        and booking.jurisdiction == visit.jurisdiction
        and booking.specialty == (visit.specialty or "")
        and booking.patient_kind == (visit.patient_kind or "")
    )


def extend(booking: Booking, *, now: datetime) -> bool:
    """Give the whole hold time once more. False when it was extended before, or is over."""
    minutes = timedelta(minutes=clinic_rules.current().policy_record.hold_minutes)
    return bool(
        Booking.objects.filter(
            pk=booking.pk, state=BookingState.HELD, hold_is_extended=False, hold_expires_at__gt=now
        ).update(hold_is_extended=True, hold_expires_at=now + minutes, hold_full_expires_at=now + minutes)
    )


def release(booking: Booking, *, actor: str = "patient", note: str = "") -> bool:
    """Give a hold back. False when it is not a hold any more."""
    return booking.status is BookingState.HELD and booking.move(BookingState.RELEASED, actor=actor, note=note)


def leave(booking: Booking, *, now: datetime) -> None:
    """The browser left the portal: let the hold end soon unless it comes back."""
    Booking.objects.filter(
        pk=booking.pk, state=BookingState.HELD, hold_expires_at__gt=now + timedelta(seconds=LEAVING_SECONDS)
    ).update(hold_expires_at=now + timedelta(seconds=LEAVING_SECONDS))


def resume(booking: Booking, *, now: datetime) -> None:
    """The browser is here: the hold, if it is still live, lasts as long as it was promised to."""
    if booking.is_live_hold(now) and booking.hold_expires_at != booking.hold_full_expires_at:
        restored = Booking.objects.filter(
            pk=booking.pk, state=BookingState.HELD, hold_expires_at__gt=now
        ).update(hold_expires_at=booking.hold_full_expires_at)
        if restored:
            booking.hold_expires_at = booking.hold_full_expires_at


def expire_holds(*, now: datetime) -> int:
    """Close every hold whose time is up. Claims judge expiry themselves; this only tidies."""
    lapsed = Booking.objects.filter(state=BookingState.HELD, hold_expires_at__lte=now)
    closed = sum(booking.move(BookingState.EXPIRED, actor="system", note="hold ended") for booking in lapsed)
    crash_points.reach("hold expired")
    return closed
