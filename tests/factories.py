"""Rows of an invented clinic with usual values. Each function makes what it is asked for and returns it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.test import Client

from booking.models import (
    Booking,
    ClinicianRecord,
    CompactCredentialRecord,
    CompactMemberRecord,
    CompactRecord,
    LicenseRecord,
    LocationRecord,
    PatientRecord,
    ReasonModality,
    ScheduleRecord,
    SchedulingPolicy,
    Specialty,
    User,
    VisitReasonRecord,
)
from booking.models.bookings import Visitor
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality

# Codes that the sandbox EHR knows.
APPOINTMENT_TYPES = {
    Modality.VIDEO: ("448337001", "Telehealth"),
    Modality.IN_PERSON: ("308335008", "Office visit"),
    Modality.PHONE: ("185317003", "Phone"),
}
_numbers = itertools.count(1)


def specialty(code: str = "family", **more: Any) -> Specialty:
    usual = {"name": code.capitalize(), "taxonomy_codes": "207Q00000X, 363LF0000X, 363AM0700X"}
    return Specialty.objects.get_or_create(code=code, defaults=usual | more)[0]


def location(ref: str = "", **more: Any) -> LocationRecord:
    usual = {
        "name": "Juniper Health Oakland",
        "address": "2140 Juniper Way\nOakland, CA 94612",
        "jurisdiction": "CA",
        "time_zone": "America/Los_Angeles",
    }
    return LocationRecord.objects.create(ehr_ref=ref or f"Location/{next(_numbers)}", **usual | more)


def clinician(
    ref: str = "",
    *,
    states: Iterable[str] = ("CA",),
    specialties: Iterable[Specialty] | None = None,
    schedules: Iterable[tuple[str, LocationRecord]] | None = None,
    **more: Any,
) -> ClinicianRecord:
    """``schedules`` are references and their places; without any there is one at a new location."""
    number = next(_numbers)
    usual = {"name": "Grace Kim", "family_name": "Kim", "credentials": "MD"}
    made = ClinicianRecord.objects.create(ehr_ref=ref or f"Practitioner/{number}", **usual | more)
    made.specialties.set([specialty()] if specialties is None else specialties)
    for state in states:
        LicenseRecord.objects.create(clinician=made, jurisdiction=state, number=f"{state}-{number}")
    places = [(f"Schedule/{number}", location())] if schedules is None else schedules
    for schedule_ref, place in places:
        ScheduleRecord.objects.create(ehr_ref=schedule_ref, clinician=made, location=place)
    return made


def compact(code: str = "psypact", *, members: Iterable[str] = ("TX", "CO"), **more: Any) -> CompactRecord:
    """Unlike what comes with the portal, so that no test stands on a list that will change."""
    usual = {
        "name": f"{code.upper()} of the test",
        "mode": "authority",
        "professions": "PSYCHOLOGIST",
        "in_person": False,
        "as_of": date(2026, 1, 1),
    }
    made, _ = CompactRecord.objects.update_or_create(code=code, defaults=usual | more)
    made.members.all().delete()
    CompactMemberRecord.objects.bulk_create(
        CompactMemberRecord(
            compact=made, jurisdiction=each, effective_on=date(2020, 7, 1), issuing_from=date(2020, 7, 1)
        )
        for each in members
    )
    return made


def compact_credential(who: ClinicianRecord, *, home: str = "TX", **more: Any) -> CompactCredentialRecord:
    usual = {"number": "12345"}
    held = more.pop("compact", None) or CompactRecord.objects.filter(code="psypact").first() or compact()
    return CompactCredentialRecord.objects.create(
        clinician=who, compact=held, home_jurisdiction=home, **usual | more
    )


def reason(
    code: str = "back",
    *,
    ways: Iterable[Modality] = tuple(Modality),
    specialties: Iterable[Specialty] | None = None,
    **more: Any,
) -> VisitReasonRecord:
    usual = {
        "label": f"Trouble called {code}",
        "coding_code": "BACK",
        "coding_display": "Back, neck or joint pain",
        "default_minutes": 30,
    }
    made = VisitReasonRecord.objects.create(code=code, **usual | more)
    made.specialties.set([specialty()] if specialties is None else specialties)
    for way in ways:
        type_code, display = APPOINTMENT_TYPES[way]
        ReasonModality.objects.create(reason=made, modality=way, type_code=type_code, type_display=display)
    return made


def policy(**changes: Any) -> SchedulingPolicy:
    SchedulingPolicy.current()
    SchedulingPolicy.objects.update(**changes)
    return SchedulingPolicy.current()


def visitor(user: User | None = None) -> Visitor:
    """Somebody at a browser of their own."""
    return Visitor(owner_key=uuid4().hex, user=user)


def client(owner_key: str = "", draft: dict[str, Any] | None = None) -> Client:
    """A browser with a session of our own kind: the secret its bookings are known by, and the answers so far."""
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session.update({"owner_key": owner_key or uuid4().hex})
    session.update({"draft": draft} if draft else {})
    session.save()
    found = Client()
    found.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    return found


def patient(**more: Any) -> PatientRecord:
    usual = {
        "given_name": "Ana",
        "family_name": f"Ruiz{uuid4().hex[:8]}",
        "birth_date": date(1984, 2, 29),
        "sex": "female",
        "email": f"{uuid4().hex[:8]}@mail.example",
    }
    return PatientRecord.objects.create(**usual | more)


def give_details(booking: Booking, **more: Any) -> Booking:
    """What a patient fills in between the hold and the review: who they are and a contact they proved."""
    person = more.pop("patient", None) or patient()
    usual = {
        "patient": person,
        "contact_channel": "email",
        "contact_value": person.email,
        "contact_verified_at": datetime.now(UTC),
    }
    for name, value in (usual | more).items():
        setattr(booking, name, value)
    booking.save()
    return booking


def booking(**more: Any) -> Booking:
    """A visit that is booked, three days ahead at 18:30 in UTC, with a proved e-mail address."""
    who = more.pop("clinician", None) or clinician()
    starts_at = more.pop("starts_at", None) or datetime.now(UTC).replace(
        hour=18, minute=30, second=0, microsecond=0
    ) + timedelta(days=3)
    usual = {
        "state": BookingState.BOOKED,
        "owner_key": uuid4().hex,
        "clinician": who,
        "schedule": who.schedules.first(),
        "modality": Modality.VIDEO,
        "jurisdiction": "CA",
        "zone": "America/Los_Angeles",
        "starts_at": starts_at,
        "ends_at": starts_at + timedelta(minutes=30),
        "hold_expires_at": starts_at - timedelta(days=2),
        "hold_full_expires_at": starts_at - timedelta(days=2),
        "contact_channel": "email",
        "contact_value": "ana@mail.example",
        "contact_verified_at": datetime.now(UTC),
        "video_url": "https://video.example/room",
    }
    filled = usual | more
    if filled["state"] == BookingState.BOOKED:
        filled.setdefault("appointment_ref", "Appointment/1")
    filled["reason"] = filled.get("reason") or VisitReasonRecord.objects.first() or reason()
    filled["patient"] = filled["patient"] if "patient" in filled else patient()
    return Booking.objects.create(**filled)
