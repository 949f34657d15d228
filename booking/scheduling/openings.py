"""The times open to one patient among many clinicians, kept as whole numbers until somebody asks for one. Pure.

A grid of two hundred clinicians has tens of thousands of times, of which a page shows a few hundred. Aware datetimes
cost seven times what integers do, so starts stay seconds since 1970 in sorted arrays, and an ``Offer`` is made for
the times that are shown. The rules are ``availability.weigh_time``'s: they are asked of every time of a clinician with
whom the answer can differ from one time to the next, and of nobody else's.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from heapq import nsmallest
from itertools import pairwise
from typing import Any, TypeVar

from .availability import Claims, Policy, last_start, weigh_time
from .clock import PARTS_OF_DAY, day_bounds, local_day, part_begins
from .eligibility import Eligible, Visit
from .terms import Claim, Offer, Schedule

Starts = Sequence[int]
Span = tuple[int, int]
Spans = tuple[Span, ...]
Answer = TypeVar("Answer")


def instant(start: int) -> datetime:
    return datetime.fromtimestamp(start, UTC)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Opening:
    """One clinician's open times: sorted seconds since 1970, and where each is held.

    ``places`` is empty when all are on one schedule; else it has, beside each start, an index into the schedules.
    """

    entry: Eligible
    starts: array[int]
    places: bytes = b""
    place: int = 0
    _answers: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    def schedule(self, index: int) -> Schedule:
        return self.entry.schedules[self.places[index] if self.places else self.place]

    def between(self, first: int, last: int) -> range:
        """Indices of the starts in a span."""
        return range(bisect_left(self.starts, first), bisect_left(self.starts, last))

    def counts(self, spans: Spans) -> tuple[int, ...]:
        """How many times each span has."""
        return _remembered(
            self._answers, ("counts", spans), lambda: tuple(len(self.between(*span)) for span in spans)
        )

    def first(self, spans: Spans) -> int | None:
        """The first start in any of these spans, which are in order."""
        return _remembered(self._answers, ("first", spans), lambda: self._first(spans))

    def _first(self, spans: Spans) -> int | None:
        for span in spans:
            if found := self.between(*span):
                return self.starts[found[0]]
        return None

    def offer(self, index: int, zone: str) -> Offer:
        starts_at = instant(self.starts[index])
        ends_at = starts_at + timedelta(minutes=self.entry.minutes)
        license = self.entry.license_over(starts_at, ends_at, zone)
        if license is None:
            raise ValueError("an open time stands on a license")
        return Offer(self.entry.clinician, self.schedule(index), starts_at, ends_at, license)


# The largest are whole bodies of pages, some 60 kB each.
_MOST_ANSWERS = 40
_ALWAYS: Spans = ((0, 2**32 - 1),)


def _remembered(answers: dict[Hashable, Any], question: Hashable, work: Callable[[], Answer]) -> Answer:
    if question not in answers:
        # An address can ask for any day; what is kept of that must end somewhere.
        if len(answers) >= _MOST_ANSWERS:
            answers.clear()
        found = answers[question] = work()
        return found
    known: Answer = answers[question]
    return known


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the open times of one clinician were worked out of, and they."""

    entry: Eligible
    free: tuple[Starts | None, ...]
    claims: tuple[Claim, ...]
    opening: Opening | None


@dataclass(frozen=True, slots=True)
class _GroundOfAll:
    """``first`` to ``last`` is what starts had to lie in; ``days`` what licenses were held against."""

    first: int
    last: int
    days: tuple[date, date]
    by_clinician: Mapping[int, _Ground]


@dataclass(frozen=True)
class Openings:
    """``openings`` in the order of the clinicians asked about, those without an open time left out.

    ``zone`` is where the patient will be: what licenses are judged by. ``until`` is the instant at which the passing
    of time alone next takes an open time away. Spans are seconds since 1970, the second of them excluded. What was
    worked out once is kept, since many pages ask the same of one value.
    """

    openings: tuple[Opening, ...]
    zone: str
    until: datetime
    _ground: _GroundOfAll | None = field(default=None, compare=False, repr=False)
    _answers: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.openings)

    @cached_property
    def by_clinician(self) -> dict[int, Opening]:
        return {opening.entry.clinician.id: opening for opening in self.openings}

    @cached_property
    def _by_name(self) -> list[Opening]:
        return sorted(
            self.openings, key=lambda opening: (opening.entry.clinician.name, opening.entry.clinician.id)
        )

    def of(self, clinician_id: int | None) -> Openings:
        """Those of one clinician, or all."""
        if clinician_id is None:
            return self
        mine = self.by_clinician.get(clinician_id)
        return Openings((mine,) if mine else (), self.zone, self.until)

    def remember(self, question: Hashable, work: Callable[[], Answer]) -> Answer:
        """What was made of these before, for the same question; else what ``work`` makes of them."""
        return _remembered(self._answers, question, work)

    def counts(self, spans: Spans) -> list[int]:
        """How many times each span has."""
        return self.remember(("counts", spans), lambda: self._count(spans))

    def _count(self, spans: Spans) -> list[int]:
        if not self.openings:
            return [0] * len(spans)
        return list(map(sum, zip(*(opening.counts(spans) for opening in self.openings), strict=True)))

    def on(self, spans: Spans) -> list[Opening]:
        """Those with a time in any of these spans, by their first one, then by name."""
        return self.remember(("on", spans), lambda: self._on(spans))

    def _on(self, spans: Spans) -> list[Opening]:
        firsts = (opening.first(spans) for opening in self._by_name)
        ranked = sorted((first, rank) for rank, first in enumerate(firsts) if first is not None)
        return [self._by_name[rank] for _, rank in ranked]

    def offers(self) -> tuple[Offer, ...]:
        """Every one, in order of start, then clinician."""
        ranked = sorted(
            (start, rank, index)
            for rank, opening in enumerate(self._by_name)
            for index, start in enumerate(opening.starts)
        )
        return tuple(self._by_name[rank].offer(index, self.zone) for _, rank, index in ranked)

    def soonest(self, count: int, spans: Spans) -> list[Offer]:
        """The first in these spans, in order of start, then clinician."""
        return self.remember(("soonest", count, spans), lambda: self._soonest(count, spans))

    def _soonest(self, count: int, spans: Spans) -> list[Offer]:
        found: list[Offer] = []
        for span in spans:
            ranked = (
                (opening.starts[index], rank, index)
                for rank, opening in enumerate(self._by_name)
                for index in opening.between(*span)[:count]
            )
            best = nsmallest(count - len(found), ranked)
            found += [self._by_name[rank].offer(index, self.zone) for _, rank, index in best]
            if len(found) >= count:
                break
        return found

    def nearest(self, starts_at: datetime, *, clinician_id: int | None = None, count: int = 3) -> list[Offer]:
        """Those closest to a wanted start; at equal distance the same clinician first, then the earlier."""
        wanted = int(starts_at.timestamp())
        candidates: list[tuple[int, bool, int, str, int, int]] = []
        for opening in self.openings:
            clinician = opening.entry.clinician
            at = bisect_left(opening.starts, wanted)
            for index in range(max(0, at - count), min(len(opening.starts), at + count)):
                start = opening.starts[index]
                is_other = clinician.id != clinician_id
                candidates.append((abs(start - wanted), is_other, start, clinician.name, clinician.id, index))
        best = sorted(nsmallest(count, candidates), key=lambda each: each[2])
        return [self.by_clinician[who].offer(index, self.zone) for *_, who, index in best]


@dataclass(frozen=True, slots=True)
class DayBounds:
    """Local days that follow each other, and the instants (seconds since 1970) at which they and their parts begin."""

    days: tuple[date, ...]
    edges: tuple[int, ...]
    _parts: dict[str, Spans] = field(compare=False, repr=False)

    @classmethod
    def of(cls, first_on: date, last_on: date, zone_name: str) -> DayBounds:
        return _bounds(first_on, last_on, zone_name)

    @property
    def whole(self) -> Span:
        return self.edges[0], self.edges[-1]

    def spans(self, part: str = "") -> Spans:
        """Each day, or one part of each."""
        return self._parts[part]

    def span(self, day: date, part: str = "") -> Span:
        return self._parts[part][(day - self.days[0]).days]


@lru_cache(maxsize=512)
def _bounds(first_on: date, last_on: date, zone_name: str) -> DayBounds:
    days = tuple(first_on + timedelta(days=n) for n in range((last_on - first_on).days + 1))
    begins = [int(day_bounds(day, zone_name)[0].timestamp()) for day in days]
    edges = (*begins, int(day_bounds(last_on, zone_name)[1].timestamp()))
    parts: dict[str, Spans] = {"": tuple(pairwise(edges))}
    inner = [
        [int(part_begins(day, part, zone_name).timestamp()) for part in PARTS_OF_DAY[1:]] for day in days
    ]
    for number, part in enumerate(PARTS_OF_DAY):
        parts[part] = tuple(
            tuple(pairwise((first, *between, last)))[number]
            for (first, last), between in zip(parts[""], inner, strict=True)
        )
    return DayBounds(days, edges, parts)


def _seconds(at: datetime) -> int:
    """Rounded up: the first whole second that is not before it."""
    whole = int(at.timestamp())
    return whole if at.microsecond == 0 else whole + 1


def open_times(
    eligible: Sequence[Eligible],
    starts: Mapping[str, Starts],
    *,
    visit: Visit,
    policy: Policy,
    claims: Iterable[Claim] | Claims,
    now: datetime,
    within: tuple[int, int] | None = None,
    before: Openings | None = None,
) -> Openings:
    """The same offers as ``availability.find_offers``, out of free starts (sorted seconds) by schedule reference.

    ``within`` leaves out starts before its first second and from its last on. ``before`` is what was found earlier for
    the same visit under the same policy: of whom nothing has changed since, the times are not worked out anew.
    """
    taken = claims if isinstance(claims, Claims) else Claims(claims, policy.buffer)
    first = max(_seconds(now + policy.lead), int(now.timestamp()) + 1)
    last_on = last_start(visit, policy, now)
    last = int(day_bounds(last_on, visit.zone)[1].timestamp())
    if within is not None:
        first, last = max(first, within[0]), min(last, within[1])
    days = local_day(now, visit.zone), local_day(instant(last), visit.zone) + timedelta(days=2)
    known: Mapping[int, _Ground] = {}
    if before is not None and (ground := before._ground) and (ground.last, ground.days) == (last, days):
        known = ground.by_clinician if ground.first <= first else {}
    found: dict[int, _Ground] = {}
    for entry in eligible:
        clinician_id = entry.clinician.id
        free = tuple([starts.get(schedule.ref) for schedule in entry.schedules])
        mine = taken.of(clinician_id)
        was = known.get(clinician_id)
        if was is not None and _still_stands(was, entry, free, mine, first):
            found[clinician_id] = was
        else:
            opening = _open(
                entry, free, first, last, _doubtful(entry, taken, policy, days), visit, policy, taken, now
            )
            found[clinician_id] = _Ground(entry, free, mine, opening)
    openings = tuple([each.opening for each in found.values() if each.opening is not None])
    earliest = min([opening.starts[0] for opening in openings], default=None)
    until = datetime.max.replace(tzinfo=UTC) if earliest is None else instant(earliest) - policy.lead
    return Openings(openings, visit.zone, until, _GroundOfAll(first, last, days, found))


def _still_stands(
    was: _Ground, entry: Eligible, free: tuple[Starts | None, ...], claims: tuple[Claim, ...], first: int
) -> bool:
    return (
        was.entry is entry
        and was.claims == claims
        and was.free == free
        and (was.opening is None or was.opening.starts[0] >= first)
    )


def _open(
    entry: Eligible,
    free: tuple[Starts | None, ...],
    first: int,
    last: int,
    doubtful: Spans,
    visit: Visit,
    policy: Policy,
    claims: Claims,
    now: datetime,
) -> Opening | None:
    found: list[tuple[int, array[int]]] = []
    for place, (schedule, starts) in enumerate(zip(entry.schedules, free, strict=True)):
        if not starts:
            continue
        kept = array("I")
        at, end = bisect_left(starts, first), bisect_left(starts, last)
        for begins, ends in doubtful:
            plain, at = at, bisect_left(starts, begins, at, end)
            kept.extend(starts[plain:at])
            weighed, at = at, bisect_left(starts, ends, at, end)
            kept.extend(_weighed(entry, schedule, starts[weighed:at], visit, policy, claims, now))
        kept.extend(starts[at:end])
        if kept:
            found.append((place, kept))
    return _opening(entry, found) if found else None


def _doubtful(entry: Eligible, claims: Claims, policy: Policy, days: tuple[date, date]) -> Spans:
    """Spans in order. A clinician's starts outside of them are open, as far as lead time and horizon let them be."""
    if policy.daily_cap == 0 or not _is_licensed_throughout(entry, *days):
        return _ALWAYS
    spans = claims.reach(
        entry.clinician.id, timedelta(minutes=entry.minutes), whole_days=policy.daily_cap is not None
    )
    return tuple((int(first.timestamp()), int(last.timestamp()) + 1) for first, last in spans)


def _is_licensed_throughout(entry: Eligible, first: date, last: date) -> bool:
    return any(
        (license.starts_on is None or license.starts_on <= first)
        and (license.ends_on is None or license.ends_on >= last)
        for license in entry.licenses
    )


def _weighed(
    entry: Eligible,
    schedule: Schedule,
    starts: Starts,
    visit: Visit,
    policy: Policy,
    claims: Claims,
    now: datetime,
) -> Iterable[int]:
    length = timedelta(minutes=entry.minutes)
    for start in starts:
        starts_at = instant(start)
        verdict = weigh_time(
            entry, schedule, starts_at, starts_at + length, visit=visit, policy=policy, claims=claims, now=now
        )
        if isinstance(verdict, Offer):
            yield start


def _opening(entry: Eligible, found: Sequence[tuple[int, array[int]]]) -> Opening:
    """A clinician free at one instant in two places is open once, in the first of them."""
    if len(found) == 1:
        place, only = found[0]
        return Opening(entry, only, place=place)
    where: dict[int, int] = {}
    for place, starts in found:
        for start in starts:
            where.setdefault(start, place)
    order = sorted(where)
    return Opening(entry, array("I", order), bytes(where[start] for start in order))
