"""A visit as the EHR keeps it, how it reads as a FHIR Appointment, and how it is stored and found again.

Owns the appointment table. The rules about what may be written live in `visit_rules`.
"""

import json
import sqlite3
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from .calendars import Span
from .catalog import APPOINTMENT_TYPES, ENDPOINT_ID, EXTENSIONS, REASONS, AppointmentType
from .seed import Directory, JsonObject
from .store import Store

REPLACED = "Previously Rescheduled Appointment"
REPLACEMENT = "Rescheduled Replacement Appointment"
NO_REASON = "No description given"

# Inferred: a no-show no longer holds its time, like a canceled visit. The store's `busy` view says the same.
NOT_BUSY = frozenset({"cancelled", "noshow", "entered-in-error"})


@dataclass(slots=True)
class Visit:
    """One appointment. Times are whole minutes since the epoch: Canvas keeps a start and a length in minutes."""

    id: str
    status: str
    starts: int
    ends: int
    practitioner_id: str
    patient_id: str | None
    location_id: str
    kind: AppointmentType
    reason_code: str | None = None
    reason_text: str | None = None
    meeting_url: str | None = None
    identifiers: list[JsonObject] = field(default_factory=list)
    note_id: str | None = None
    encounter_id: str | None = None
    links: list[tuple[str, str]] = field(default_factory=list)

    @property
    def holds_time(self) -> bool:
        return self.status not in NOT_BUSY


def as_fhir(visit: Visit, directory: Directory) -> JsonObject:
    """The read shape: what was written plus what Canvas adds (Canvas documentation, Appointment page)."""
    resource: JsonObject = {"resourceType": "Appointment", "id": visit.id}
    if visit.note_id:
        resource["extension"] = [{"url": f"{EXTENSIONS}note-id", "valueId": visit.note_id}]
    meeting_url = visit.meeting_url
    if meeting_url is None and visit.kind.is_telehealth:
        # The fallback to the practitioner's own room is documented; that a read shows it is inferred.
        person = directory.people.get(visit.practitioner_id)
        meeting_url = person.room_url if person else None
    if meeting_url:
        resource["contained"] = [_endpoint(meeting_url)]
    if visit.identifiers:
        resource["identifier"] = visit.identifiers
    resource["status"] = visit.status
    resource["appointmentType"] = {
        "coding": [
            {"system": visit.kind.system, "code": visit.kind.code, "display": visit.kind.name},
        ]
    }
    if reason := _reason(visit):
        resource["reasonCode"] = [reason]
    if visit.reason_text:
        resource["description"] = visit.reason_text
    information: list[JsonObject] = [{"reference": f"Location/{visit.location_id}", "type": "Location"}]
    if meeting_url:
        information.append({"reference": f"#{ENDPOINT_ID}", "type": "Endpoint"})
    if visit.encounter_id:
        information.append({"reference": f"Encounter/{visit.encounter_id}", "type": "Encounter"})
    for display, other in visit.links:
        information.append({"reference": f"Appointment/{other}", "type": "Appointment", "display": display})
    resource["supportingInformation"] = information
    resource["start"] = _instant(visit.starts)
    resource["end"] = _instant(visit.ends)
    resource["participant"] = [_participant("Practitioner", visit.practitioner_id)]
    if visit.patient_id:
        resource["participant"].append(_participant("Patient", visit.patient_id))
    return resource


def insert(connection: sqlite3.Connection, visit: Visit, directory: Directory, at: float) -> JsonObject:
    resource = as_fhir(visit, directory)
    connection.execute(
        "INSERT INTO appointment (id, resource, detail, status, starts, ends, practitioner_id, patient_id, location_id,"
        " type_system, type_code, created_at, updated_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (visit.id, *_columns(visit, resource), at, at),
    )
    _index_identifiers(connection, visit)
    return resource


def replace(connection: sqlite3.Connection, visit: Visit, directory: Directory, at: float) -> JsonObject:
    resource = as_fhir(visit, directory)
    connection.execute(
        "UPDATE appointment SET resource=?, detail=?, status=?, starts=?, ends=?, practitioner_id=?, patient_id=?,"
        " location_id=?, type_system=?, type_code=?, updated_at=? WHERE id=?",
        (*_columns(visit, resource), at, visit.id),
    )
    connection.execute("DELETE FROM identifier WHERE type = 'Appointment' AND resource_id = ?", (visit.id,))
    _index_identifiers(connection, visit)
    return resource


def from_row(row: sqlite3.Row) -> Visit:
    detail = json.loads(row["detail"])
    return Visit(
        id=row["id"],
        status=row["status"],
        starts=row["starts"],
        ends=row["ends"],
        practitioner_id=row["practitioner_id"],
        patient_id=row["patient_id"],
        location_id=row["location_id"],
        kind=APPOINTMENT_TYPES[row["type_system"], row["type_code"]],
        **{**detail, "links": [(display, other) for display, other in detail["links"]]},
    )


def is_taken(connection: sqlite3.Connection, visit: Visit) -> bool:
    """Whether another visit of the same practitioner overlaps this one, at any location."""
    found = connection.execute(
        "SELECT 1 FROM busy WHERE practitioner_id = ? AND starts < ? AND ends > ? AND id != ? LIMIT 1",
        (visit.practitioner_id, visit.ends, visit.starts, visit.id),
    )
    return found.fetchone() is not None


def booked_spans(store: Store, practitioner_id: str, start: int, end: int) -> list[Span]:
    """The practitioner's booked time that touches start to end, in epoch minutes."""
    rows = store.rows(
        "SELECT starts, ends FROM busy WHERE practitioner_id = ? AND starts < ? AND ends > ?",
        (practitioner_id, end, start),
    )
    return [(row["starts"], row["ends"]) for row in rows]


def _columns(visit: Visit, resource: JsonObject) -> tuple[Any, ...]:
    whole = asdict(visit)
    detail = {
        name: whole[name]
        for name in (
            "reason_code",
            "reason_text",
            "meeting_url",
            "identifiers",
            "note_id",
            "encounter_id",
            "links",
        )
    }
    return (
        json.dumps(resource, ensure_ascii=False, separators=(",", ":")),
        json.dumps(detail, ensure_ascii=False),
        visit.status,
        visit.starts,
        visit.ends,
        visit.practitioner_id,
        visit.patient_id,
        visit.location_id,
        visit.kind.system,
        visit.kind.code,
    )


def _index_identifiers(connection: sqlite3.Connection, visit: Visit) -> None:
    connection.executemany(
        "INSERT INTO identifier VALUES ('Appointment', ?, ?, ?)",
        [(visit.id, entry["system"], entry["value"]) for entry in visit.identifiers],
    )


def _reason(visit: Visit) -> JsonObject:
    reason: JsonObject = {}
    if visit.reason_code and (coding := REASONS.get(visit.reason_code)):
        reason["coding"] = [
            {"system": coding.system, "code": coding.code, "display": coding.display, "userSelected": True}
        ]
    if visit.reason_text and not visit.kind.is_other_event:
        reason["text"] = visit.reason_text
    return reason


def _endpoint(url: str) -> JsonObject:
    return {
        "resourceType": "Endpoint",
        "id": ENDPOINT_ID,
        "status": "active",
        "connectionType": {"code": "https"},
        "payloadType": [{"coding": [{"code": "video-call"}]}],
        "address": url,
    }


def _participant(kind: str, id_: str) -> JsonObject:
    return {"actor": {"reference": f"{kind}/{id_}", "type": kind}, "status": "accepted"}


def _instant(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).isoformat()
