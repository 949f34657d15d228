"""Shorthand for Medplum's scheduling operations."""

from datetime import datetime
from typing import Any

from .r4_rig import Json, Server

SERVICE_REFERENCE = "https://medplum.com/fhir/service-type-reference"
NOT_AVAILABLE = (400, "invalid", "Requested time slot is not available")


def service_at(medplum: Server, name: str = "Telehealth 30 minutes") -> str:
    return f"HealthcareService/{medplum.one('HealthcareService', name=name)['id']}"


def query_for(medplum: Server, family: str = "Goldberg", **changes: Any) -> Json:
    return {
        "start": "2026-11-23T08:00:00Z",
        "end": "2026-11-28T08:00:00Z",
        "service-type-reference": service_at(medplum),
        "schedule": f"Schedule/{medplum.schedule(family)['id']}",
        "_count": 1000,
        **changes,
    }


def find(medplum: Server, family: str = "Goldberg", **changes: Any) -> list[Json]:
    answer = medplum.get("Appointment/$find", **query_for(medplum, family, **changes))
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def parameters(**resources: Any) -> Json:
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, "resource": resource} for name, resource in resources.items()],
    }


def with_patient(medplum: Server, proposal: Json) -> Json:
    patient = medplum.one("Patient", family="Delgado")["id"]
    return {
        **proposal,
        "identifier": [{"system": "urn:portal", "value": "b-1"}],
        "comment": "Please call first",
        "participant": [
            *proposal["participant"],
            {"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"},
        ],
    }


def send(medplum: Server, operation: str, proposal: Json) -> Any:
    return medplum.post(f"Appointment/${operation}", parameters(appointment=proposal))


def made(answer: Any, status: int = 201) -> list[Json]:
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == "transaction-response"
    return [entry["resource"] for entry in answer.json()["entry"]]


def hold(medplum: Server, proposal: Json) -> Json:
    return made(send(medplum, "hold", proposal))[0]


def move(medplum: Server, visit: Json, start: str, family: str = "Goldberg") -> Any:
    schedule = f"Schedule/{medplum.schedule(family)['id']}"
    return medplum.post(
        f"Appointment/{visit['id']}/$reschedule",
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "start", "valueDateTime": start},
                {"name": "schedule", "valueReference": {"reference": schedule}},
            ],
        },
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def text_of(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
