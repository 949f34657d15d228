"""Fills the portal's database through its models, and opens sessions for visitors.

Run as a program of its own, with the portal's environment, after its migrations. Standard input is JSON: ``clinic``
(``data.seeds``) writes the directory, ``sessions`` is how many visitors to open, ``minutes`` which visit they want.
Prints JSON: the schedules' ids in the order of the clinic's people, and the sessions' keys.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import date
from importlib import import_module
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from booking.models import (  # noqa: E402
    ClinicianRecord,
    LicenseRecord,
    LocationRecord,
    ReasonModality,
    ScheduleRecord,
    SchedulingPolicy,
    Specialty,
    VisitReasonRecord,
)
from booking.scheduling.terms import Modality  # noqa: E402
from booking.web import draft as drafts  # noqa: E402

AT_ONCE = 500
# By length in minutes: the codes that the sandbox knows for such a visit.
REASONS = {20: "BP", 40: "PHYS"}
TELEHEALTH = ("448337001", "Telehealth")


@transaction.atomic
def write_clinic(clinic: dict[str, Any]) -> list[int]:
    specialties = {
        code: Specialty.objects.create(code=code, name=code.capitalize(), taxonomy_codes="")
        for code in clinic["specialties"]
    }
    place = LocationRecord.objects.create(
        ehr_ref=f"Location/{clinic['place_id']}",
        ehr_key="1",
        name="Bench Clinic",
        jurisdiction=clinic["jurisdiction"],
        time_zone=clinic["zone"],
    )
    SchedulingPolicy.current()
    SchedulingPolicy.objects.update(lead_minutes=0, horizon_days=clinic["horizon_days"])
    for minutes, code in REASONS.items():
        reason = VisitReasonRecord.objects.create(
            code=f"visit-{minutes}",
            label=f"A visit of {minutes} minutes",
            coding_code=code,
            default_minutes=minutes,
        )
        reason.specialties.set(specialties.values())
        ReasonModality.objects.create(
            reason=reason, modality=Modality.VIDEO, type_code=TELEHEALTH[0], type_display=TELEHEALTH[1]
        )
    people = ClinicianRecord.objects.bulk_create(
        (
            ClinicianRecord(
                ehr_ref=f"Practitioner/{person['staff_id']}",
                name=f"{person['given']} {person['family']}",
                family_name=person["family"],
                credentials="MD",
                profession="PHYSICIAN",
                home_jurisdiction=clinic["jurisdiction"],
            )
            for person in clinic["people"]
        ),
        batch_size=AT_ONCE,
    )
    pairs = list(zip(people, clinic["people"], strict=True))
    through = ClinicianRecord.specialties.through
    through.objects.bulk_create(
        (
            through(clinicianrecord_id=record.pk, specialty_id=specialties[code].pk)
            for record, person in pairs
            for code in person["specialties"]
        ),
        batch_size=AT_ONCE,
    )
    LicenseRecord.objects.bulk_create(
        (
            LicenseRecord(
                clinician=record,
                jurisdiction=state,
                number=f"{state}{record.pk}",
                starts_on=date(2020, 1, 1),
                ends_on=date(2040, 1, 1),
            )
            for record, person in pairs
            for state in person["states"]
        ),
        batch_size=AT_ONCE,
    )
    schedules = ScheduleRecord.objects.bulk_create(
        (
            ScheduleRecord(
                ehr_ref=f"Schedule/Location.1-Staff.{person['staff_id']}", clinician=record, location=place
            )
            for record, person in pairs
        ),
        batch_size=AT_ONCE,
    )
    return [schedule.pk for schedule in schedules]


def open_sessions(count: int, minutes: int, clinic: dict[str, Any]) -> list[str]:
    """Visitors who have answered everything up to the times, and proved a contact of theirs."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    keys = []
    for number in range(count):
        draft = drafts.Draft(reason=f"visit-{minutes}", is_screened=True)
        draft.settle_place(clinic["jurisdiction"], clinic["zone"])
        draft.specialty = clinic["specialties"][0]
        draft.has_proved("email", f"visitor{number}@mail.example", timezone.now())
        session = store()
        session[drafts.SESSION_KEY] = asdict(draft)
        session.save()
        keys.append(session.session_key)
    return keys


def main() -> None:
    order = json.load(sys.stdin)
    answer: dict[str, Any] = {"cookie": settings.SESSION_COOKIE_NAME, "csrf": settings.CSRF_COOKIE_NAME}
    if order.get("write"):
        answer["schedules"] = write_clinic(order["clinic"])
        # What a server that has been up for a day would know of its tables.
        connection.cursor().execute("ANALYZE")
    answer["sessions"] = open_sessions(order["sessions"], order["minutes"], order["clinic"])
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
