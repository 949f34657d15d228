"""A clinic in plain R4: one clinician, one schedule, quarter-hour Slots on the morning of December 1, 2026."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from booking.scheduling.terms import AppointmentMove, AppointmentRequest, Coding, HoldRequest

from .documents import BOOKING_ID

Json = dict[str, Any]

OTHER_BOOKING = UUID("99999999-6a6e-4d0d-9a0e-0b7a3f1c2d3e")
SYSTEM = "urn:self-scheduling-portal:booking"
MARK = {"system": SYSTEM, "value": str(BOOKING_ID)}
OTHER_MARK = {"system": SYSTEM, "value": str(OTHER_BOOKING)}
VISIT = Coding("http://clinic.example/types", "VIDEO", "Video visit")
NINE = datetime(2026, 12, 1, 17, 0, tzinfo=UTC)


def at(minutes: int) -> str:
    return (NINE + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def slot(key: str, start: int, minutes: int = 30, status: str = "free", **more: Any) -> Json:
    return {
        "resourceType": "Slot",
        "id": key,
        "schedule": {"reference": "Schedule/ana"},
        "status": status,
        "start": at(start),
        "end": at(start + minutes),
    } | more


def schedule(**more: Any) -> Json:
    actors = [{"reference": "Practitioner/ana"}, {"reference": "Location/north"}]
    return {"resourceType": "Schedule", "id": "ana", "active": True, "actor": actors} | more


def hold(start: int = 0, minutes: int = 30, **more: Any) -> HoldRequest:
    usual: Json = {
        "booking_id": BOOKING_ID,
        "schedule_ref": "Schedule/ana",
        "practitioner_ref": "Practitioner/ana",
        "starts_at": NINE + timedelta(minutes=start),
        "ends_at": NINE + timedelta(minutes=start + minutes),
        "appointment_type": VISIT,
    }
    return HoldRequest(**usual | more)


def request(start: int = 0, minutes: int = 30, **more: Any) -> AppointmentRequest:
    usual: Json = {
        "booking_id": BOOKING_ID,
        "practitioner_ref": "Practitioner/ana",
        "patient_ref": "Patient/sam",
        "location_ref": "Location/north",
        "starts_at": NINE + timedelta(minutes=start),
        "ends_at": NINE + timedelta(minutes=start + minutes),
        "reason": Coding("http://clinic.example/reasons", "COUGH", "Cough"),
        "reason_text": "Cough",
        "appointment_type": VISIT,
        "video_url": "https://video.example/abc",
        "schedule_ref": "Schedule/ana",
    }
    return AppointmentRequest(**usual | more)


def move(appointment_ref: str, start: int, minutes: int = 30, **more: Any) -> AppointmentMove:
    usual: Json = {
        "appointment_ref": appointment_ref,
        "booking_id": BOOKING_ID,
        "schedule_ref": "Schedule/ana",
        "practitioner_ref": "Practitioner/ana",
        "location_ref": "Location/north",
        "starts_at": NINE + timedelta(minutes=start),
        "ends_at": NINE + timedelta(minutes=start + minutes),
        "appointment_type": VISIT,
    }
    return AppointmentMove(**usual | more)


def appointment(*slots: str, start: int = 0, minutes: int = 30, **more: Any) -> Json:
    return {
        "resourceType": "Appointment",
        "id": "visit",
        "status": "booked",
        "identifier": [MARK],
        "start": at(start),
        "end": at(start + minutes),
        "slot": [{"reference": f"Slot/{key}"} for key in slots],
        "participant": [
            {"actor": {"reference": "Practitioner/ana"}, "status": "accepted"},
            {"actor": {"reference": "Patient/sam"}, "status": "accepted"},
            {"actor": {"reference": "Location/north"}, "status": "accepted"},
        ],
    } | more
