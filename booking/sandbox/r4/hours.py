"""Medplum's SchedulingParameters, and the free time that follows from them and from a Schedule's Slots.

Times are whole minutes since the epoch. From the Medplum documentation (Defining Availability) and its source: a
free Slot opens time outside of the hours; a Slot that takes time blocks every service if it names none.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ..calendars import Span, minus
from ..seed import JsonObject
from .outcomes import bad_request
from .parameters import ZONE_EXTENSION, codes
from .records import Record, Records
from .services import SCHEDULING_PARAMETERS, SERVICE_REFERENCE

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES_IN = {"min": 1, "h": 60, "d": 1440, "wk": 10_080}
_DEFAULT_INTERVAL = 60
_LONGEST_WINDOW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hours:
    """Days of the week (0 is Monday), and minutes of the local day; an end not after the start is the next day's."""

    days: frozenset[int]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one service on one Schedule. None is "not said here"."""

    duration: int | None = None
    zone: str | None = None
    buffer_before: int | None = None
    buffer_after: int | None = None
    interval: int | None = None
    offset: int | None = None
    alignment_zone: str | None = None
    hours: tuple[Hours, ...] | None = None

    @property
    def minutes(self) -> int:
        return self.duration or 0

    @property
    def before(self) -> int:
        return self.buffer_before or 0

    @property
    def after(self) -> int:
        return self.buffer_after or 0

    def is_aligned(self, minute: int) -> bool:
        zone = ZoneInfo(self.alignment_zone or "UTC")
        local = datetime.fromtimestamp(minute * 60, zone)
        # On the hour is written as 0.
        interval = self.interval or _DEFAULT_INTERVAL
        return (local.hour * 60 + local.minute - (self.offset or 0)) % interval == 0


def rules_for(records: Records, schedule: JsonObject, service: JsonObject, *, whole_entry: bool) -> Rules:
    """The service's rules with the Schedule's own over them; `whole_entry` has the Schedule's replace them entirely.

    Refuses a Schedule with several actors, or one whose actor and rules name no time zone.
    """
    if len(schedule["actor"]) != 1:
        bad_request("$find only supported on schedules with exactly one actor")
    own = [
        entry
        for entry in _entries(schedule)
        if any(
            part.get("valueReference", {}).get("reference") == f"HealthcareService/{service['id']}"
            for part in entry.get("extension", ())
            if part["url"] == "service"
        )
    ]
    of_service = _of_service(service)
    rules = of_service
    if own:
        rules = _parsed(own[0])
        if whole_entry and (rules.duration is None or rules.hours is None):
            bad_request("No matching scheduling parameters found")
        if not whole_entry:
            rules = _over(rules, of_service)
    if rules.duration is None:
        bad_request("No SchedulingParameters found on Schedule or HealthcareService")
    actor = records.follow(schedule["actor"][0].get("reference"))
    if actor is None:
        bad_request("Loading schedule.actor failed")
    zone = rules.zone or _extension_code(actor.resource, ZONE_EXTENSION)
    if zone is None:
        bad_request("No timezone specified")
    return replace(rules, zone=zone, hours=rules.hours if rules.hours is not None else _ALWAYS)


def offers(schedule: JsonObject, service: JsonObject) -> bool:
    """Whether the Schedule's serviceType refers to the very service."""
    return f"HealthcareService/{service['id']}" in service_references(schedule)


def service_references(resource: JsonObject) -> list[str]:
    return [
        extension["valueReference"]["reference"]
        for concept in resource.get("serviceType", ())
        for extension in concept.get("extension", ())
        if extension["url"] == SERVICE_REFERENCE and "reference" in extension.get("valueReference", {})
    ]


def free_spans(
    rules: Rules, service: JsonObject, slots: Sequence[Record], within: Span, *, by_service: bool
) -> list[Span]:
    """`by_service`: a Slot that takes time and names services blocks only those (from 5.1.28 on)."""
    wanted = set(codes(service, "type").split())
    opened, taken = [], []
    for slot in slots:
        body = slot.resource
        span = minute(body["start"]), minute(body["end"])
        named = set(codes(body, "serviceType").split())
        if body["status"] == "free":
            if not named or named & wanted:
                opened.append(span)
        elif body["status"].startswith("busy") and (not by_service or not named or named & wanted):
            taken.append(span)
    whole = merged([*_open_hours(rules, within), *opened])
    clipped = [(max(low, within[0]), min(high, within[1])) for low, high in whole]
    return minus([span for span in clipped if span[0] < span[1]], sorted(taken))


def slots_touching(records: Records, schedule_id: str, within: Span) -> list[Record]:
    rows = records.rows(
        "SELECT id FROM record WHERE schedule = ? AND deleted = 0 AND starts < ? AND ends > ? ORDER BY starts",
        (f"Schedule/{schedule_id}", within[1] * 60, within[0] * 60),
    )
    return [records.read("Slot", row["id"]) for row in rows]


def merged(spans: Iterable[Span]) -> list[Span]:
    """Sorted, with what touches joined."""
    joined: list[Span] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], high)
        else:
            joined.append((low, high))
    return joined


def minute(instant: str) -> int:
    return int(moment(instant).timestamp()) // 60


def moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        bad_request("Invalid date format")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _open_hours(rules: Rules, within: Span) -> Iterator[Span]:
    zone = ZoneInfo(rules.zone or "UTC")
    first = datetime.fromtimestamp(within[0] * 60, zone).date() - _LONGEST_WINDOW
    last = datetime.fromtimestamp(within[1] * 60, zone).date()
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        for hours in rules.hours or ():
            if day.weekday() in hours.days:
                following = day + timedelta(days=1) if hours.end <= hours.start else day
                yield _epoch(day, hours.start, zone), _epoch(following, hours.end, zone)


def _epoch(day: date, minutes: int, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(minutes // 60, minutes % 60), zone).timestamp()) // 60


def _entries(resource: JsonObject) -> list[JsonObject]:
    return [each for each in resource.get("extension", ()) if each["url"] == SCHEDULING_PARAMETERS]


def _of_service(service: JsonObject) -> Rules:
    entries = _entries(service)
    if len(entries) > 1:
        bad_request("HealthcareService has too many scheduling parameters extensions")
    rules = _parsed(entries[0]) if entries else Rules()
    if "availableTime" in service:
        rules = replace(rules, hours=tuple(_native_hours(service["availableTime"])))
    return rules


def _parsed(entry: JsonObject) -> Rules:
    durations: dict[str, int] = {}
    words: dict[str, str] = {}
    hours: list[Hours] | None = None
    for part in entry.get("extension", ()):
        if "valueDuration" in part:
            unit, value = part["valueDuration"].get("unit"), part["valueDuration"].get("value")
            if unit not in _MINUTES_IN:
                bad_request(f'Got unhandled duration unit "{unit}"')
            if value is None:
                bad_request("Got duration without value")
            durations[part["url"]] = int(value) * _MINUTES_IN[unit]
        elif "valueCode" in part:
            words[part["url"]] = part["valueCode"]
        elif part["url"] == "availability":
            hours = [*(hours or []), *_nested_hours(part)]
    return Rules(
        duration=durations.get("duration"),
        zone=words.get("timezone"),
        buffer_before=durations.get("bufferBefore"),
        buffer_after=durations.get("bufferAfter"),
        interval=durations.get("alignmentInterval"),
        offset=durations.get("alignmentOffset"),
        alignment_zone=words.get("alignmentTimezone"),
        hours=None if hours is None else tuple(hours),
    )


def _over(own: Rules, defaults: Rules) -> Rules:
    """Field by field: what the Schedule says, else what the service says."""
    said = {name: getattr(own, name) for name in Rules.__slots__ if getattr(own, name) is not None}
    return replace(defaults, **said)


def _nested_hours(availability: JsonObject) -> Iterator[Hours]:
    for available in availability.get("extension", ()):
        if available["url"] != "availableTime":
            continue
        parts = available.get("extension", ())
        days = [str(part.get("valueCode")) for part in parts if part["url"] == "daysOfWeek"]
        named = {part["url"]: part for part in parts}
        yield _hours(
            days,
            all_day=named.get("allDay", {}).get("valueBoolean", False),
            start=named.get("availableStartTime", {}).get("valueTime"),
            end=named.get("availableEndTime", {}).get("valueTime"),
        )


def _native_hours(available: list[JsonObject]) -> Iterator[Hours]:
    for each in available:
        yield _hours(
            each.get("daysOfWeek", []),
            all_day=each.get("allDay", False),
            start=each.get("availableStartTime"),
            end=each.get("availableEndTime"),
        )


def _hours(days: list[str], *, all_day: bool, start: str | None, end: str | None) -> Hours:
    if not set(days) <= set(DAYS):
        bad_request("Invalid SchedulingParameters.availability.availableTime.daysOfWeek entry")
    on = frozenset(DAYS.index(day) for day in days)
    if all_day:
        return Hours(on, 0, 0)
    if start is None or end is None:
        bad_request("availableTime needs availableStartTime and availableEndTime")
    return Hours(on, _of_day(start), _of_day(end))


def _of_day(clock: str) -> int:
    hours, minutes = clock.split(":")[:2]
    return int(hours) * 60 + int(minutes)


def _extension_code(resource: JsonObject, url: str) -> str | None:
    return next((each.get("valueCode") for each in resource.get("extension", ()) if each["url"] == url), None)


_ALWAYS = (Hours(frozenset(range(7)), 0, 0),)
