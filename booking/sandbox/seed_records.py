"""The first patients and visits of the invented clinic, written straight into the store."""

import sqlite3
from datetime import date, datetime, timedelta
from typing import Any

from . import patient_records, visits
from .calendars import HORIZON_DAYS, free_times
from .catalog import BIRTHSEX, OFFICE_VISIT, TELEHEALTH, AppointmentType
from .roster import AUSTIN, OAKLAND
from .seed import Directory, patient_id, stable_uuid, staff_id

# Key, given, family, birth date, gender, phone, email, active. Two are twins in name and birth date.
PATIENTS: tuple[tuple[str, str, str, str, str, str, str, bool], ...] = (
    ("01", "Ana", "Delgado", "1984-03-17", "female", "5105550142", "ana.delgado@mail.example", True),
    ("02", "James", "Carter", "1990-07-08", "male", "5125550117", "jcarter90@mail.example", True),
    ("03", "James", "Carter", "1990-07-08", "male", "5125550163", "james.carter@mail.example", True),
    ("04", "Nguyễn", "Thảo", "1972-11-30", "female", "4155550188", "thao@mail.example", True),
    ("05", "Rosalind", "Abernathy-Kowalczyk", "1949-01-05", "female", "5105550104", "", True),
    ("06", "Deshawn", "Pruitt", "2001-09-21", "male", "7375550129", "dpruitt@mail.example", True),
    ("07", "Beatriz", "Montoya", "2019-05-14", "female", "5125550198", "montoya.family@mail.example", True),
    ("08", "Walter", "Grimm", "1938-12-24", "male", "5105550177", "", False),
)

# Patient, clinician, location, type, reason, days ahead from which to take the first free time.
VISITS: tuple[tuple[str, str, int, AppointmentType, str, int], ...] = (
    ("01", "01", OAKLAND, OFFICE_VISIT, "PHYS", 3),
    ("02", "02", AUSTIN, OFFICE_VISIT, "BACK", 4),
    ("04", "20", OAKLAND, TELEHEALTH, "SLEEP", 6),
    ("06", "06", AUSTIN, TELEHEALTH, "SICK", 1),
    ("07", "32", AUSTIN, OFFICE_VISIT, "KIDWELL", 8),
)


def first_records(connection: sqlite3.Connection, directory: Directory, now: datetime) -> None:
    at = now.timestamp()
    for number, patient in enumerate(PATIENTS, start=1):
        patient_records.insert(connection, _patient(number, *patient), at)
    for number, booking in enumerate(VISITS, start=1):
        visit = _visit(directory, number, *booking, now=now)
        visits.insert(connection, visit, directory, at)
    visits.insert(connection, _canceled(directory, now), directory, at)


def _patient(
    number: int,
    key: str,
    given: str,
    family: str,
    birth_date: str,
    gender: str,
    phone: str,
    email: str,
    active: bool,
) -> dict[str, Any]:
    id_ = patient_id(key)
    contacts = [("phone", phone)] + ([("email", email)] if email else [])
    return {
        "resourceType": "Patient",
        "id": id_,
        "extension": [{"url": BIRTHSEX, "valueCode": "F" if gender == "female" else "M"}],
        "identifier": [patient_records.medical_record_number(number)],
        "active": active,
        "name": [{"use": "official", "family": family, "given": [given]}],
        "telecom": [
            {
                "id": str(stable_uuid(f"contact/{key}/{system}")),
                "system": system,
                "value": value,
                "use": "mobile" if system == "phone" else "home",
                "rank": 1,
            }
            for system, value in contacts
        ],
        "gender": gender,
        "birthDate": birth_date,
    }


def _visit(
    directory: Directory,
    number: int,
    patient: str,
    clinician: str,
    location: int,
    kind: AppointmentType,
    reason: str,
    days: int,
    *,
    now: datetime,
) -> visits.Visit:
    person = directory.people[staff_id(clinician)]
    place = directory.places[location]
    first: date = now.astimezone(place.zone).date() + timedelta(days=days)
    start = next(
        free_times(
            person.calendar,
            location,
            place.zone,
            first=first,
            last=first + timedelta(days=HORIZON_DAYS),
            minutes=30,
            now=now,
            visit=(kind.system, kind.code),
        )
    )
    return visits.Visit(
        id=str(stable_uuid(f"visit/{number}")),
        status="booked",
        starts=start,
        ends=start + 30,
        practitioner_id=person.id,
        patient_id=patient_id(patient),
        location_id=place.id,
        kind=kind,
        reason_code=reason,
        note_id=str(stable_uuid(f"note/{number}")),
        encounter_id=str(stable_uuid(f"encounter/{number}")),
    )


def _canceled(directory: Directory, now: datetime) -> visits.Visit:
    visit = _visit(directory, 90, "01", "03", OAKLAND, OFFICE_VISIT, "STOM", 9, now=now)
    visit.status = "cancelled"
    return visit
