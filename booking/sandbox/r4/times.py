"""Schedules and Slots of the first weeks, in both ways of keeping time.

A classic Schedule has a row for every quarter of an hour, free or busy. An operations Schedule (Medplum only) says its
hours itself and has rows only for time that is taken. Traps: a Schedule that is no longer active but still has free
Slots, one of a room, and one of somebody who has left.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from ..calendars import HORIZON_DAYS, Calendar, Span, Window, day_windows, local_times, minus
from ..catalog import APPOINTMENT_TYPES, OFFICE_VISIT, AppointmentType
from ..roster import OAKLAND, STAFF, WEEKS, Staff
from ..seed import Directory, JsonObject, Place, stable_uuid, staff_id
from .people import person_id, place_id, sites
from .services import (
    ALIGNMENT_MINUTES,
    MINUTES,
    SCHEDULING_PARAMETERS,
    VISIT_TYPES,
    available_time,
    concept,
    duration,
)

Manners = Literal["medplum", "r4"]

# Half of those who see patients; none has a second site, which a Schedule with one actor could not say.
OPERATIONS = frozenset(
    [
        "02",
        "04",
        "05",
        "06",
        "08",
        "09",
        "11",
        "13",
        "16",
        "18",
        "20",
        "24",
        "26",
        "27",
        "30",
        "32",
        "34",
        "36",
        "38",
        "40",
    ]
)
_SLOT_MINUTES = {"14": 30, "28": 30, "39": 30}
_BUFFER_MINUTES = {"20": 10, "24": 10, "26": 10}
_FORMER_SCHEDULE = "12"
# On the first Saturday at ten, an hour is open that no hours name; on the first Monday at noon, one is closed to
# office visits alone.
_EXTRA_OPENING, _PARTLY_CLOSED = "08", "13"
_DAYS = {"M": "mon", "T": "tue", "W": "wed", "R": "thu", "F": "fri", "S": "sat", "U": "sun"}
ROOM_ID = str(stable_uuid("r4/place/room"))


@dataclass(frozen=True, slots=True)
class Book:
    """One Schedule with what is needed to fill it."""

    staff: Staff
    site: int
    place: Place
    calendar: Calendar
    by_operations: bool

    @property
    def id(self) -> str:
        return schedule_id(self.staff, self.site)

    @property
    def slot_minutes(self) -> int:
        return _SLOT_MINUTES.get(self.staff.key, 15)

    def holds(self, window: Window) -> bool:
        """A window open at both sites stands on the home site's Schedule alone."""
        if len(window.locations) > 1:
            return self.site == self.staff.home
        return self.site in window.locations


def schedule_id(staff: Staff, site: int) -> str:
    return str(stable_uuid(f"r4/schedule/{staff.key}/{site}"))


def books(directory: Directory, manners: Manners) -> list[Book]:
    found: list[Book] = []
    for staff in STAFF:
        if not staff.schedulable or staff.role == "ROOM":
            continue
        by_operations = manners == "medplum" and staff.key in OPERATIONS
        calendar = directory.people[staff_id(staff.key)].calendar
        mine = [Book(staff, site, directory.places[site], calendar, by_operations) for site in sites(staff)]
        found += [book for book in mine if any(book.holds(window) for window in calendar.windows)]
    return found


def schedules(directory: Directory, manners: Manners, today: date) -> Iterator[JsonObject]:
    last = today + timedelta(days=HORIZON_DAYS - 1)
    horizon = {"start": today.isoformat(), "end": last.isoformat()}
    for book in books(directory, manners):
        yield _operations_schedule(book) if book.by_operations else _classic_schedule(book, horizon)
    yield _room_schedule(directory, horizon)
    former = next(book for book in books(directory, manners) if book.staff.key == _FORMER_SCHEDULE)
    yield {
        **_classic_schedule(former, horizon),
        "id": _former_id(),
        "active": False,
        "comment": "Until last year",
    }


def slots(directory: Directory, manners: Manners, today: date) -> Iterator[JsonObject]:
    for book in books(directory, manners):
        made = _busy_slots(book, today) if book.by_operations else _classic_slots(book, today, manners)
        yield from made
        if book.staff.key == _FORMER_SCHEDULE:
            for slot in _classic_slots(book, today, manners):
                if slot["status"] == "free":
                    reference = f"Schedule/{_former_id()}"
                    id_ = str(stable_uuid(f"{reference}/{slot['start']}"))
                    yield {**slot, "id": id_, "schedule": {"reference": reference}}


def slot(schedule: str, start: str, end: str, status: str) -> JsonObject:
    return {
        "resourceType": "Slot",
        "id": str(stable_uuid(f"{schedule}/{start}")),
        "schedule": {"reference": f"Schedule/{schedule}"},
        "status": status,
        "start": start,
        "end": end,
    }


def written(span: Span, place: Place, manners: Manners) -> tuple[str, str]:
    """Start and end as the manners write them: in UTC to the millisecond, or at the place's own offset."""
    if manners == "r4":
        return next(local_times([span[0]], span[1] - span[0], place.zone))
    return instant(span[0]), instant(span[1])


def instant(minute: int) -> str:
    moment = datetime.fromtimestamp(minute * 60, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _former_id() -> str:
    return str(stable_uuid("r4/schedule/former"))


def _visit_types(book: Book) -> list[AppointmentType]:
    """Those that some window of the book allows."""
    windows = [window for window in book.calendar.windows if book.holds(window)]
    return [
        visit
        for visit in VISIT_TYPES
        if any(window.only in (None, (visit.system, visit.code)) for window in windows)
    ]


def _classic_schedule(book: Book, horizon: JsonObject) -> JsonObject:
    return {
        "resourceType": "Schedule",
        "id": book.id,
        "active": True,
        "serviceType": [concept(visit) for visit in _visit_types(book)],
        "actor": [
            {"reference": f"Practitioner/{person_id(book.staff)}"},
            {"reference": f"Location/{place_id(book.place)}"},
        ],
        "planningHorizon": horizon,
        "comment": f"{book.staff.given} {book.staff.family} at {book.place.name}",
    }


def _operations_schedule(book: Book) -> JsonObject:
    visits = _visit_types(book)
    return {
        "resourceType": "Schedule",
        "id": book.id,
        "extension": [_parameters(book, visit, minutes) for visit in visits for minutes in MINUTES],
        "active": True,
        "serviceType": [concept(visit, minutes) for visit in visits for minutes in MINUTES],
        "actor": [{"reference": f"Practitioner/{person_id(book.staff)}"}],
        "comment": f"{book.staff.given} {book.staff.family}",
    }


def _parameters(book: Book, visit: AppointmentType, minutes: int) -> JsonObject:
    hours = [
        available_time([_DAYS[letter] for letter in hours.days], hours.start, hours.end)
        for hours in WEEKS[book.staff.week]
        if hours.only in (None, visit) and hours.site != "away"
    ]
    reference = concept(visit, minutes)["extension"][0]["valueReference"]
    parts: list[JsonObject] = [
        {"url": "service", "valueReference": reference},
        duration("duration", minutes),
        duration("alignmentInterval", ALIGNMENT_MINUTES),
        {"url": "alignmentTimezone", "valueCode": book.place.zone.key},
        {"url": "availability", "extension": hours},
    ]
    if buffer := _BUFFER_MINUTES.get(book.staff.key):
        parts.append(duration("bufferAfter", buffer))
    return {"url": SCHEDULING_PARAMETERS, "extension": parts}


def _room_schedule(directory: Directory, horizon: JsonObject) -> JsonObject:
    return {
        "resourceType": "Schedule",
        "id": str(stable_uuid("r4/schedule/room")),
        "active": True,
        "actor": [{"reference": f"Location/{ROOM_ID}"}],
        "planningHorizon": horizon,
        "comment": "Procedure Room A",
    }


def room(directory: Directory) -> JsonObject:
    return {
        "resourceType": "Location",
        "id": ROOM_ID,
        "status": "active",
        "name": "Procedure Room A",
        "mode": "instance",
        "physicalType": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/location-physical-type",
                    "code": "ro",
                    "display": "Room",
                }
            ]
        },
        "partOf": {"reference": f"Location/{place_id(directory.places[OAKLAND])}"},
    }


def _classic_slots(book: Book, today: date, manners: Manners) -> Iterator[JsonObject]:
    step = book.slot_minutes
    any_visit = [concept(visit) for visit in VISIT_TYPES]
    for window, (start, end), spans in _windows(book, today):
        allowed = any_visit if window.only is None else [concept(APPOINTMENT_TYPES[window.only])]
        for at in range(start, end - step + 1, step):
            is_free = any(low <= at and at + step <= high for low, high in spans)
            taken = "busy-unavailable" if at // 60 % 4 == 0 else "busy"
            times = written((at, at + step), book.place, manners)
            yield {**slot(book.id, *times, "free" if is_free else taken), "serviceType": allowed}


def _busy_slots(book: Book, today: date) -> Iterator[JsonObject]:
    """The clinic's own time, with no serviceType, so that it blocks every service."""
    for _, span, spans in _windows(book, today):
        for low, high in minus([span], spans):
            status = "busy-unavailable" if low // 60 % 4 == 0 else "busy"
            yield slot(book.id, instant(low), instant(high), status)
    yield from _exceptions(book, today)


def _exceptions(book: Book, today: date) -> Iterator[JsonObject]:
    """Slots that an operations Schedule has beside the clinic's own time."""
    if book.staff.key == _EXTRA_OPENING:
        yield slot(book.id, *_hour_at(book, today, weekday=5, hour=10), "free")
    if book.staff.key == _PARTLY_CLOSED:
        closed = slot(book.id, *_hour_at(book, today, weekday=0, hour=12), "busy")
        yield {**closed, "serviceType": [concept(OFFICE_VISIT)]}


def _hour_at(book: Book, today: date, *, weekday: int, hour: int) -> tuple[str, str]:
    day = today + timedelta(days=(weekday - today.weekday()) % 7)
    local = datetime(day.year, day.month, day.day, hour, tzinfo=book.place.zone)
    start = int(local.timestamp()) // 60
    return instant(start), instant(start + 60)


def _windows(book: Book, today: date) -> Iterator[tuple[Window, Span, tuple[Span, ...]]]:
    for number in range(HORIZON_DAYS):
        for window, span, spans in day_windows(book.calendar, today + timedelta(days=number)):
            if book.holds(window):
                yield window, span, spans
