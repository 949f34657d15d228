"""The clinic as it first is in these manners: directory, times, patients and a few visits."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from ..calendars import HORIZON_DAYS, Span, free_times
from ..catalog import OFFICE_VISIT, REASONS, AppointmentType
from ..roster import OAKLAND, STAFF
from ..seed import Directory, JsonObject, stable_uuid, staff_id
from ..seed_records import PATIENTS, VISITS
from .people import directory_resources, person_id, place_id
from .services import concept, plain_services, services
from .times import Book, Manners, books, instant, room, schedules, slot, slots, written

MRN = "https://juniper-health.example/mrn"
_STAFF = {staff.key: staff for staff in STAFF}
_VISIT_MINUTES = 30


def first_resources(
    directory: Directory, manners: Manners, today: date, now: datetime
) -> Iterator[JsonObject]:
    """In this order, which is also the order of an unsorted search."""
    yield from services() if manners == "medplum" else plain_services()
    yield from directory_resources(directory, today)
    yield room(directory)
    yield from schedules(directory, manners, today)
    yield from (_patient(*row) for row in PATIENTS)
    held: dict[str, JsonObject] = {}
    for number, (patient, clinician, site, visit, reason, days) in enumerate(VISITS, start=1):
        book = _book(directory, manners, clinician, site)
        span = _first_free(directory, book, visit, days, now)
        taken = _taken(book, span, manners)
        held |= {each["id"]: each for each in taken}
        yield _appointment(f"visit/{number}", patient, book, visit, reason, span, taken, manners)
    canceled = _book(directory, manners, "03", OAKLAND)
    span = _first_free(directory, canceled, OFFICE_VISIT, 9, now)
    yield {
        **_appointment("visit/90", "01", canceled, OFFICE_VISIT, "STOM", span, [], manners),
        "status": "cancelled",
    }
    for each in slots(directory, manners, today):
        yield {**each, "status": "busy"} if held.pop(each["id"], None) else each
    # What is left are an operations Schedule's, which has no rows but these.
    yield from held.values()


def patient_key(key: str) -> str:
    return str(stable_uuid(f"r4/patient/{key}"))


def _patient(
    key: str, given: str, family: str, birth_date: str, gender: str, phone: str, email: str, active: bool
) -> JsonObject:
    contacts = [{"system": "phone", "value": phone, "use": "mobile"}]
    if email:
        contacts.append({"system": "email", "value": email, "use": "home"})
    return {
        "resourceType": "Patient",
        "id": patient_key(key),
        "identifier": [
            {
                "type": {
                    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]
                },
                "system": MRN,
                "value": f"{700_000_000 + int(key)}",
            }
        ],
        "active": active,
        "name": [{"use": "official", "family": family, "given": [given]}],
        "telecom": contacts,
        "gender": gender,
        "birthDate": birth_date,
    }


def _book(directory: Directory, manners: Manners, key: str, site: int) -> Book:
    mine = [book for book in books(directory, manners) if book.staff.key == key]
    return next((book for book in mine if book.site == site), mine[0])


def _first_free(directory: Directory, book: Book, visit: AppointmentType, days: int, now: datetime) -> Span:
    first = now.astimezone(book.place.zone).date() + timedelta(days=days)
    start = next(
        free_times(
            directory.people[staff_id(book.staff.key)].calendar,
            book.site,
            book.place.zone,
            first=first,
            last=first + timedelta(days=HORIZON_DAYS),
            minutes=_VISIT_MINUTES,
            now=now,
            visit=(visit.system, visit.code),
        )
    )
    return start, start + _VISIT_MINUTES


def _taken(book: Book, span: Span, manners: Manners) -> list[JsonObject]:
    """The Slots of a visit: the rows it lies on, or one of its own."""
    if book.by_operations:
        return [slot(book.id, instant(span[0]), instant(span[1]), "busy")]
    step = book.slot_minutes
    return [
        slot(book.id, *written((at, at + step), book.place, manners), "busy")
        for at in range(span[0], span[1], step)
    ]


def _appointment(
    name: str,
    patient: str,
    book: Book,
    visit: AppointmentType,
    reason: str,
    span: Span,
    taken: list[JsonObject],
    manners: Manners,
) -> JsonObject:
    start, end = written(span, book.place, manners)
    coding = REASONS[reason]
    resource: JsonObject = {
        "resourceType": "Appointment",
        "id": str(stable_uuid(f"r4/{name}")),
        "status": "booked",
        "serviceType": [concept(visit, _VISIT_MINUTES if book.by_operations else None)],
        "reasonCode": [
            {"coding": [{"system": coding.system, "code": coding.code, "display": coding.display}]}
        ],
        "start": start,
        "end": end,
        "participant": [
            {"actor": {"reference": f"Practitioner/{person_id(book.staff)}"}, "status": "accepted"},
            {"actor": {"reference": f"Location/{place_id(book.place)}"}, "status": "accepted"},
            {"actor": {"reference": f"Patient/{patient_key(patient)}"}, "status": "accepted"},
        ],
    }
    if taken:
        resource["slot"] = [{"reference": f"Slot/{each['id']}"} for each in taken]
    return resource
