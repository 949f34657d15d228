"""Practitioner, Location, Schedule and Slot as Canvas serves them: all read from the directory and its calendars.

None of these can be written here. Canvas also lets a client write Practitioner; the sandbox leaves that out.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from .bundles import Page, resource, searchset
from .calendars import free_times, local_times
from .catalog import NPI_SYSTEM
from .ehr import Ehr
from .framework import (
    Bundle,
    FHIRGeneralError,
    FHIRProvider,
    FHIRResourceNotFoundError,
    InteractionContext,
    Location,
    Practitioner,
    Schedule,
    Slot,
    bad_request,
)
from .seed import JsonObject, Person, Place
from .visits import booked_spans

DEFAULT_MINUTES = 20
DEFAULT_DAYS = 7
LONGEST_MINUTES = 24 * 60
_YEARS = range(1970, 2200)


def provide_directory(provider: FHIRProvider, ehr: Ehr) -> None:
    _practitioners(provider, ehr)
    _locations(provider, ehr)
    _schedules(provider, ehr)
    _slots(provider, ehr)


def _practitioners(provider: FHIRProvider, ehr: Ehr) -> None:
    @provider.read(Practitioner)
    async def practitioner_read(context: InteractionContext, id_: str) -> Practitioner:
        person = ehr.directory.people.get(id_)
        if person is None:
            raise FHIRResourceNotFoundError
        return resource(Practitioner, person.resource)

    @provider.search_type(Practitioner)
    async def practitioner_search(
        context: InteractionContext,
        _id: str | None = None,
        active: str | None = None,
        email: str | None = None,
        include_non_schedulable_practitioners: str | None = None,
        name: str | None = None,
        npi_number: str | None = None,
    ) -> Bundle:
        is_active = active != "false"
        everyone = include_non_schedulable_practitioners == "true"
        found = [
            person
            for person in ehr.directory.people.values()
            if person.active == is_active
            and (everyone or person.schedulable)
            and (_id is None or person.id == _id)
            and (name is None or name.casefold() in person.display.casefold())
            and (email is None or email.casefold() in _telecom(person, "email"))
            and (npi_number is None or npi_number == _npi(person))
        ]
        return Page(context.request).of([_json(person.resource) for person in found])


def _locations(provider: FHIRProvider, ehr: Ehr) -> None:
    @provider.read(Location)
    async def location_read(context: InteractionContext, id_: str) -> Location:
        place = next((each for each in ehr.directory.places.values() if each.id == id_), None)
        if place is None:
            raise FHIRResourceNotFoundError
        return resource(Location, place.resource)

    @provider.search_type(Location)
    async def location_search(context: InteractionContext, _id: str | None = None) -> Bundle:
        found = [place for place in ehr.directory.places.values() if _id in (None, place.id)]
        return Page(context.request).of([_json(place.resource) for place in found])


def _schedules(provider: FHIRProvider, ehr: Ehr) -> None:
    @provider.search_type(Schedule)
    async def schedule_search(context: InteractionContext) -> Bundle:
        """Every location with every schedulable member of staff, whether or not they ever work there."""
        return searchset(
            [
                _json(_schedule(place, person))
                for place in ehr.directory.places.values()
                for person in ehr.directory.scheduled()
            ]
        )


def _slots(provider: FHIRProvider, ehr: Ehr) -> None:
    @provider.search_type(Slot)
    async def slot_search(
        context: InteractionContext,
        appointment_type: str | None = None,
        duration: str | None = None,
        end: str | None = None,
        schedule: str | None = None,
        start: str | None = None,
    ) -> Bundle:
        if not schedule:
            bad_request("schedule is required.")
        visit = _visit_code(appointment_type)
        minutes = _minutes(duration)
        schedule_id = schedule.removeprefix("Schedule/")
        found = _schedule_parts(ehr, schedule_id)
        if found is None:
            if ehr.switches.unknown_schedule == "404":
                raise FHIRGeneralError(
                    404, "error", "not-found", f"Unknown Schedule resource '{schedule_id}'"
                )
            return searchset([])
        place, person = found
        now = ehr.now()
        # The default is the current date in UTC, which in the evening of the practice is already tomorrow.
        first = _day(start, place, "start") if start else now.date()
        last = _day(end, place, "end") if end else first + timedelta(days=DEFAULT_DAYS)
        if last < first:
            return searchset([])
        around = (_minute(first - timedelta(days=1)), _minute(last + timedelta(days=2)))
        booked = booked_spans(ehr.store, person.id, *around)
        starts = free_times(
            person.calendar,
            place.key,
            place.zone,
            first=first,
            last=last,
            minutes=minutes,
            now=now,
            booked=booked,
            visit=visit,
        )
        return searchset(
            list(_slot_json(_schedule_id(place, person), local_times(starts, minutes, place.zone)))
        )


def _schedule(place: Place, person: Person) -> JsonObject:
    """Whether Canvas names the location by its full or short name here is not documented; full is inferred."""
    words = f"Schedule for {person.display} at {place.name}"
    return {
        "resourceType": "Schedule",
        "id": _schedule_id(place, person),
        "text": {"status": "generated", "div": f"<div>{words.replace('&', '&amp;')}</div>"},
        "actor": [{"reference": f"Practitioner/{person.id}", "type": "Practitioner"}],
        "comment": words,
    }


def _schedule_id(place: Place, person: Person) -> str:
    return f"Location.{place.key}-Staff.{person.id}"


def _schedule_parts(ehr: Ehr, schedule_id: str) -> tuple[Place, Person] | None:
    location, _, staff = schedule_id.removeprefix("Location.").partition("-Staff.")
    if not location.isascii() or not location.isdigit():
        return None
    place, person = ehr.directory.places.get(int(location)), ehr.directory.people.get(staff)
    if place is None or person is None or not (person.active and person.schedulable):
        return None
    return (place, person) if schedule_id == _schedule_id(place, person) else None


def _slot_json(schedule_id: str, times: Iterator[tuple[str, str]]) -> Iterator[str]:
    head = (
        '{"resourceType":"Slot","schedule":{"reference":"Schedule/'
        f'{schedule_id}","type":"Schedule"}},"status":"free","start":"'
    )
    for start, end in times:
        yield f'{head}{start}","end":"{end}"}}'


def _visit_code(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    system, bar, code = text.partition("|")
    if not (system and bar and code):
        bad_request("appointment-type must be in the form system|code.")
    return system, code


def _minutes(text: str | None) -> int:
    if text is None:
        return DEFAULT_MINUTES
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= LONGEST_MINUTES:
        bad_request("duration must be a number of minutes.")
    return int(text)


def _day(text: str, place: Place, name: str) -> date:
    """A date, or an instant taken as its date at the practice; older clients send instants (inferred)."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        bad_request(f"{name} must be a date.")
    if moment.year not in _YEARS:
        bad_request(f"{name} must be a date.")
    if moment.tzinfo is None:
        return moment.date()
    return moment.astimezone(place.zone).date()


def _minute(day: date) -> int:
    return (day.toordinal() - date(1970, 1, 1).toordinal()) * 1440


def _json(value: JsonObject) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _telecom(person: Person, system: str) -> list[str]:
    return [entry["value"].casefold() for entry in person.resource["telecom"] if entry["system"] == system]


def _npi(person: Person) -> str | None:
    return next(
        (entry["value"] for entry in person.resource["identifier"] if entry["system"] == NPI_SYSTEM), None
    )
