"""From a reason and a state to the times this patient may book.

What a process worked out for one question stays good until the rules, a claim or a reading of these schedules change,
or until time itself takes one of the times away. A page that finds it so costs one query and one word with the store.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from threading import Lock

from django.conf import settings

from booking import board
from booking.models import Booking, BookingEvent
from booking.models.standing import Standing
from booking.scheduling.availability import last_start
from booking.scheduling.clock import local_day
from booking.scheduling.eligibility import Eligible, Visit
from booking.scheduling.errors import EhrUnavailable
from booking.scheduling.openings import DayBounds, Openings, instant, open_times
from booking.scheduling.terms import Claim, Modality, Offer

from . import clinic_rules
from .clinic_rules import ClinicRules

BLOCK_DAYS = 7
# What is kept is looked at anew after so long even when nothing is known to have changed.
KEPT_SECONDS = 10.0
# Readings come in all the time where many people look; a page takes note of them this often.
VIEW_SECONDS = 1.0
# A claim is in ``claims`` as soon as it is committed; the store, which knows what the EHR told us, is asked this often.
LAG_SECONDS = 0.2
_MOST_KEPT = 48


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


@dataclass(slots=True)
class _Kept:
    """``urgent`` are the board's keys of what must be seen at once, ``read`` those of the readings that went into it."""

    openings: Openings
    view: board.BoardView
    claims: int
    who: frozenset[int]
    until: datetime
    urgent: frozenset[str]
    read: frozenset[str]
    made_at: float
    group: str
    wants: tuple[board.Want, ...]

    def is_good(self, stands: Standing, now: datetime) -> bool:
        """Whether nobody claimed or gave back a time of these, no schedule was seen to differ, and no time has passed."""
        return (
            (self.claims == stands.claims or self._claims_are_others(stands))
            and now < self.until
            and time.monotonic() < self.made_at + KEPT_SECONDS
            and not board.has_changed(self.urgent, self.view.number, age=LAG_SECONDS)
        )

    def _claims_are_others(self, stands: Standing) -> bool:
        """Whether all that became of bookings since concerns other clinicians. Then it is not asked again."""
        since = BookingEvent.objects.filter(pk__gt=self.claims).values_list(
            "booking__clinician_id", flat=True
        )
        if not self.who.isdisjoint(since.distinct()):
            return False
        self.claims = stands.claims
        return True

    def is_current(self) -> bool:
        """Whether what the board said then is what it would say now, or was a moment ago."""
        at = time.time()
        if at < self.view.made_at + VIEW_SECONDS and not self.view.pending:
            return True
        return at < self.view.until and not board.has_changed(self.read, self.view.number)


_kept: OrderedDict[Hashable, _Kept] = OrderedDict()
_lock = Lock()


def forget() -> None:
    """As a process that has just begun."""
    with _lock:
        _kept.clear()


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
    found = _openings(visit, eligible, bounds, rules, stands, now, seconds)
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


def _openings(
    visit: Visit,
    eligible: tuple[Eligible, ...],
    bounds: DayBounds,
    rules: ClinicRules,
    stands: Standing,
    now: datetime,
    seconds: float | None,
) -> _Kept:
    place = (visit.reason.code, visit.jurisdiction, visit.zone)
    question = (settings.EHR_BASE_URL, rules.version, place, *_kind(visit), bounds.edges[0], bounds.edges[-1])
    with _lock:
        kept = before = _kept.get(question)
    if kept is not None and not kept.is_good(stands, now):
        kept = None
    if kept is not None and kept.is_current():
        board.watch(kept.group, kept.wants)
        return kept
    wants = tuple(_wants(visit, eligible, bounds, now))
    deadline = settings.GRID_DEADLINE_SECONDS if seconds is None else seconds
    view = board.read(wants, deadline_seconds=deadline)
    is_same = kept is not None and view.starts == kept.view.starts
    # A claim told of since ``is_good`` looked would be passed over with the view's newer number.
    if kept is not None and is_same and not board.has_changed(kept.urgent, kept.view.number):
        # Read again, and the same: what was made of it is as good as before.
        kept = replace(kept, view=view)
    else:
        kept = _work_out(visit, eligible, bounds, rules, stands, now, wants, view)
        if before is not None and kept.openings == before.openings:
            kept.openings = before.openings
    board.watch(kept.group, kept.wants)
    with _lock:
        _kept[question] = kept
        _kept.move_to_end(question)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return kept


def _kind(visit: Visit) -> tuple[Hashable, ...]:
    return visit.modality, visit.specialty, visit.patient_kind


def _work_out(
    visit: Visit,
    eligible: tuple[Eligible, ...],
    bounds: DayBounds,
    rules: ClinicRules,
    stands: Standing,
    now: datetime,
    wants: tuple[board.Want, ...],
    view: board.BoardView,
) -> _Kept:
    within = bounds.whole
    who = frozenset(entry.clinician.id for entry in eligible)
    # A day more on either side: daily caps count by the schedule's day.
    first, last = instant(within[0]) - timedelta(days=1), instant(within[1]) + timedelta(days=1)
    claims = [claim for claim in Booking.objects.claims(first, last, now) if claim.clinician_id in who]
    openings = open_times(
        eligible,
        view.starts,
        within=within,
        visit=visit,
        policy=rules.policy,
        claims=claims,
        now=now,
    )
    return _Kept(
        openings=openings,
        view=view,
        claims=stands.claims,
        who=who,
        until=min([openings.until, *_ends(claims)]),
        urgent=frozenset(
            [key for want in wants for key in want.stale_keys] + [board.claims_key(each) for each in who]
        ),
        read=frozenset(key for want in wants for key in want.keys),
        made_at=time.monotonic(),
        group=board.group_key(wants),
        wants=wants,
    )


def _ends(claims: Sequence[Claim]) -> Iterator[datetime]:
    return (claim.until for claim in claims if claim.until is not None)


def _wants(
    visit: Visit, eligible: Sequence[Eligible], bounds: DayBounds, now: datetime
) -> Iterator[board.Want]:
    appointment_type = visit.reason.appointment_types.get(visit.modality)
    if appointment_type is None:
        return
    # In the practice's days, of which today is the first that can have anything.
    spans: dict[str, tuple[date, date]] = {}
    first, last = max(instant(bounds.edges[0]), now.astimezone(UTC)), instant(bounds.edges[-1] - 1)
    for entry in eligible:
        for schedule in entry.schedules:
            zone = schedule.zone
            if zone not in spans:
                spans[zone] = local_day(first, zone), local_day(last, zone)
            line = board.Line(schedule.ref, zone, entry.minutes, appointment_type)
            yield board.Want(line, *spans[zone])


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
        for reason in rules.terms.values()
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
