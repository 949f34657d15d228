"""Times that bookings of ours claim, and whose claims changed since somebody last looked.

Asked for by every page that follows somebody's booking, so in PostgreSQL's own words: the ORM takes six times as long to
put these together as the database to answer them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from booking.scheduling.lifecycle import CLAIMING, BookingState
from booking.scheduling.terms import Claim

from .bookings import LONGEST_VISIT, Booking, BookingEvent

# In words of SQL. To be held again is to have a new end.
_CLAIMING = str(tuple(sorted(map(str, CLAIMING))))
_STILL_CLAIMING = str(tuple(sorted(map(str, CLAIMING - {BookingState.HELD}))))
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class _Question:
    """Two instants and one to judge expiry by, which clinicians (None is all), and bookings that do not count."""

    first: datetime
    last: datetime
    now: datetime
    of: Collection[int] | None
    apart_from: Collection[UUID]


def claims_between(
    first: datetime,
    last: datetime,
    now: datetime,
    *,
    of: Collection[int] | None = None,
    apart_from: Collection[UUID] = (),
) -> list[Claim]:
    """What is claimed between two instants, of some clinicians or of all; expiry is judged as of ``now``."""
    read = _in_sql if connection.vendor == "postgresql" else _by_orm
    return read(_Question(first, last, now, of, apart_from))


def _in_sql(asked: _Question) -> list[Claim]:
    # Instants as whole microseconds: a busy clinic has thousands, and to read each as a date takes ten times as long.
    names = ("starts_at", "ends_at", f"CASE state WHEN '{BookingState.HELD}' THEN hold_expires_at END")
    instants = ", ".join(f"(EXTRACT(EPOCH FROM {name}) * 1000000)::bigint" for name in names)
    statement = (
        f"SELECT clinician_id, {instants} FROM {Booking._meta.db_table} WHERE state IN {_CLAIMING}"  # noqa: S608
        f" AND NOT (state = '{BookingState.HELD}' AND hold_expires_at <= %s)"
        " AND starts_at < %s AND starts_at > %s AND ends_at > %s"
    )
    values: list[Any] = [asked.now, asked.last, asked.first - LONGEST_VISIT, asked.first]
    if asked.of is not None:
        statement += " AND clinician_id = ANY(%s)"
        values.append(list(asked.of))
    if asked.apart_from:
        statement += " AND id <> ALL(%s)"
        values.append(list(asked.apart_from))
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [
            Claim(who, _instant(begins), _instant(ends), None if until is None else _instant(until))
            for who, begins, ends, until in cursor.fetchall()
        ]


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _by_orm(asked: _Question) -> list[Claim]:
    rows = Booking.objects.claiming(asked.now).exclude(pk__in=asked.apart_from)
    rows = rows.filter(
        starts_at__lt=asked.last, starts_at__gt=asked.first - LONGEST_VISIT, ends_at__gt=asked.first
    )
    if asked.of is not None:
        rows = rows.filter(clinician_id__in=asked.of)
    names = ("clinician_id", "starts_at", "ends_at", "state", "hold_expires_at")
    return [
        Claim(who, begins, ends, until if state == BookingState.HELD else None)
        for who, begins, ends, state, until in rows.order_by().values_list(*names)
    ]


def noted_between(after: int, last: int) -> set[int]:
    """Clinicians of whom a booking's event after one number, and up to another, may have changed which times are claimed.

    Most of what becomes of a booking on its way leaves its claim as it is. A time limit that ceased is no change either:
    who keeps the claim has to look again when it ends.
    """
    events, bookings = BookingEvent._meta.db_table, Booking._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT clinician_id FROM {events} JOIN {bookings} ON {bookings}.id = booking_id"  # noqa: S608
            # With both ends the planner knows that it is about a few, however old its statistics.
            f" WHERE {events}.id > %s AND {events}.id <= %s"
            f" AND (old_state = new_state OR old_state NOT IN {_CLAIMING} OR new_state NOT IN {_STILL_CLAIMING}"
            # A hold that was over a moment before it went on: some had its time back already.
            f" OR (old_state = '{BookingState.HELD}' AND at >= hold_expires_at))",
            [after, last],
        )
        return {clinician_id for (clinician_id,) in cursor.fetchall()}
