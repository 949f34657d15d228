"""A Medplum Schedule kept by the scheduling operations, with two visit types of one name, and what $find proposes."""

from __future__ import annotations

from typing import Any

from .documents import bundle
from .r4_documents import MARK, VISIT, at

Json = dict[str, Any]

PARAMETERS = "https://medplum.com/fhir/StructureDefinition/SchedulingParameters"
SERVICE = "https://medplum.com/fhir/service-type-reference"
KIND = {"coding": [{"system": VISIT.system, "code": VISIT.code}]}


def lasts(minutes: Any, **more: Any) -> Json:
    parts = [{"url": "duration", "valueDuration": {"value": minutes, "unit": "min"}}]
    parts += [{"url": name, "valueDuration": {"value": value, "unit": "min"}} for name, value in more.items()]
    return {"url": PARAMETERS, "extension": parts}


def service(key: str, minutes: Any, **more: Any) -> Json:
    return {
        "resourceType": "HealthcareService",
        "id": key,
        "active": True,
        "type": [KIND],
        "extension": [lasts(minutes)],
    } | more


def service_type(key: str) -> Json:
    return {
        **KIND,
        "extension": [{"url": SERVICE, "valueReference": {"reference": f"HealthcareService/{key}"}}],
    }


def schedule(*services: str, **more: Any) -> Json:
    return {
        "resourceType": "Schedule",
        "id": "ana",
        "active": True,
        "serviceType": [service_type(key) for key in services or ("half", "hour")],
        "actor": [{"reference": "Practitioner/ana"}],
    } | more


SERVICES = bundle(service("half", 30), service("hour", 60))


def virtual_slot(start: int, minutes: int = 30, status: str = "busy") -> Json:
    return {
        "resourceType": "Slot",
        "status": status,
        "schedule": {"reference": "Schedule/ana"},
        "start": at(start),
        "end": at(start + minutes),
    }


def proposal(start: int = 0, minutes: int = 30, key: str = "half") -> Json:
    return {
        "resourceType": "Appointment",
        "status": "proposed",
        "start": at(start),
        "end": at(start + minutes),
        "serviceType": [service_type(key)],
        "participant": [
            {"actor": {"reference": "Practitioner/ana"}, "required": "required", "status": "needs-action"}
        ],
        "contained": [virtual_slot(start, minutes), virtual_slot(start + minutes, 10, "busy-unavailable")],
    }


def pending(status: str = "pending", start: int = 0, **more: Any) -> Json:
    made = {key: value for key, value in proposal(start).items() if key != "contained"}
    return (
        made
        | {
            "id": "visit",
            "status": status,
            "identifier": [MARK],
            "slot": [{"reference": "Slot/own"}, {"reference": "Slot/buffer"}],
            "meta": {"versionId": "v1"},
        }
        | more
    )


def real_slot(key: str = "own", start: int = 0, status: str = "busy-tentative", **more: Any) -> Json:
    minutes = 30 if key == "own" else 10
    return virtual_slot(start, minutes, status) | {"id": key} | more
