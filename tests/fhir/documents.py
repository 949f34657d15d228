"""Canvas documents in the shapes of the vendor's samples, with people and places of our own."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from booking.scheduling.terms import AppointmentRequest, Coding, PatientDetails, Slot

Json = dict[str, Any]

CANVAS = "http://schemas.canvasmedical.com/fhir/extensions"
SNOMED = "http://snomed.info/sct"

ANA = "4150cd20de8a470aa570a852859ac87e"
BEN = "77d1f0a3c9b84e2b9a5e1c6f20b4d8e1"
NORTH = "9d3a079f-22c0-4918-96d7-72eb567563ec"
SOUTH = "0b1c6c5e-8f0d-4c58-8d0f-5a3b2f7f9a11"
ANA_NORTH = f"Schedule/Location.1-Staff.{ANA}"

BOOKING_ID = UUID("5f0c1f6a-6a0e-4d0d-9a0e-0b7a3f1c2d3e")
PATIENT_ID = UUID("a3d7c0de-1111-4222-8333-444455556666")
PATIENT_REF = "Patient/ee1c7803325b47b492008f3e7c9d7a3d"
APPOINTMENT_ID = "4be5c594-cfbd-4b7c-a047-ee3b06881745"


def bundle(*resources: Any, next_url: Any = None, **more: Any) -> Json:
    found: Json = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(resources),
        "entry": [{"resource": resource} for resource in resources],
    }
    if next_url is not None:
        found["link"] = [{"relation": "self", "url": "/x"}, {"relation": "next", "url": next_url}]
    return found | more


def outcome(code: str, text: str) -> Json:
    issue = {"severity": "error", "code": code, "details": {"text": text}}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def qualification(
    kind: str = "STATE",
    number: str = "A12345",
    *,
    issuer: str = "Medical Board of California",
    state: str | None = "CA",
    period: Any = None,
) -> Json:
    authority: Json = {
        "display": issuer,
        "extension": [{"url": f"{CANVAS}/issuing-authority-short-name", "valueString": "Board"}],
    }
    if state is not None:
        authority["extension"].append({"url": f"{CANVAS}/issuing-authority-state", "valueString": state})
    return {
        "identifier": [{"system": f"{CANVAS}/issuing-authority-url", "value": number}],
        "code": {"text": kind},
        "period": {"start": "2024-01-01", "end": "2027-12-31"} if period is None else period,
        "issuer": authority,
    }


def practitioner(
    key: str = ANA, given: str = "Ana", family: str = "Ruiz", text: str = "Ana Ruiz MD", **more: Any
) -> Json:
    return {
        "resourceType": "Practitioner",
        "id": key,
        "extension": [
            {"url": f"{CANVAS}/practitioner-user-username", "valueString": "aruiz"},
            {
                "url": f"{CANVAS}/practitioner-personal-meeting-room-link",
                "valueUrl": "https://video.example/ana",
            },
            {
                "url": f"{CANVAS}/practitioner-primary-practice-location",
                "valueReference": {"reference": f"Location/{NORTH}", "display": "North Clinic"},
            },
            {
                "url": f"{CANVAS}/roles",
                "extension": [
                    {
                        "url": "code",
                        "valueCoding": {
                            "system": "http://schemas.canvasmedical.com/fhir/roles",
                            "code": "MD",
                        },
                    }
                ],
            },
        ],
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1000000001"}],
        "active": True,
        "name": [{"use": "usual", "text": text, "family": family, "given": [given]}],
        "photo": [{"url": "https://files.example/ana.png"}],
        "qualification": [
            qualification(),
            qualification("TAXONOMY", "207Q00000X", issuer="NUCC", state=None),
        ],
        "communication": [{"coding": [{"code": "es"}], "text": "Spanish"}],
    } | more


def location(key: str = NORTH, name: str = "North Clinic", alias: str = "North", **more: Any) -> Json:
    return {
        "resourceType": "Location",
        "id": key,
        "status": "active",
        "name": name,
        "alias": [alias],
        "description": f"Example Health: {name}",
        "address": {
            "use": "work",
            "line": ["12 Elm Street", "Suite 4"],
            "city": "Fresno",
            "state": "CA",
            "postalCode": "93701",
            "country": "US",
        },
    } | more


def schedule(
    key: int = 1, staff: str = ANA, comment: str = "Schedule for Ana Ruiz MD at North Clinic", **more: Any
) -> Json:
    return {
        "resourceType": "Schedule",
        "id": f"Location.{key}-Staff.{staff}",
        "text": {"status": "generated", "div": f"<div>{comment}</div>"},
        "actor": [{"reference": f"Practitioner/{staff}", "type": "Practitioner"}],
        "comment": comment,
    } | more


def slot(start: str, end: str, **more: Any) -> Json:
    return {
        "resourceType": "Slot",
        "schedule": {"reference": ANA_NORTH, "type": "Schedule"},
        "status": "free",
        "start": start,
        "end": end,
    } | more


def appointment(**more: Any) -> Json:
    return {
        "resourceType": "Appointment",
        "id": APPOINTMENT_ID,
        "identifier": [
            {
                "id": "1f2e3d4c-0000-4000-8000-000000000001",
                "system": "urn:self-scheduling-portal:booking",
                "value": str(BOOKING_ID),
            }
        ],
        "status": "booked",
        "appointmentType": {"coding": [{"system": SNOMED, "code": "448337001", "display": "Telehealth"}]},
        "reasonCode": [{"coding": [{"system": "INTERNAL", "code": "FUP30", "userSelected": True}]}],
        "supportingInformation": [{"reference": f"Location/{NORTH}", "type": "Location"}],
        "start": "2026-12-01T17:00:00+00:00",
        "end": "2026-12-01T17:30:00+00:00",
        "participant": [
            {"actor": {"reference": f"Practitioner/{ANA}", "type": "Practitioner"}, "status": "accepted"},
            {"actor": {"reference": PATIENT_REF, "type": "Patient"}, "status": "accepted"},
        ],
    } | more


def patient(**more: Any) -> Json:
    return {
        "resourceType": "Patient",
        "id": PATIENT_REF.removeprefix("Patient/"),
        "active": True,
        "name": [
            {"use": "official", "family": "Okafor", "given": ["Sam", "Ike"]},
            {"use": "nickname", "given": ["Sammy"]},
        ],
        "gender": "male",
        "birthDate": "1980-11-13",
        "telecom": [
            {"id": "t1", "system": "phone", "value": "5594440101", "use": "mobile", "rank": 1},
            {"id": "t2", "system": "email", "value": "sam.okafor@example.org", "use": "home", "rank": 1},
        ],
    } | more


def details(**more: Any) -> PatientDetails:
    usual: Json = {
        "identifier": PATIENT_ID,
        "given": "Sam",
        "family": "Okafor",
        "birth_date": date(1980, 11, 13),
        "sex": "male",
        "email": "sam.okafor@example.org",
        "mobile": "+15594440101",
        "mobile_is_verified": True,
        "zone": "America/Los_Angeles",
    }
    return PatientDetails(**usual | more)


def request(**more: Any) -> AppointmentRequest:
    usual: Json = {
        "booking_id": BOOKING_ID,
        "practitioner_ref": f"Practitioner/{ANA}",
        "patient_ref": PATIENT_REF,
        "location_ref": f"Location/{NORTH}",
        "starts_at": datetime(2026, 12, 1, 17, 0, tzinfo=UTC),
        "ends_at": datetime(2026, 12, 1, 17, 30, tzinfo=UTC),
        "reason": Coding("INTERNAL", "FUP30", "Follow-up"),
        "reason_text": "Follow-up on labs",
        "appointment_type": Coding(SNOMED, "448337001"),
        "video_url": "https://video.example/abc",
        "schedule_ref": ANA_NORTH,
    }
    return AppointmentRequest(**usual | more)


def free_slot(start: datetime, minutes: int = 30) -> Slot:
    return Slot(ANA_NORTH, start, start + timedelta(minutes=minutes))
