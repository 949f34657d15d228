"""Reading ahead: what people look at is read again before it grows old, and the rest of the coming days while there is room.

Pages leave word of what they show; a job that runs every few seconds reads on, the oldest first, and never uses up what
the budget has for pages. A new process takes its copies of all that before the first of them asks it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import date
from threading import Lock
from uuid import uuid4

from django.conf import settings

from booking.scheduling.terms import Coding

from . import fetching
from .budget import READING_AHEAD
from .known import Known
from .mirror import mirror
from .readings import Want, Wants, Window, wanted, windows
from .shared import ask

# Who looks at a page is taken to go on looking for so long after its last word.
WATCHED_SECONDS = 180
# A page leaves word no more often than this.
_WORD_SECONDS = 5
_WATCHED, _AT_IT = "board:watched", "board:reading-ahead"
# How old the coming days of everybody may grow while nobody looks: they are to be there when somebody does.
WARM_SHARE = 0.5
_SECONDS_AT_A_TIME = 4.0

_ALIVE, _ALIVE_SECONDS = "board:read-ahead", 20
_said: dict[str, float] = {}
_alive = 0.0, False
_lock = Lock()


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """What one run of the job did: how many windows were due, and how many it sent for."""

    watched: int
    due: int
    asked: int


def watch(wants: Wants) -> None:
    """Leave word that somebody looks at these. Cheap enough for every page."""
    now, group = time.time(), wants.group
    with _lock:
        last = _said.get(group, 0.0)
        if now - last < _WORD_SECONDS:
            return
        if len(_said) > 10_000:
            _said.clear()
        _said[group] = now
    if now - last > WATCHED_SECONDS / 2:
        packed = json.dumps([_packed(want) for want in wants]).encode()
        ask(lambda store: store.put({group: packed}, 3 * WATCHED_SECONDS))
    ask(lambda store: store.rank(_WATCHED, group, now))


def forget() -> None:
    global _alive
    with _lock:
        _said.clear()
        _alive = 0.0, False


def _packed(want: Want) -> list[object]:
    line, kind = want.line, want.line.appointment_type
    days = want.first_on.toordinal(), want.last_on.toordinal()
    return [line.schedule_ref, line.zone, line.minutes, kind.system, kind.code, *days]


def _unpacked(data: bytes) -> list[Want]:
    found = []
    for ref, zone, minutes, system, code, first_on, last_on in json.loads(data):
        days = date.fromordinal(first_on), date.fromordinal(last_on)
        found.append(wanted(ref, zone, minutes, Coding(system, code), *days))
    return found


def is_read_ahead() -> bool:
    """Whether the job that reads ahead was at work lately. Pages then leave what has merely grown old to it."""
    global _alive
    now = time.monotonic()
    until, is_alive = _alive
    if now >= until:
        is_alive = ask(lambda store: store.get([_ALIVE]))[0] is not None
        _alive = now + _WORD_SECONDS, is_alive
    return is_alive


def read_ahead(warm: Iterable[Want], *, seconds: float = _SECONDS_AT_A_TIME) -> ReadAhead:
    """Read what is watched and half-way to being old, then what of ``warm`` is about to be lost.

    One process does it at a time, for about ``seconds``; what there was no room for is due again at the next run, as it has grown older.
    """
    by = uuid4().hex
    if not ask(lambda store: store.claim([_AT_IT], seconds + 2, by))[0]:
        return ReadAhead(0, 0, 0)
    ask(lambda store: store.put({_ALIVE: b"1"}, _ALIVE_SECONDS))
    try:
        return _read_ahead(warm, time.monotonic() + seconds)
    finally:
        ask(lambda store: store.release([_AT_IT], by))


def copy_watched() -> int:
    """Take this process's copies of all that people look at, before the first of them asks it; how many wants there were."""
    watched = _watched(time.time())
    mirror.sync()
    mirror.readings(key for want in watched for key in want.keys)
    mirror.stale_since(key for want in watched for key in want.stale_keys)
    return len(watched)


def _watched(now: float) -> list[Want]:
    groups = ask(lambda store: store.ranked(_WATCHED, now - WATCHED_SECONDS))
    packed = ask(lambda store: store.get(groups)) if groups else []
    return list({want: None for data in packed if data for want in _unpacked(data)})


def _read_ahead(warm: Iterable[Want], ends: float) -> ReadAhead:
    now = time.time()
    watched = _watched(now)
    due = _due(watched, settings.GRID_FRESH_SECONDS / 2)
    seen = {(window.line, window.first_week) for window in due}
    spare = _due(list(warm), settings.GRID_KEEP_SECONDS * WARM_SHARE)
    due += [window for window in spare if (window.line, window.first_week) not in seen]
    asked = 0
    most = 4 * settings.GRID_PARALLEL_READS * fetching.schedules_per_search()
    while asked < len(due) and time.monotonic() < ends and not fetching.is_away():
        some = due[asked : asked + most]
        # What is still on its way then comes in by itself.
        wait(fetching.submit(some, ends=ends, share=READING_AHEAD), timeout=ends - time.monotonic())
        asked += len(some)
    return ReadAhead(len(watched), len(due), asked)


def _due(wants: Sequence[Want], older_than: float) -> list[Window]:
    """Windows with a week that was never read, was seen to differ or is older than that; the oldest first."""
    if not wants:
        return []
    known = Known(Wants(wants), time.time())
    most = fetching.weeks_per_search()
    ages: dict[Window, float] = {}
    for judged in known.judged:
        due = judged.read_before(max(judged.marked_at, known.now - older_than))
        if not due or known.has_failed(judged):
            continue
        for window in windows(judged.want.line, due, most, known.now):
            ages[window] = min(judged.read_at, ages.get(window, judged.read_at))
    return sorted(ages, key=lambda window: ages[window])
