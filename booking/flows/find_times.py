"""From a reason and a state to the times this patient may book."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.conf import settings

from booking import board
from booking.models.standing import Standing
from booking.scheduling.availability import last_start
from booking.scheduling.clock import local_day
from booking.scheduling.eligibility import Eligible, Visit
from booking.scheduling.errors import EhrUnavailable
from booking.scheduling.openings import DayBounds, Openings
from booking.scheduling.terms import Modality, Offer

from . import clinic_rules, kept_times
from .clinic_rules import ClinicRules

BLOCK_DAYS = 7


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

    openings: Openings
    bounds: DayBounds
    block: Block
    zone: str
    eligible: tuple[Eligible, ...]
    read_at: datetime | None
    pending: int
    is_stale: bool

    @property
    def offers(self) -> tuple[Offer, ...]:
        """Every time as an offer, in order of start, then clinician."""
        return self.openings.offers()


def words_zone(visit: Visit, eligible: Sequence[Eligible]) -> str:
    """The zone times are worded in: the place's own for a visit in person, else where the patient will be."""
    if visit.modality is Modality.IN_PERSON:
        zones = {schedule.zone for entry in eligible for schedule in entry.schedules}
        if len(zones) == 1:
            return zones.pop()
    return visit.zone


def block_of(number: int, visit: Visit, rules: ClinicRules, now: datetime) -> Block:
    today, last = local_day(now, visit.zone), last_start(visit, rules.policy, now)
    number = max(0, min(number, (last - today).days // BLOCK_DAYS))
    first_on = today + timedelta(days=number * BLOCK_DAYS)
    last_on = min(first_on + timedelta(days=BLOCK_DAYS - 1), last)
    return Block(number, first_on, last_on, is_last=last_on == last)


def block_number_of(day: date, visit: Visit, now: datetime) -> int:
    """The block a day of the patient's lies in; days outside the horizon count to the nearest block."""
    return max(0, (day - local_day(now, visit.zone)).days // BLOCK_DAYS)


def find_times(
    visit: Visit, *, block_number: int, now: datetime, stands: Standing, seconds: float | None = None
) -> Times:
    """What is open in one block of days, after at most ``seconds`` (else the grid's deadline) with the EHR.

    Raises ``EhrUnavailable`` when the EHR is away and nothing is known.
    """
    rules = clinic_rules.at(stands)
    eligible = rules.index.eligible(visit)
    block = block_of(block_number, visit, rules, now)
    zone = words_zone(visit, eligible)
    bounds = DayBounds.of(block.first_on, block.last_on, zone)
    found = kept_times.find(
        kept_times.Question(visit, eligible, bounds, rules),
        stands=stands,
        now=now,
        seconds=settings.GRID_DEADLINE_SECONDS if seconds is None else seconds,
    )
    view = found.view
    if view.unreachable and view.read_at is None and not view.pending:
        raise EhrUnavailable("no schedule could be read and none is known")
    return Times(
        openings=found.openings,
        bounds=bounds,
        block=block,
        zone=zone,
        eligible=eligible,
        read_at=view.read_at,
        pending=view.pending + view.unreachable,
        is_stale=view.is_stale,
    )


def read_ahead(now: datetime) -> board.ReadAhead | None:
    """Have the board read again what people look at, and the next days of everybody while there is room.

    None without Redis: what one process reads no other would see.
    """
    return board.read_ahead(_coming_wants(now)) if settings.REDIS_URL else None


def _coming_wants(now: datetime) -> Iterator[board.Want]:
    """For every length and type of visit that somebody takes."""
    rules = clinic_rules.current()
    lines = {
        board.Line(schedule.ref, schedule.zone, minutes, appointment_type): None
        for reason in (rules.terms[code] for code in rules.reasons)
        for modality, appointment_type in reason.appointment_types.items()
        for schedule, minutes in rules.index.lengths(reason, modality)
    }
    for line in lines:
        today = local_day(now, line.zone)
        yield board.Want(line, today, today + timedelta(days=BLOCK_DAYS - 1))


def next_block_with_times(
    visit: Visit,
    *,
    after: Block,
    now: datetime,
    stands: Standing,
    clinician_id: int | None = None,
    seconds: float | None = None,
) -> Times | None:
    """The first later block that has any time, of one clinician or of all; None as far as the horizon reaches.

    Of the days beyond it nothing is fetched, and all blocks together get the time that one page may take. A block that
    is not known yet ends the search: what it would say is still pending.
    """
    allowed = settings.GRID_DEADLINE_SECONDS if seconds is None else seconds
    ends = time.monotonic() + allowed
    block = after
    while not block.is_last:
        left = max(0.0, ends - time.monotonic())
        times = find_times(visit, block_number=block.number + 1, now=now, stands=stands, seconds=left)
        if times.openings.of(clinician_id) or times.pending:
            return times
        block = times.block
    return None
