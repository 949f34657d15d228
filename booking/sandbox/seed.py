"""Builds the clinic's directory from the roster, and the first patients and visits: the same ids on every machine.

Dates of licenses count from the day the database was first seeded.
"""

import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .calendars import Calendar, calendar_of
from .catalog import EXTENSIONS, NPI_SYSTEM, ROLES_SYSTEM
from .roster import AUSTIN, BOARDS, OAKLAND, SPECIALTY_NAMES, STAFF, LicenseCase, Staff

_NAMESPACE = uuid.UUID("6f1c1f0e-0a52-5d5b-9a5c-6a756e697065")

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A practice location. `key` is the small integer Canvas uses in Schedule ids, nowhere else in FHIR."""

    key: int
    id: str
    name: str
    zone: ZoneInfo
    resource: JsonObject


@dataclass(frozen=True, slots=True)
class Person:
    """A member of staff as the server knows them: the Practitioner resource and the calendar behind it."""

    id: str
    display: str
    schedulable: bool
    active: bool
    room_url: str | None
    calendar: Calendar
    resource: JsonObject


@dataclass(frozen=True)
class Directory:
    places: dict[int, Place]
    people: dict[str, Person]

    def place(self, location_id: str) -> Place | None:
        """Finds a location by its UUID, or by the legacy integer Canvas still accepts in references."""
        if location_id.isdigit():
            return self.places.get(int(location_id))
        return next((place for place in self.places.values() if place.id == location_id), None)

    def scheduled(self) -> list[Person]:
        return [person for person in self.people.values() if person.active and person.schedulable]


@dataclass(frozen=True)
class Given:
    """A clinic that is not the invented one: its places by key, its people and their calendars."""

    places: dict[int, Place]
    people: tuple[tuple[Staff, Calendar], ...]


def stable_uuid(name: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, name)


def build_directory(seeded_on: date, given: Given | None = None) -> Directory:
    places = _places() if given is None else given.places
    calendars = (
        given.people
        if given is not None
        else [
            (staff, calendar_of(staff, staff_id(staff.key), places[staff.home].zone.key)) for staff in STAFF
        ]
    )
    people = [_person(staff, places[staff.home], calendar, seeded_on) for staff, calendar in calendars]
    return Directory(places, {person.id: person for person in people})


def _places() -> dict[int, Place]:
    return {
        OAKLAND: _place(
            OAKLAND,
            "3f2b6c1e-8d47-4a90-b5c3-1e7a9d2f4061",
            "Juniper Health Oakland",
            "Oakland",
            "America/Los_Angeles",
            "1999990011",
            {"line": ["2140 Juniper Way"], "city": "Oakland", "state": "CA", "postalCode": "94612"},
        ),
        AUSTIN: _place(
            AUSTIN,
            "b8e0d5a4-27c9-4f13-9e6b-5c4d8a7f3192",
            "Juniper Health Austin",
            "Austin",
            "America/Chicago",
            "1999990029",
            {
                "line": ["608 Cedar Bend Road", "Suite 210"],
                "city": "Austin",
                "state": "TX",
                "postalCode": "78758",
            },
        ),
    }


def staff_id(key: str) -> str:
    """Canvas writes Practitioner ids as UUIDs without dashes."""
    return stable_uuid(f"staff/{key}").hex


def patient_id(key: str) -> str:
    return stable_uuid(f"patient/{key}").hex


def _place(key: int, id_: str, name: str, alias: str, zone: str, npi: str, address: dict[str, Any]) -> Place:
    resource = {
        "resourceType": "Location",
        "id": id_,
        "identifier": [{"system": NPI_SYSTEM, "value": npi}],
        "status": "active",
        "name": name,
        "alias": [alias],
        "description": f"Juniper Health: {name}",
        "address": {"use": "work", **address, "country": "US"},
    }
    return Place(key, id_, name, ZoneInfo(zone), resource)


def _person(staff: Staff, home: Place, calendar: Calendar, seeded_on: date) -> Person:
    id_ = calendar.staff_id
    display = f"{staff.given} {staff.family} {staff.credential}".strip()
    room = f"https://video.juniper-health.example/room/{id_[:10]}" if staff.has_room else None
    extension: list[JsonObject] = [
        {"url": f"{EXTENSIONS}practitioner-user-username", "valueString": f"staff{staff.key}"}
    ]
    if room:
        extension.append({"url": f"{EXTENSIONS}practitioner-personal-meeting-room-link", "valueUrl": room})
    extension.append(
        {
            "url": f"{EXTENSIONS}practitioner-primary-practice-location",
            "valueReference": {
                "reference": f"Location/{home.id}",
                "type": "Location",
                "display": home.name,
            },
        }
    )
    extension.append({"url": f"{EXTENSIONS}roles", "extension": [_role(staff)]})
    resource: JsonObject = {
        "resourceType": "Practitioner",
        "id": id_,
        "extension": extension,
        "identifier": [{"system": NPI_SYSTEM, "value": f"19999{int(staff.key):05d}"}],
        "active": staff.active,
        "name": [{"use": "usual", "text": display, "family": staff.family, "given": [staff.given]}],
        "telecom": [
            {"system": "phone", "value": f"51055501{staff.key}", "use": "work", "rank": 1},
            {
                "system": "email",
                "value": f"staff{staff.key}@juniper-health.example",
                "use": "work",
                "rank": 1,
            },
        ],
    }
    if qualification := _qualifications(staff, seeded_on):
        resource["qualification"] = qualification
    return Person(
        id=id_,
        display=display,
        schedulable=staff.schedulable,
        active=staff.active,
        room_url=room,
        calendar=calendar,
        resource=resource,
    )


def _role(staff: Staff) -> JsonObject:
    code = staff.role or {"PA-C": "PA"}.get(staff.credential, staff.credential)
    return {"url": "code", "valueCoding": {"system": ROLES_SYSTEM, "code": code}}


def _qualifications(staff: Staff, seeded_on: date) -> list[JsonObject]:
    """Licenses among rows that are not: TAXONOMY says the specialty, DEA and CLIA only look like licenses."""
    rows = []
    for number, (state, case) in enumerate(staff.states.items()):
        long_name, short_name = BOARDS[state]
        issuer: list[JsonObject] = [
            _text("issuing-authority-short-name", short_name),
            _text("issuing-authority-state", state),
            {"url": f"{EXTENSIONS}license-primary", "valueBoolean": number == 0},
        ]
        if case == "no-state":
            issuer = []
        start, end = _period(case, seeded_on, number)
        rows.append(
            _qualification("STATE", f"{state}{staff.key}{1000 + number}", start, end, long_name, issuer)
        )
    if staff.taxonomy is None:
        return rows
    always = (date(2019, 1, 1), date(2039, 12, 31))
    specialty = SPECIALTY_NAMES[staff.taxonomy]
    rows.append(_qualification("TAXONOMY", staff.taxonomy, *always, specialty, []))
    if int(staff.key) % 2:
        rows.append(
            _qualification(
                "DEA",
                f"FD{1999000 + int(staff.key)}",
                *always,
                "Drug Enforcement Administration",
                [_text("issuing-authority-short-name", "DEA")],
            )
        )
    if int(staff.key) % 7 == 0:
        # Nevada appears here only, on a row that is no license to see patients.
        rows.append(
            _qualification(
                "CLIA",
                f"05D09{int(staff.key):05d}",
                *always,
                "Centers for Medicare & Medicaid Services",
                [_text("issuing-authority-short-name", "CMS"), _text("issuing-authority-state", "NV")],
            )
        )
    return rows


def _qualification(
    kind: str, value: str, start: date, end: date, issuer: str, extension: list[JsonObject]
) -> JsonObject:
    named: JsonObject = {"display": issuer}
    if extension:
        named["extension"] = extension
    return {
        "identifier": [{"system": f"{EXTENSIONS}issuing-authority-url", "value": value}],
        "code": {"text": kind},
        "period": {"start": start.isoformat(), "end": end.isoformat()},
        "issuer": named,
    }


def _text(name: str, value: str) -> JsonObject:
    return {"url": f"{EXTENSIONS}{name}", "valueString": value}


def _period(case: LicenseCase, seeded_on: date, number: int) -> tuple[date, date]:
    began = date(2021, 3, 1) + timedelta(days=40 * number)
    lasts = {
        "expires-in-5-days": 5,
        "expires-in-8-days": 8,
        "expires-in-12-days": 12,
        "expired": -30,
    }
    if case in lasts:
        return began, seeded_on + timedelta(days=lasts[case])
    if case == "starts-next-week":
        return seeded_on + timedelta(days=7), seeded_on + timedelta(days=7 + 730)
    return began, seeded_on + timedelta(days=400 + 30 * number)
