"""State licenses as US Core and Da Vinci Plan-Net have a directory say them, among qualifications that are none.

A license is a `Practitioner.qualification` whose Plan-Net extension says where it is valid. A few people's licenses
stand on a PractitionerRole instead, whose `location` names whole states (Medplum documentation, State-by-State
Licensure); the site a person works at is no license for its state.
"""

from datetime import date, timedelta

from ..roster import BOARDS, SPECIALTY_NAMES, LicenseCase, Staff
from ..seed import JsonObject, stable_uuid

PLAN_NET = "http://hl7.org/fhir/us/davinci-pdex-plan-net/StructureDefinition/practitioner-qualification"
USPS = "https://www.usps.com/"
DEGREES = "http://terminology.hl7.org/CodeSystem/v2-0360"

# Whose licenses stand on a PractitionerRole, not on the person.
BY_ROLE = frozenset({"10", "22", "28"})
# Whose licenses name a Location as the place they are valid in, not a code.
BY_LOCATION = frozenset({"14", "31"})
# One license each with no period at all, and one that was taken away while its period runs on.
WITHOUT_PERIOD = {"36": "OR"}
REVOKED = {"21": "GA"}

STATE_NAMES = {
    "CA": "California",
    "TX": "Texas",
    "NY": "New York",
    "WA": "Washington",
    "OR": "Oregon",
    "CO": "Colorado",
    "FL": "Florida",
    "IL": "Illinois",
    "AZ": "Arizona",
    "MA": "Massachusetts",
    "GA": "Georgia",
    "NC": "North Carolina",
}

_LASTS: dict[LicenseCase, int] = {
    "expires-in-5-days": 5,
    "expires-in-8-days": 8,
    "expires-in-12-days": 12,
    "expired": -30,
}


def state_place_id(state: str) -> str:
    return str(stable_uuid(f"r4/state/{state}"))


def state_places(states: list[str]) -> list[JsonObject]:
    """Locations that are whole states. Nobody can come to one for a visit."""
    return [
        {
            "resourceType": "Location",
            "id": state_place_id(state),
            "identifier": [{"system": USPS, "value": state}],
            "status": "active",
            "name": STATE_NAMES[state],
            "mode": "kind",
            "physicalType": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/location-physical-type",
                        "code": "jdn",
                        "display": "Jurisdiction",
                    }
                ]
            },
            "address": {"state": state, "country": "US"},
        }
        for state in states
    ]


def qualifications(staff: Staff, seeded_on: date) -> list[JsonObject]:
    rows = []
    if staff.key not in BY_ROLE:
        rows = [
            _license(staff, state, case, number, seeded_on)
            for number, (state, case) in enumerate(staff.states.items())
        ]
    if staff.taxonomy is None:
        return rows
    rows.append(_board_certification(staff))
    if int(staff.key) % 2:
        rows.append(
            {
                "identifier": [
                    {"system": "urn:oid:2.16.840.1.113883.4.814", "value": f"FD{1999000 + int(staff.key)}"}
                ],
                "code": {"text": "Controlled substance registration"},
                "issuer": {"display": "Drug Enforcement Administration"},
            }
        )
    if int(staff.key) % 7 == 0:
        # Nevada appears here only, on a certificate that is no license to see patients.
        rows.append(
            {
                "identifier": [{"value": f"05D09{int(staff.key):05d}"}],
                "code": {
                    "coding": [{"system": DEGREES, "code": "CER", "display": "Certificate"}],
                    "text": "Laboratory director certificate",
                },
                "issuer": {"display": "Nevada State Board of Health"},
            }
        )
    return rows


def role_licenses(staff: Staff, seeded_on: date) -> list[tuple[str, JsonObject]]:
    """(state, period) for those whose licenses stand on a role."""
    if staff.key not in BY_ROLE:
        return []
    return [
        (state, _period(case, seeded_on, number)) for number, (state, case) in enumerate(staff.states.items())
    ]


def _license(staff: Staff, state: str, case: LicenseCase, number: int, seeded_on: date) -> JsonObject:
    status = "inactive" if REVOKED.get(staff.key) == state else "active"
    where: JsonObject = {
        "url": "whereValid",
        "valueCodeableConcept": {"coding": [{"system": USPS, "code": state, "display": STATE_NAMES[state]}]},
    }
    if staff.key in BY_LOCATION:
        where = {"url": "whereValid", "valueReference": {"reference": f"Location/{state_place_id(state)}"}}
    parts: list[JsonObject] = [{"url": "status", "valueCode": status}]
    if case != "no-state":
        parts.append(where)
    degree = staff.credential.removesuffix("-C")
    row: JsonObject = {
        "extension": [{"url": PLAN_NET, "extension": parts}],
        "identifier": [{"value": f"{state}{staff.key}{1000 + number}"}],
        "code": {"coding": [{"system": DEGREES, "code": degree}], "text": staff.credential},
        "period": _period(case, seeded_on, number),
        "issuer": {"display": BOARDS[state][0]},
    }
    if WITHOUT_PERIOD.get(staff.key) == state:
        del row["period"]
    return row


def _board_certification(staff: Staff) -> JsonObject:
    """Looks much like a license: a date, a number, an issuer."""
    return {
        "identifier": [{"value": f"BC{staff.key}0042"}],
        "code": {"text": f"Board certification: {SPECIALTY_NAMES[staff.taxonomy or '']}"},
        "period": {"start": "2019-01-01", "end": "2039-12-31"},
        "issuer": {"display": "American Board of Medical Specialties"},
    }


def _period(case: LicenseCase, seeded_on: date, number: int) -> JsonObject:
    began, ends = (
        date(2021, 3, 1) + timedelta(days=40 * number),
        seeded_on + timedelta(days=400 + 30 * number),
    )
    if case in _LASTS:
        ends = seeded_on + timedelta(days=_LASTS[case])
    if case == "starts-next-week":
        began, ends = seeded_on + timedelta(days=7), seeded_on + timedelta(days=7 + 730)
    return {"start": began.isoformat(), "end": ends.isoformat()}
