"""From a reason and a state to the times this patient may book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from django.conf import settings

from booking import board, ehr
from booking.models import Booking, ClinicianRecord, SchedulingPolicy
from booking.scheduling.availability import Policy, find_offers, last_start
from booking.scheduling.clock import day_bounds, local_day
from booking.scheduling.durations import depends_on_patient_kind
from booking.scheduling.eligibility import Eligibility, Eligible, Visit, specialties_open, weigh
from booking.scheduling.errors import EhrUnavailable
from booking.scheduling.terms import Clinician, Modality, Offer


@dataclass(frozen=True, slots=True)
class Block:
    """Days shown together, in the patient's zone, both ends included. ``number`` 0 begins today."""

    number: int
    first_on: date
    last_on: date
    is_last: bool

    @property
    def days(self) -> list[date]:
        return [self.first_on + timedelta(days=n) for n in range((self.last_on - self.first_on).days + 1)]


@dataclass(frozen=True, slots=True)
class Times:
    """``zone`` is the one all of these are to be worded in; ``pending`` schedules are still being looked up."""

    offers: tuple[Offer, ...]
    block: Block
    zone: str
    eligibility: Eligibility
    read_at: datetime | None
    pending: int
    is_stale: bool


def clinicians(visit: Visit) -> list[Clinician]:
    """Everybody who can be booked, with their licenses and what compacts grant them where the patient will be."""
    records = ClinicianRecord.objects.bookable().with_directory()
    return [record.to_term(visit.jurisdiction) for record in records]


def open_specialties(visit: Visit, now: datetime) -> dict[str, int]:
    """Specialties with somebody licensed who takes the reason, and how many there are."""
    policy = SchedulingPolicy.current().to_term()
    return specialties_open(
        clinicians(visit), visit, now=now, until=now + timedelta(days=policy.horizon_days)
    )


def asks_patient_kind(visit: Visit) -> bool:
    """Whether being new or established decides the length of the visit, or who may be seen at all."""
    if depends_on_patient_kind(visit.reason):
        return True
    anyone = replace(visit, patient_kind=None)
    people = clinicians(visit)
    return any(
        not entry.clinician.accepts_new_patients
        for modality in visit.reason.appointment_types
        for entry in weigh(people, replace(anyone, modality=modality)).eligible
    )


def modalities_open(visit: Visit) -> list[Modality]:
    """The ways somebody could see this patient for this reason, in the order they are offered."""
    people = clinicians(visit)
    return [modality for modality in Modality if weigh(people, replace(visit, modality=modality)).eligible]


def words_zone(visit: Visit, eligible: Sequence[Eligible]) -> str:
    """The zone times are worded in: the place's own for a visit in person, else where the patient will be."""
    if visit.modality is Modality.IN_PERSON:
        zones = {schedule.zone for entry in eligible for schedule in entry.schedules}
        if len(zones) == 1:
            return zones.pop()
    return visit.zone


def _block_length() -> int:
    # A day of the patient's can lie on two days of the practice's, so a block is two days shorter than a search.
    return ehr.gateway().capabilities.days_per_slot_search - 2


def block_of(number: int, visit: Visit, policy: Policy, now: datetime) -> Block:
    length = _block_length()
    today, last = local_day(now, visit.zone), last_start(visit, policy, now)
    number = max(0, min(number, (last - today).days // length))
    first_on = today + timedelta(days=number * length)
    last_on = min(first_on + timedelta(days=length - 1), last)
    return Block(number, first_on, last_on, is_last=last_on == last)


def _wants(eligible: Sequence[Eligible], visit: Visit, block: Block, now: datetime) -> list[board.Want]:
    appointment_type = visit.reason.appointment_types[visit.modality]
    return [
        board.Want(
            schedule_ref=schedule.ref,
            minutes=entry.minutes,
            appointment_type=appointment_type,
            first_on=max(block.first_on - timedelta(days=1), local_day(now, schedule.zone)),
            last_on=block.last_on + timedelta(days=1),
        )
        for entry in eligible
        for schedule in entry.schedules
    ]


def find_times(visit: Visit, *, block_number: int, now: datetime, clinician_id: int | None = None) -> Times:
    """Offers in one block of days. Raises ``EhrUnavailable`` when the EHR is away and nothing is known."""
    policy = SchedulingPolicy.current().to_term()
    eligibility = weigh(clinicians(visit), visit)
    block = block_of(block_number, visit, policy, now)
    wanted = [entry for entry in eligibility.eligible if clinician_id in (None, entry.clinician.id)]
    view = board.read(_wants(wanted, visit, block, now), deadline_seconds=settings.GRID_DEADLINE_SECONDS)
    if view.unreachable and view.read_at is None and not view.pending:
        raise EhrUnavailable("no schedule could be read and none is known")
    first, _ = day_bounds(block.first_on - timedelta(days=1), visit.zone)
    _, last = day_bounds(block.last_on + timedelta(days=1), visit.zone)
    claims = Booking.objects.claims([entry.clinician.id for entry in wanted], first, last, now)
    found = find_offers(wanted, view.slots, visit=visit, policy=policy, claims=claims, now=now)
    zone = words_zone(visit, eligibility.eligible)
    offers = tuple(
        offer for offer in found.offers if block.first_on <= local_day(offer.starts_at, zone) <= block.last_on
    )
    return Times(
        offers=offers,
        block=block,
        zone=zone,
        eligibility=eligibility,
        read_at=view.read_at,
        pending=view.pending + view.unreachable,
        is_stale=view.is_stale,
    )


def next_block_with_times(visit: Visit, *, after: Block, now: datetime) -> Times | None:
    """The first later block that has any offer, or None as far as the horizon reaches."""
    times_block = after
    while not times_block.is_last:
        times = find_times(visit, block_number=times_block.number + 1, now=now)
        if times.offers:
            return times
        times_block = times.block
    return None


def block_number_of(day: date, visit: Visit, now: datetime) -> int:
    """The block a day of the patient's lies in; days outside the horizon count to the nearest block."""
    first = block_of(0, visit, SchedulingPolicy.current().to_term(), now)
    return max(0, (day - first.first_on).days // _block_length())
