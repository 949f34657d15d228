"""What can be booked, as HealthcareServices, and Medplum's extension that says when and how long.

Medplum schedules by one HealthcareService for each kind and length of visit (its documentation, Defining Availability).
"""

from collections.abc import Iterable, Iterator

from ..catalog import HOME_VISIT, OFFICE_VISIT, PHONE, TELEHEALTH, AppointmentType
from ..seed import JsonObject, stable_uuid

SCHEDULING_PARAMETERS = "https://medplum.com/fhir/StructureDefinition/SchedulingParameters"
SERVICE_REFERENCE = "https://medplum.com/fhir/service-type-reference"

VISIT_TYPES = (OFFICE_VISIT, TELEHEALTH, PHONE)
MINUTES = (15, 20, 30, 40, 45, 60)
ALIGNMENT_MINUTES = 15


def service_id(visit: AppointmentType, minutes: int) -> str:
    return str(stable_uuid(f"r4/service/{visit.code}/{minutes}"))


def services() -> Iterator[JsonObject]:
    for visit in VISIT_TYPES:
        for minutes in MINUTES:
            yield _service(visit, minutes, is_active=True)
    yield _service(HOME_VISIT, 60, is_active=False)


def plain_services() -> Iterator[JsonObject]:
    """One for each kind of visit, which is all that plain R4 has use for."""
    for visit in VISIT_TYPES:
        yield {
            "resourceType": "HealthcareService",
            "id": str(stable_uuid(f"r4/service/{visit.code}")),
            "active": True,
            "type": [concept(visit)],
            "name": visit.name,
        }


def concept(visit: AppointmentType, minutes: int | None = None) -> JsonObject:
    """A serviceType; with minutes, one that refers to the very service."""
    found: JsonObject = {
        "coding": [{"system": visit.system, "code": visit.code, "display": visit.name}],
    }
    if minutes is not None:
        reference = {"reference": f"HealthcareService/{service_id(visit, minutes)}"}
        found["extension"] = [{"url": SERVICE_REFERENCE, "valueReference": reference}]
    return found


def duration(name: str, minutes: int) -> JsonObject:
    return {"url": name, "valueDuration": {"value": minutes, "unit": "min"}}


def available_time(days: Iterable[str], start: str, end: str) -> JsonObject:
    """One nested `availableTime`; times are HH:MM."""
    return {
        "url": "availableTime",
        "extension": [
            *({"url": "daysOfWeek", "valueCode": day} for day in days),
            {"url": "availableStartTime", "valueTime": f"{start}:00"},
            {"url": "availableEndTime", "valueTime": f"{end}:00"},
        ],
    }


def _service(visit: AppointmentType, minutes: int, *, is_active: bool) -> JsonObject:
    return {
        "resourceType": "HealthcareService",
        "id": service_id(visit, minutes),
        "active": is_active,
        "type": [concept(visit)],
        "name": f"{visit.name} {minutes} minutes",
        "extension": [
            {
                "url": SCHEDULING_PARAMETERS,
                "extension": [
                    duration("duration", minutes),
                    duration("alignmentInterval", ALIGNMENT_MINUTES),
                ],
            }
        ],
    }
