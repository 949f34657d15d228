"""The clinic's directory as R4 resources: who works here, as what, and where.

Traps for a hasty reader: a practitioner and roles that are not active, roles at a site whose state is no license.
"""

from collections.abc import Iterator
from datetime import date

from ..catalog import NPI_SYSTEM
from ..roster import AUSTIN, OAKLAND, SPECIALTY_NAMES, STAFF, Staff
from ..seed import Directory, JsonObject, Person, Place, stable_uuid, staff_id
from .licenses import qualifications, role_licenses, state_place_id, state_places
from .parameters import ZONE_EXTENSION

TAXONOMY = "http://nucc.org/provider-taxonomy"
ROLE_CODES = "http://terminology.hl7.org/CodeSystem/practitioner-role"
_ROLES = {"RN": "nurse", "NP": "nurse"}

# Left the practice in this capacity, though the person is still active.
_ENDED_ROLE = "35"


def person_id(staff: Staff) -> str:
    return str(stable_uuid(f"r4/staff/{staff.key}"))


def place_id(place: Place) -> str:
    return str(stable_uuid(f"r4/place/{place.key}"))


def sites(staff: Staff) -> list[int]:
    return [staff.home, *([staff.away] if staff.away else [])]


def directory_resources(directory: Directory, seeded_on: date) -> Iterator[JsonObject]:
    for place in directory.places.values():
        yield _location(place)
    yield from state_places(sorted({state for staff in STAFF for state in staff.states}))
    for staff in STAFF:
        if staff.role == "ROOM":
            continue
        person = directory.people[staff_id(staff.key)]
        yield _practitioner(staff, person, directory.places[staff.home], seeded_on)
        yield from _roles(staff, directory, seeded_on)


def _location(place: Place) -> JsonObject:
    known = place.resource
    return {
        "resourceType": "Location",
        "id": place_id(place),
        "extension": [{"url": ZONE_EXTENSION, "valueCode": place.zone.key}],
        "identifier": known["identifier"],
        "status": "active",
        "name": known["name"],
        "alias": known["alias"],
        "mode": "instance",
        "telecom": [{"system": "phone", "value": "5105550100" if place.key == OAKLAND else "5125550100"}],
        "address": known["address"],
        "physicalType": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/location-physical-type",
                    "code": "bu",
                    "display": "Building",
                }
            ]
        },
    }


def _practitioner(staff: Staff, person: Person, home: Place, seeded_on: date) -> JsonObject:
    known = person.resource
    resource: JsonObject = {
        "resourceType": "Practitioner",
        "id": person_id(staff),
        "extension": [{"url": ZONE_EXTENSION, "valueCode": home.zone.key}],
        "identifier": [{"system": NPI_SYSTEM, "value": known["identifier"][0]["value"]}],
        "active": staff.active,
        "name": [
            {
                "use": "official",
                "text": person.display,
                "family": staff.family,
                "given": staff.given.split(" "),
                **({"suffix": [staff.credential]} if staff.credential else {}),
            }
        ],
        "telecom": [{"system": "email", "value": f"staff{staff.key}@juniper-health.example", "use": "work"}],
    }
    if rows := qualifications(staff, seeded_on):
        resource["qualification"] = rows
    return resource


def _roles(staff: Staff, directory: Directory, seeded_on: date) -> Iterator[JsonObject]:
    for number, site in enumerate(sites(staff)):
        place = directory.places[site]
        yield {
            **_role(staff, f"site-{number}"),
            "active": staff.active and staff.key != _ENDED_ROLE,
            "location": [{"reference": f"Location/{place_id(place)}", "display": place.name}],
        }
    if staff.key == _ENDED_ROLE:
        # The same person in the capacity that goes on.
        here = directory.places[staff.home]
        yield {
            **_role(staff, "now"),
            "active": True,
            "period": {"start": "2025-01-01"},
            "location": [{"reference": f"Location/{place_id(here)}", "display": here.name}],
        }
    if staff.key == "23":
        # Consults in Texas on paper only, with no license there.
        austin = directory.places[AUSTIN]
        yield {
            **_role(staff, "consultant"),
            "active": False,
            "location": [{"reference": f"Location/{place_id(austin)}", "display": austin.name}],
        }
    for state, period in role_licenses(staff, seeded_on):
        yield {
            **_role(staff, f"license-{state}"),
            "active": True,
            "period": period,
            "location": [{"reference": f"Location/{state_place_id(state)}"}],
        }


def _role(staff: Staff, name: str) -> JsonObject:
    code = _ROLES.get(staff.credential, "doctor" if staff.credential in ("MD", "DO", "PA-C") else "ict")
    resource: JsonObject = {
        "resourceType": "PractitionerRole",
        "id": str(stable_uuid(f"r4/role/{staff.key}/{name}")),
        "practitioner": {
            "reference": f"Practitioner/{person_id(staff)}",
            "display": f"{staff.given} {staff.family}",
        },
        "code": [{"coding": [{"system": ROLE_CODES, "code": code}]}],
    }
    if staff.taxonomy:
        resource["specialty"] = [
            {
                "coding": [
                    {
                        "system": TAXONOMY,
                        "code": staff.taxonomy,
                        "display": SPECIALTY_NAMES[staff.taxonomy],
                    }
                ]
            }
        ]
    return resource
