"""From the EHR's slots to what this patient is offered: our own rules over each time. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import chain
from operator import attrgetter

from .clock import LONGEST_DAY, local_day
from .eligibility import Eligible, Visit, Withheld
from .terms import Claim, Offer, Schedule, Slot


@dataclass(frozen=True, slots=True)
class Policy:
    """The clinic's limits. ``horizon_days`` counts local days after today; ``daily_cap`` is per clinician."""

    lead: timedelta = timedelta(hours=2)
    horizon_days: int = 28
    buffer: timedelta = timedelta(0)
    daily_cap: int | None = None


@dataclass(frozen=True, slots=True)
class Availability:
    """``offers`` in order of start, then clinician; ``withheld`` counts what was left out, by cause."""

    offers: tuple[Offer, ...]
    withheld: Mapping[Withheld, int]


_ByClinician = dict[int, tuple[Claim, ...]]


class Claims:
    """Claims per clinician, for overlap questions in the order of their starts."""

    def __init__(self, claims: Iterable[Claim], buffer: timedelta, *, before: Claims | None = None) -> None:
        """Whose claims are as they were ``before`` has the very same, so that to compare those again costs nothing."""
        known = {} if before is None else before._by_clinician
        self._buffer = buffer
        self._by_clinician: _ByClinician = _by_clinician(claims, known)
        self._limited: _ByClinician = _limited(self._by_clinician)
        self._longest = _longest(self._by_clinician)

    def of(self, clinician_id: int) -> tuple[Claim, ...]:
        """In the order of their starts."""
        return self._by_clinician.get(clinician_id, ())

    def limited(self) -> Iterator[tuple[Claim, datetime]]:
        """Those that end by themselves, and when."""
        for claim in chain.from_iterable(self._limited.values()):
            if claim.until is not None:
                yield claim, claim.until

    def with_those(self, clinician_ids: Iterable[int], claims: Iterable[Claim]) -> Claims:
        """The same but for these clinicians, whose claims are ``claims`` now."""
        theirs: _ByClinician = dict.fromkeys(clinician_ids, ()) | _by_clinician(claims, self._by_clinician)
        changed = Claims((), self._buffer)
        changed._by_clinician = self._by_clinician | theirs
        changed._limited = self._limited | dict.fromkeys(theirs, ()) | _limited(theirs)
        changed._longest = max(self._longest, _longest(theirs))
        return changed

    def reach(
        self, clinician_id: int, length: timedelta, *, whole_days: bool
    ) -> list[tuple[datetime, datetime]]:
        """Spans outside of which no start of a visit that long can be withheld because of a claim, in order and apart.

        With ``whole_days``, every start that may be on the local day of a claim, wherever the clinician is then.
        """
        around = LONGEST_DAY if whole_days else timedelta(0)
        before = max(length + self._buffer, around)
        spans: list[tuple[datetime, datetime]] = []
        for claim in self.of(clinician_id):
            first, last = (
                claim.starts_at - before,
                max(claim.ends_at + self._buffer, claim.starts_at + around),
            )
            if spans and first <= spans[-1][1]:
                spans[-1] = spans[-1][0], max(last, spans[-1][1])
            else:
                spans.append((first, last))
        return spans

    def overlap(self, clinician_id: int, starts_at: datetime, ends_at: datetime) -> bool:
        mine = self.of(clinician_id)
        if not mine:
            return False
        # What began so long before has ended, whichever it is.
        first = bisect_left(mine, starts_at - self._buffer - self._longest, key=_start_of)
        last = bisect_left(mine, ends_at + self._buffer, first, key=_start_of)
        return any(starts_at < claim.ends_at + self._buffer for claim in mine[first:last])

    def count_on(self, clinician_id: int, on: date, zone_name: str) -> int:
        return sum(local_day(claim.starts_at, zone_name) == on for claim in self.of(clinician_id))


_start_of = attrgetter("starts_at")


def _by_clinician(claims: Iterable[Claim], before: _ByClinician) -> _ByClinician:
    found: dict[int, list[Claim]] = defaultdict(list)
    for claim in sorted(claims, key=_start_of):
        found[claim.clinician_id].append(claim)
    theirs = {clinician_id: tuple(mine) for clinician_id, mine in found.items()}
    return {
        clinician_id: before[clinician_id] if before.get(clinician_id) == mine else mine
        for clinician_id, mine in theirs.items()
    }


def _limited(claims: _ByClinician) -> _ByClinician:
    """Those that end by themselves, of whoever has any."""
    limited = {
        who: tuple([claim for claim in mine if claim.until is not None]) for who, mine in claims.items()
    }
    return {who: mine for who, mine in limited.items() if mine}


def _longest(claims: _ByClinician) -> timedelta:
    lengths = (claim.ends_at - claim.starts_at for mine in claims.values() for claim in mine)
    return max(lengths, default=timedelta(0))


def last_start(visit: Visit, policy: Policy, now: datetime) -> date:
    """The last local day, where the patient will be, on which a visit may start."""
    return local_day(now, visit.zone) + timedelta(days=policy.horizon_days)


def weigh_time(
    entry: Eligible,
    schedule: Schedule,
    starts_at: datetime,
    ends_at: datetime,
    *,
    visit: Visit,
    policy: Policy,
    claims: Claims,
    now: datetime,
) -> Offer | Withheld:
    if ends_at - starts_at != timedelta(minutes=entry.minutes):
        return Withheld.WRONG_LENGTH
    if starts_at <= now:
        return Withheld.IN_PAST
    if starts_at < now + policy.lead:
        return Withheld.TOO_SOON
    if local_day(starts_at, visit.zone) > last_start(visit, policy, now):
        return Withheld.TOO_FAR
    license = entry.license_over(starts_at, ends_at, visit.zone)
    if license is None:
        return Withheld.LICENSE_ENDED
    if claims.overlap(entry.clinician.id, starts_at, ends_at):
        return Withheld.CLAIMED
    if policy.daily_cap is not None:
        on = local_day(starts_at, schedule.zone)
        if claims.count_on(entry.clinician.id, on, schedule.zone) >= policy.daily_cap:
            return Withheld.DAY_FULL
    return Offer(entry.clinician, schedule, starts_at, ends_at, license)


def find_offers(
    eligible: Sequence[Eligible],
    slots: Mapping[str, Sequence[Slot]],
    *,
    visit: Visit,
    policy: Policy,
    claims: Iterable[Claim],
    now: datetime,
) -> Availability:
    """Offers out of ``slots`` (by schedule reference). A clinician free at one instant in two places is one offer."""
    taken = Claims(claims, policy.buffer)
    withheld: dict[Withheld, int] = defaultdict(int)
    offers: list[Offer] = []
    for entry in eligible:
        seen: set[datetime] = set()
        for schedule in entry.schedules:
            for slot in slots.get(schedule.ref, ()):
                if slot.starts_at in seen:
                    continue
                verdict = weigh_time(
                    entry,
                    schedule,
                    slot.starts_at,
                    slot.ends_at,
                    visit=visit,
                    policy=policy,
                    claims=taken,
                    now=now,
                )
                if isinstance(verdict, Offer):
                    seen.add(slot.starts_at)
                    offers.append(verdict)
                else:
                    withheld[verdict] += 1
    offers.sort(key=lambda offer: (offer.starts_at, offer.clinician.name, offer.clinician.id))
    return Availability(tuple(offers), dict(withheld))
