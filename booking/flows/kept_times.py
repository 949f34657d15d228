"""What a process worked out for one question, for as long as it stands.

It stays good until the rules, a claim or a reading of these schedules change, or until time itself takes one of the times
away; and then only that is worked out anew. A page that finds it good costs one query and one word with the store.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from threading import Lock
from weakref import WeakValueDictionary

from django.conf import settings

from booking import board
from booking.models.claims import claims_between, noted_between
from booking.models.standing import Standing
from booking.scheduling.availability import Claims
from booking.scheduling.clock import local_day
from booking.scheduling.eligibility import Eligible, Visit
from booking.scheduling.openings import DayBounds, Openings, instant, open_times

from .clinic_rules import ClinicRules

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
class Question:
    """Which visit, in which days; ``eligible`` is what the index of ``rules`` answers for it."""

    visit: Visit
    eligible: tuple[Eligible, ...]
    bounds: DayBounds
    rules: ClinicRules

    @property
    def key(self) -> Hashable:
        visit, edges = self.visit, self.bounds.edges
        place = (visit.reason.code, visit.jurisdiction, visit.zone)
        kind = (visit.modality, visit.specialty, visit.patient_kind)
        return settings.EHR_BASE_URL, self.rules.version, place, kind, edges[0], edges[-1]


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
    def of(cls, question: Question, spans: Mapping[str, tuple[date, date]]) -> _Scope:
        who = frozenset(entry.clinician.id for entry in question.eligible)
        wants = board.Wants(_wants(question, spans))
        whose = {board.claims_key(each): each for each in who}
        return cls(question.eligible, spans, wants, who, whose, wants.stale_keys | whose.keys())


@dataclass(slots=True)
class Kept:
    """What was worked out for one question. ``noted`` is the number of the last event of a booking that is in it.

    ``since`` has whose claims may differ by a later standing, under that one's number.
    """

    scope: _Scope
    openings: Openings
    view: board.BoardView
    claims: Claims
    noted: int
    until: datetime
    made_at: float
    since: tuple[int, set[int]] | None = None

    def is_good(self, stands: Standing, now: datetime) -> bool:
        """Whether nobody claimed or gave back a time of these, no schedule was seen to differ, and no time has passed."""
        return (
            (self.noted == stands.claims or self._claims_are_others(stands))
            and now < self.until
            and time.monotonic() < self.made_at + KEPT_SECONDS
            and not board.has_changed(self.scope.urgent, self.view.number, age=LAG_SECONDS)
        )

    def _claims_are_others(self, stands: Standing) -> bool:
        """Whether all that was claimed or given back since is other clinicians'. Then it is not asked again."""
        if not self.scope.who.isdisjoint(self._noted(stands)):
            return False
        self.noted = stands.claims
        return True

    def is_current(self) -> bool:
        """Whether what the board said then is what it would say now, or was a moment ago."""
        at = time.time()
        if at < self.view.made_at + VIEW_SECONDS and not self.view.pending:
            return True
        return at < self.view.until and not board.has_changed(self.scope.wants.keys, self.view.number)

    def _noted(self, stands: Standing) -> set[int]:
        """Asked once for a standing: who looks anew has just asked whether that is needed."""
        since = self.since
        if since is None or since[0] != stands.claims:
            since = self.since = stands.claims, noted_between(self.noted, stands.claims)
        return since[1]

    def claimed_since(self, stands: Standing, now: datetime) -> set[int] | None:
        """Those of whom something may have been claimed or given back since; None when that can be anybody."""
        changed = board.changed(self.view.number)
        if changed is None or time.monotonic() >= self.made_at + KEPT_SECONDS:
            return None
        lapsed = {claim.clinician_id for claim, until in self.claims.limited() if until <= now}
        noted = {whose for key in changed if (whose := self.scope.whose.get(key)) is not None}
        return (lapsed | noted | self._noted(stands)) & self.scope.who


_kept: OrderedDict[Hashable, Kept] = OrderedDict()
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


def find(question: Question, *, stands: Standing, now: datetime, seconds: float) -> Kept:
    """What is open, after at most ``seconds`` with the EHR, from what this process knows already if that is still right."""
    key = question.key
    kept = _find_kept(key)
    is_good = kept is not None and kept.is_good(stands, now)
    if kept is None or not is_good or not kept.is_current():
        # While another thread looks anew, what is still good is good enough.
        is_enough = kept is not None and is_good and not kept.view.pending
        with _Turn.at(key).taken(0 if is_enough else TURN_SECONDS) as is_mine:
            if kept is None or is_mine or not is_enough:
                kept = _look_anew(question, stands, now, seconds)
    board.watch(kept.scope.wants)
    return kept


def _find_kept(question: Hashable) -> Kept | None:
    with _lock:
        return _kept.get(question)


def _look_anew(question: Question, stands: Standing, now: datetime, seconds: float) -> Kept:
    key = question.key
    before = _find_kept(key)
    is_good = before is not None and before.is_good(stands, now)
    if before is not None and is_good and before.is_current():
        # Whoever was at it while this thread waited has done it.
        return before
    spans = _practice_days(question, now)
    if before is not None and before.scope.eligible is question.eligible and before.scope.spans == spans:
        scope = before.scope
    else:
        before, is_good, scope = None, False, _Scope.of(question, spans)
    view = board.read(scope.wants, deadline_seconds=seconds, before=None if before is None else before.view)
    # A claim told of since ``is_good`` looked would be passed over with the view's newer number.
    if (
        before is not None
        and is_good
        and view.starts == before.view.starts
        and not board.has_changed(scope.urgent, before.view.number)
    ):
        # Read again, and the same: what was made of it is as good as before.
        kept = replace(before, view=view, since=None)
    else:
        kept = _work_out(question, scope, stands, now, view, before)
        if before is not None and kept.openings == before.openings:
            kept.openings = before.openings
    with _lock:
        _kept[key] = kept
        _kept.move_to_end(key)
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    return kept


def _work_out(
    question: Question,
    scope: _Scope,
    stands: Standing,
    now: datetime,
    view: board.BoardView,
    before: Kept | None,
) -> Kept:
    within, policy = question.bounds.whole, question.rules.policy
    # A day more on either side: daily caps count by the schedule's day.
    first, last = instant(within[0]) - timedelta(days=1), instant(within[1]) + timedelta(days=1)
    changed = None if before is None else before.claimed_since(stands, now)
    if before is None or changed is None:
        found = (each for each in claims_between(first, last, now) if each.clinician_id in scope.who)
        claims = Claims(found, policy.buffer, before=None if before is None else before.claims)
        made_at = time.monotonic()
    else:
        claims, made_at = before.claims, before.made_at
        if changed:
            claims = claims.with_those(changed, claims_between(first, last, now, of=changed))
    openings = open_times(
        scope.eligible,
        view.starts,
        within=within,
        visit=question.visit,
        policy=policy,
        claims=claims,
        now=now,
        before=None if before is None else before.openings,
    )
    return Kept(
        scope=scope,
        openings=openings,
        view=view,
        claims=claims,
        noted=stands.claims,
        until=min([openings.until, *(until for _, until in claims.limited())]),
        made_at=made_at,
    )


def _practice_days(question: Question, now: datetime) -> dict[str, tuple[date, date]]:
    """By zone of a schedule, the days there that the bounds touch, of which today is the first that can have anything."""
    edges = question.bounds.edges
    first, last = max(instant(edges[0]), now.astimezone(UTC)), instant(edges[-1] - 1)
    zones = {schedule.zone for entry in question.eligible for schedule in entry.schedules}
    return {zone: (local_day(first, zone), local_day(last, zone)) for zone in zones}


def _wants(question: Question, spans: Mapping[str, tuple[date, date]]) -> Iterator[board.Want]:
    visit = question.visit
    appointment_type = visit.reason.appointment_types.get(visit.modality)
    if appointment_type is None:
        return
    for entry in question.eligible:
        for schedule in entry.schedules:
            zone = schedule.zone
            yield board.wanted(schedule.ref, zone, entry.minutes, appointment_type, *spans[zone])
