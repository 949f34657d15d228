"""From a reason and a state to the times this patient may book.

What a process worked out for one question stays good until the rules, a claim or a reading of these schedules change,
or until time itself takes one of the times away. A page that finds it so costs one query and one word with the store.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from threading import Lock
from weakref import WeakValueDictionary

from django.conf import settings

from booking import board
from booking.models import Booking, BookingEvent
from booking.models.standing import Standing
from booking.scheduling.availability import Claims, last_start
from booking.scheduling.clock import local_day
from booking.scheduling.eligibility import Eligible, Visit
from booking.scheduling.errors import EhrUnavailable
from booking.scheduling.openings import DayBounds, Openings, instant, open_times
from booking.scheduling.terms import Modality, Offer

from . import clinic_rules
from .clinic_rules import ClinicRules

BLOCK_DAYS = 7
# What is kept is looked at anew after so long even when nothing is known to have changed.
KEPT_SECONDS = 10.0
# Readings come in all the time where many people look; a page takes note of them this often.
VIEW_SECONDS = 1.0
# A claim is in ``claims`` as soon as it is committed; the store, which knows what the EHR told us, is asked this often.
LAG_SECONDS = 0.2
# How long a thread waits for another that works out the same.
TURN_SECONDS = 0.25
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


@dataclass(frozen=True, slots=True)
class _Scope:
    """Whose times a question is about, put together once for as long as that stays so.

    ``urgent`` are the board's keys of what must be seen at once; ``whose`` tells by key of whom a claim was noted.
    """

    eligible: tuple[Eligible, ...]
    spans: Mapping[str, tuple[date, date]]
    wants: board.Wants
    who: frozenset[int]
    whose: Mapping[str, int]
    urgent: frozenset[str]

    @classmethod
    def of(
        cls, visit: Visit, eligible: tuple[Eligible, ...], spans: Mapping[str, tuple[date, date]]
    ) -> _Scope:
        who = frozenset(entry.clinician.id for entry in eligible)
        wants = board.Wants(_wants(visit, eligible, spans))
        whose = {board.claims_key(each): each for each in who}
        return cls(eligible, spans, wants, who, whose, wants.stale_keys | whose.keys())


@dataclass(slots=True)
class _Kept:
    """What was worked out for one question. ``noted`` is the number of the last event of a booking that is in it."""

    scope: _Scope
    openings: Openings
    view: board.BoardView
    claims: Claims
    noted: int
    until: datetime
    made_at: float

    def is_good(self, stands: Standing, now: datetime) -> bool:
        """Whether nobody claimed or gave back a time of these, no schedule was seen to differ, and no time has passed."""
        return (
            (self.noted == stands.claims or self._claims_are_others(stands))
            and now < self.until
            and time.monotonic() < self.made_at + KEPT_SECONDS
            and not board.has_changed(self.scope.urgent, self.view.number, age=LAG_SECONDS)
        )

    def _claims_are_others(self, stands: Standing) -> bool:
        """Whether all that became of bookings since concerns other clinicians. Then it is not asked again."""
        if not self.scope.who.isdisjoint(_noted_since(self.noted)):
            return False
        self.noted = stands.claims
        return True

    def is_current(self) -> bool:
        """Whether what the board said then is what it would say now, or was a moment ago."""
        at = time.time()
        if at < self.view.made_at + VIEW_SECONDS and not self.view.pending:
            return True
        return at < self.view.until and not board.has_changed(self.scope.wants.keys, self.view.number)

    def claimed_since(self, now: datetime) -> set[int] | None:
        """Those of whom something may have been claimed or given back since; None when that can be anybody."""
        changed = board.changed(self.view.number)
        if changed is None or time.monotonic() >= self.made_at + KEPT_SECONDS:
            return None
        lapsed = {claim.clinician_id for claim in self.claims.of_all() if claim.until and claim.until <= now}
        noted = {whose for key in changed if (whose := self.scope.whose.get(key)) is not None}
        return (lapsed | noted | _noted_since(self.noted)) & self.scope.who


def _noted_since(event: int) -> set[int]:
    """Clinicians of whose bookings anything became after that event."""
    return set(
        BookingEvent.objects.filter(pk__gt=event).values_list("booking__clinician_id", flat=True).distinct()
    )


_kept: OrderedDict[Hashable, _Kept] = OrderedDict()
_at_work: WeakValueDictionary[Hashable, _Turn] = WeakValueDictionary()
_lock = Lock()


class _Turn:
    """One thread of the process works out a question. It saves work and guards nothing: who waited long goes on without."""

    def __init__(self) -> None:
        self._lock = Lock()

    @classmethod
    def at(cls, question: Hashable) -> _Turn:
        with _lock:
            return _at_work.setdefault(question, cls())

    @contextmanager
    def taken(self, seconds: float) -> Iterator[bool]:
        is_mine = self._lock.acquire(timeout=seconds)
        try:
            yield is_mine
        finally:
            if is_mine:
                self._lock.release()


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
    kept = _find_kept(question)
    is_good = kept is not None and kept.is_good(stands, now)
    if kept is None or not is_good or not kept.is_current():
        # While another thread looks anew, what is still good is good enough.
        is_enough = kept is not None and is_good and not kept.view.pending
        with _Turn.at(question).taken(0 if is_enough else TURN_SECONDS) as is_mine:
            if kept is None or is_mine or not is_enough:
                kept = _look_anew(question, visit, eligible, bounds, rules, stands, now, seconds)
    board.watch(kept.scope.wants)
    return kept


def _find_kept(question: Hashable) -> _Kept | None:
    with _lock:
        return _kept.get(question)


def _look_anew(
    question: Hashable,
    visit: Visit,
    eligible: tuple[Eligible, ...],
    bounds: DayBounds,
    rules: ClinicRules,
    stands: Standing,
    now: datetime,
    seconds: float | None,
) -> _Kept:
    before = _find_kept(question)
    is_good = before is not None and before.is_good(stands, now)
    if before is not None and is_good and before.is_current():
        # Whoever was at it while this thread waited has done it.
        return before
    spans = _practice_days(eligible, bounds, now)
    if before is not None and before.scope.eligible is eligible and before.scope.spans == spans:
        scope = before.scope
    else:
        before, is_good, scope = None, False, _Scope.of(visit, eligible, spans)
    deadline = settings.GRID_DEADLINE_SECONDS if seconds is None else seconds
    view = board.read(scope.wants, deadline_seconds=deadline, before=None if before is None else before.view)
    # A claim told of since ``is_good`` looked would be passed over with the view's newer number.
    if (
        before is not None
        and is_good
        and view.starts == before.view.starts
        and not board.has_changed(scope.urgent, before.view.number)
    ):
        # Read again, and the same: what was made of it is as good as before.
        kept = replace(before, view=view)
    else:
        kept = _work_out(scope, visit, bounds, rules, stands, now, view, before)
        if before is not None and kept.openings == before.openings:
            kept.openings = before.openings
    with _lock:
        _kept[question] = kept
        _kept.move_to_end(question)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return kept


def _kind(visit: Visit) -> tuple[Hashable, ...]:
    return visit.modality, visit.specialty, visit.patient_kind


def _work_out(
    scope: _Scope,
    visit: Visit,
    bounds: DayBounds,
    rules: ClinicRules,
    stands: Standing,
    now: datetime,
    view: board.BoardView,
    before: _Kept | None,
) -> _Kept:
    within = bounds.whole
    # A day more on either side: daily caps count by the schedule's day.
    first, last = instant(within[0]) - timedelta(days=1), instant(within[1]) + timedelta(days=1)
    changed = None if before is None else before.claimed_since(now)
    if before is None or changed is None:
        found = (each for each in Booking.objects.claims(first, last, now) if each.clinician_id in scope.who)
        claims, made_at = Claims(found, rules.policy.buffer), time.monotonic()
    else:
        claims, made_at = before.claims, before.made_at
        if changed:
            claims = claims.with_those(changed, Booking.objects.claims(first, last, now, changed))
    openings = open_times(
        scope.eligible,
        view.starts,
        within=within,
        visit=visit,
        policy=rules.policy,
        claims=claims,
        now=now,
        before=None if before is None else before.openings,
    )
    return _Kept(
        scope=scope,
        openings=openings,
        view=view,
        claims=claims,
        noted=stands.claims,
        until=min([openings.until, *(claim.until for claim in claims.of_all() if claim.until is not None)]),
        made_at=made_at,
    )


def _practice_days(
    eligible: Sequence[Eligible], bounds: DayBounds, now: datetime
) -> dict[str, tuple[date, date]]:
    """By zone of a schedule, the days there that the bounds touch, of which today is the first that can have anything."""
    first, last = max(instant(bounds.edges[0]), now.astimezone(UTC)), instant(bounds.edges[-1] - 1)
    zones = {schedule.zone for entry in eligible for schedule in entry.schedules}
    return {zone: (local_day(first, zone), local_day(last, zone)) for zone in zones}


def _wants(
    visit: Visit, eligible: Sequence[Eligible], spans: Mapping[str, tuple[date, date]]
) -> Iterator[board.Want]:
    appointment_type = visit.reason.appointment_types.get(visit.modality)
    if appointment_type is None:
        return
    for entry in eligible:
        for schedule in entry.schedules:
            zone = schedule.zone
            yield board.wanted(schedule.ref, zone, entry.minutes, appointment_type, *spans[zone])


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
