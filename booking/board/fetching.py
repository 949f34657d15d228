"""Fetching from the EHR: each window once across all processes, within the budget, and not from an EHR that is away."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from uuid import uuid4

from django.conf import settings

from booking import ehr
from booking.scheduling.errors import EhrFailure, EhrUnavailable

from .budget import paid_call
from .mirror import mirror
from .readings import Reading, Window
from .shared import ask

log = logging.getLogger(__name__)

# A failed read is not tried again for this long, so that a failing EHR is asked once and not by every page.
FAILURE_SECONDS = 10
# After this many reads in a row without an answer the EHR counts as away, and nothing is asked of it for as long.
AWAY_AFTER = 3
_AWAY, _FAILURES = "board:away", "board:failures"


@lru_cache(maxsize=1)
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.GRID_PARALLEL_READS, thread_name_prefix="board")


_under_way: dict[str, Future[bool]] = {}
_lock = Lock()


def is_away() -> bool:
    return ask(lambda store: store.get([_AWAY]))[0] is not None


def weeks_per_search() -> int:
    """An EHR that answers for less than a week at a time is asked for a week all the same, and says so."""
    return max(1, ehr.slot_search().days // 7)


def schedules_per_search() -> int:
    return ehr.slot_search().schedules


def submit(windows: Iterable[Window], *, ends: float, share: float = 1.0) -> list[Future[bool]]:
    """Begin to fetch windows, many schedules in one search where the EHR permits; those under way already are joined.

    ``ends`` (monotonic) is until when room in the budget is waited for. A result says whether another process is at some
    of it, so that more may yet come in.
    """
    together: dict[object, list[Window]] = defaultdict(list)
    futures: dict[int, Future[bool]] = {}
    with _lock:
        for window in windows:
            known = _under_way.get(_claim_key(window))
            if known is not None:
                futures[id(known)] = known
                continue
            line = window.line
            alike = (line.minutes, line.appointment_type, line.zone, window.first_week, window.weeks)
            together[alike].append(window)
        most = schedules_per_search()
        for group in together.values():
            for begin in range(0, len(group), most):
                batch = group[begin : begin + most]
                future = _readers().submit(copy_context().run, _fetch, batch, ends, share)
                futures[id(future)] = future
                for window in batch:
                    _under_way[_claim_key(window)] = future
                future.add_done_callback(_done(batch))
    return list(futures.values())


def _done(batch: Sequence[Window]) -> Callable[[Future[bool]], None]:
    def forget(_future: Future[bool]) -> None:
        # Runs at once, in this thread, when the work is over already: hence no lock.
        for window in batch:
            _under_way.pop(_claim_key(window), None)

    return forget


def _claim_key(window: Window) -> str:
    return f"{window.line.key}:{window.first_week}:reading"


def _fetch(batch: Sequence[Window], ends: float, share: float) -> bool:
    if is_away():
        return False
    claims, by = [_claim_key(window) for window in batch], uuid4().hex
    # As long as the wait for room in the budget and then the EHR may take.
    seconds = max(0.0, ends - time.monotonic()) + settings.EHR_TOTAL_SECONDS + 1
    granted = ask(lambda store: store.claim(claims, seconds, by))
    mine = [window for window, is_mine in zip(batch, granted, strict=True) if is_mine]
    if not mine:
        return True
    try:
        # Whoever had the claim before may have read them, after they were found to be due and before this claim.
        mirror.sync()
        readings = mirror.readings(key for window in mine for key in window.keys)
        kept_after = time.time() - settings.GRID_KEEP_SECONDS
        due = [window for window in mine if window.is_due(readings, kept_after)]
        if due:
            with paid_call(ends=ends, share=share) as may_call:
                if may_call:
                    _read(due)
    finally:
        ask(lambda store: store.release([_claim_key(window) for window in mine], by))
    return len(mine) < len(batch)


def _read(windows: Sequence[Window]) -> None:
    # The answer is as old as the question: what changes while it is on its way must still count as newer.
    asked_at = time.time()
    line = windows[0].line
    first_on, last_on = windows[0].days(datetime.fromtimestamp(asked_at, UTC))
    try:
        slots = ehr.gateway().free_slots_of(
            [window.line.schedule_ref for window in windows],
            first_on=first_on,
            last_on=last_on,
            minutes=line.minutes,
            appointment_type=line.appointment_type,
        )
    except EhrFailure as error:
        log.warning(
            "slot search failed: %s (status %s, EHR id %s)", error, error.status, error.correlation_id
        )
        keys = [key for window in windows for key in window.keys]
        failed = {
            key: replace(reading, failed_at=asked_at).to_bytes()
            for key, reading in mirror.readings(keys).items()
        }
        ask(lambda store: store.put(failed, settings.GRID_KEEP_SECONDS))
        if isinstance(error, EhrUnavailable):
            _count_failure()
        return
    entries = {
        key: Reading(asked_at, 0.0, starts).to_bytes()
        for window in windows
        for key, starts in zip(window.keys, window.by_week(slots[window.line.schedule_ref]), strict=True)
    }
    ask(lambda store: store.put(entries, settings.GRID_KEEP_SECONDS))
    ask(lambda store: store.drop([_FAILURES]))


def _count_failure() -> None:
    if ask(lambda store: store.count(_FAILURES, 3 * FAILURE_SECONDS)) >= AWAY_AFTER:
        ask(lambda store: store.put({_AWAY: b"1"}, FAILURE_SECONDS))
