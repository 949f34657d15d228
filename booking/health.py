"""Whether the portal can serve patients, part by part. Nobody waits for a part that hangs, and the EHR is not asked.

Only the database decides: without Redis pages work and what is due is found by the database alone, and while the EHR
is away the board shows what it knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from celery import current_app
from django.conf import settings
from django.db import DatabaseError, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Min, Q
from kombu.exceptions import KombuError

from booking import crash_points, ehr_seen
from booking.models import Booking, Heartbeat, Message
from booking.scheduling.lifecycle import WAITING, BookingState
from portal import cache

OK, LATE, DOWN = "ok", "late", "down"
LOOK_SECONDS = 1.5
BEAT = "beat"


@dataclass(frozen=True, slots=True)
class Part:
    """``age_seconds``: of the oldest work that is due, of beat's last tick, or since the EHR last answered."""

    state: str
    age_seconds: float | None = None


Parts = dict[str, Part]
Figures = dict[str, list[tuple[str, float]]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Report:
    parts: Parts

    @property
    def is_ready(self) -> bool:
        return self.parts["database"].state == OK

    def to_json(self) -> dict[str, Any]:
        return {"ready": self.is_ready, "parts": {name: asdict(part) for name, part in self.parts.items()}}


def aged(at: datetime | None, now: datetime, *, late_after: float, down_after: float) -> Part:
    """By how long ago something was. Nothing at all (``at`` None) is fine: there is no work, say."""
    if at is None:
        return Part(OK)
    age = max(0.0, (now - at).total_seconds())
    return Part(DOWN if age > down_after else LATE if age > late_after else OK, round(age, 1))


def oldest_message_due(now: datetime) -> datetime | None:
    """When the message that waits longest became due; one that a worker has in hand does not wait."""
    waiting = Message.objects.filter(
        Q(lease_until=None) | Q(lease_until__lte=now), state=Message.State.DUE, due_at__lte=now
    )
    return waiting.aggregate(oldest=Min("due_at"))["oldest"]


def oldest_look_up_due(now: datetime) -> datetime | None:
    """When the booking without an answer that waits longest should have been looked up."""
    waiting = Booking.objects.filter(state__in=WAITING).look_up_due(now)
    return waiting.aggregate(oldest=Min("look_up_at"))["oldest"]


def beat(now: datetime) -> None:
    """A worker did what beat asked for: both are alive, and so is the queue between them."""
    crash_points.reach("beat heard")
    Heartbeat.objects.update_or_create(name=BEAT, defaults={"at": now})


def last_beat() -> datetime | None:
    return Heartbeat.objects.filter(name=BEAT).values_list("at", flat=True).first()


def rows(now: datetime) -> Parts:
    """What the database alone tells: work that is due and that nobody has in hand, and beat's last tick."""
    ticked_at = last_beat()
    return {
        "outbox": aged(oldest_message_due(now), now, late_after=60, down_after=600),
        "reconcile": aged(oldest_look_up_due(now), now, late_after=60, down_after=600),
        BEAT: aged(ticked_at, now, late_after=30, down_after=120) if ticked_at else Part(DOWN),
    }


def late(now: datetime) -> dict[str, float | None]:
    """The age in seconds of whatever is late. Raises ``DatabaseError``."""
    return {name: part.age_seconds for name, part in rows(now).items() if part.state != OK}


_is_migrated = False


def _look_at_database(now: datetime) -> Parts:
    global _is_migrated
    down = {name: Part(DOWN) for name in ("database", "outbox", "reconcile", "beat")}
    try:
        connection.ensure_connection()
        if not _is_migrated:
            executor = MigrationExecutor(connection)
            _is_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        if not _is_migrated:
            return down
        return {"database": Part(OK), **rows(now)}
    except DatabaseError:
        return down
    finally:
        connections.close_all()


def _look_at_cache(now: datetime) -> Parts:
    is_there = not settings.REDIS_URL or cache.answers(settings.REDIS_URL, **settings.CACHE_SOCKET)
    seen = ehr_seen.last()
    if seen is None:
        known = Part(LATE)
    else:
        known = aged(seen.ok_at or seen.at, now, late_after=600, down_after=float("inf"))
        if not seen.is_ok:
            known = replace(known, state=DOWN)
    return {"cache": Part(OK if is_there else DOWN), "ehr": known}


def _look_at_broker(now: datetime) -> Parts:
    try:
        with current_app.connection_for_write(connect_timeout=1) as broker:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=1)
    except (KombuError, OSError):
        return {"broker": Part(DOWN)}
    return {"broker": Part(OK)}


def _count(now: datetime) -> list[tuple[str, float]]:
    try:
        live = Booking.objects.claiming(now)
        due = Message.objects.filter(state=Message.State.DUE, due_at__lte=now)
        rows = {
            "holds": live.filter(state=BookingState.HELD),
            "unconfirmed": live.filter(state__in=[BookingState.SUBMITTING, BookingState.UNCONFIRMED]),
            "needs_staff": live.filter(state=BookingState.NEEDS_STAFF),
            "messages_due": due,
            "messages_given_up": Message.objects.filter(state=Message.State.DEAD),
        }
        return [(name, float(each.count())) for name, each in rows.items()]
    except DatabaseError:
        return []
    finally:
        connections.close_all()


class Probe(Generic[T]):
    """One look at a time, in a thread of its own. Whoever comes while a look is under way gets what it finds."""

    def __init__(self, look: Callable[[datetime], T]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._found: T | None = None

    def begin(self, now: datetime) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._found = None
                self._thread = threading.Thread(target=self._run, args=(now,), daemon=True, name="health")
                self._thread.start()

    def _run(self, now: datetime) -> None:
        self._found = self._look(now)

    def found(self, ends: float) -> T | None:
        """None when nothing is known by ``ends`` on the monotonic clock."""
        if self._thread is not None:
            self._thread.join(max(0.0, ends - time.monotonic()))
        return self._found


_PROBES = {
    ("database", "outbox", "reconcile", "beat"): Probe(_look_at_database),
    ("cache", "ehr"): Probe(_look_at_cache),
    ("broker",): Probe(_look_at_broker),
}
_COUNTS = Probe(_count)


def report(*, now: datetime) -> Report:
    """Takes at most LOOK_SECONDS, whatever hangs."""
    ends = time.monotonic() + LOOK_SECONDS
    for probe in _PROBES.values():
        probe.begin(now)
    parts: Parts = {}
    for names, probe in _PROBES.items():
        parts |= probe.found(ends) or dict.fromkeys(names, Part(DOWN))
    return Report(parts)


def figures(*, now: datetime) -> Figures:
    """The report and what is to be counted in the database, as numbers. What cannot be had in time is left out."""
    _COUNTS.begin(now)
    ends = time.monotonic() + LOOK_SECONDS
    parts = report(now=now).parts
    found: Figures = {
        "part_is_ok": [(name, float(part.state == OK)) for name, part in parts.items()],
        "part_age_seconds": [
            # Nothing waits: that is no age.
            (name, part.age_seconds or 0.0)
            for name, part in parts.items()
            if part.state != DOWN or part.age_seconds is not None
        ],
    }
    counts = _COUNTS.found(ends)
    if counts:
        found["rows"] = counts
    return found
