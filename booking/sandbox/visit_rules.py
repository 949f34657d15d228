"""What Canvas accepts in an Appointment write, and how a body and the visit it changes become the next visit.

The framework has already checked the body against FHIR itself. Texts of 422s are those the documentation prints;
where it prints none the wording is ours. Appointment.slot, comment, minutesDuration and their like are ignored.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from .catalog import APPOINTMENT_TYPES, INTERNAL, OFFICE_VISIT, REASONS, SNOMED, AppointmentType
from .framework import bad_request, field_required, refuse
from .seed import Directory, JsonObject
from .switches import Switches
from .visits import NO_REASON, Visit

WRITABLE_STATUSES = frozenset(
    {"proposed", "pending", "booked", "arrived", "checked-in", "fulfilled", "noshow", "cancelled"}
)
# Inferred from the SDK, which cancels only from booked or reverted note states.
_PAST_CANCELLING = frozenset({"arrived", "checked-in", "fulfilled", "noshow"})

TIME_TAKEN = "This appointment time is no longer available."
PATIENT_FIXED = (
    "Cannot change patient for an existing appointment. "
    "Please cancel this appointment and create a new one for the new patient."
)


class VisitRules:
    """Reads one body against the clinic's directory, settings and patients."""

    def __init__(
        self, directory: Directory, switches: Switches, knows_patient: Callable[[str], bool]
    ) -> None:
        self._directory = directory
        self._switches = switches
        self._knows_patient = knows_patient

    def new_visit(self, body: JsonObject) -> Visit:
        kind = self._kind(body) or OFFICE_VISIT
        starts, ends = _times(body)
        practitioner_id, patient_id = self._people(body, kind)
        reason_code, reason_text = self._reason(body, kind) or (None, NO_REASON)
        # Other events make no note (Canvas release notes, 2025-04-07); everything else gets one and an Encounter.
        has_note = not kind.is_other_event
        return Visit(
            id=str(uuid.uuid4()),
            status=_status(body),
            starts=starts,
            ends=ends,
            practitioner_id=practitioner_id,
            patient_id=patient_id,
            location_id=self._location(body),
            kind=kind,
            reason_code=reason_code,
            reason_text=reason_text,
            meeting_url=_meeting_url(body),
            identifiers=identifiers(body.get("identifier", ())),
            note_id=str(uuid.uuid4()) if has_note else None,
            encounter_id=str(uuid.uuid4()) if has_note else None,
        )

    def changed_visit(self, visit: Visit, body: JsonObject) -> Visit:
        """All required fields come again; an optional one left out keeps its value."""
        status = _status(body)
        if visit.status == "cancelled" and self._switches.cancelled_frozen:
            refuse("A cancelled appointment cannot be changed.")
        if status == "cancelled" and visit.status in _PAST_CANCELLING:
            refuse(f"An appointment with status {visit.status} cannot be cancelled.")
        kind = self._kind(body) or visit.kind
        starts, ends = _times(body)
        practitioner_id, patient_id = self._people(body, kind)
        if patient_id != visit.patient_id:
            refuse(PATIENT_FIXED)
        reason_code, reason_text = self._reason(body, kind) or (visit.reason_code, visit.reason_text)
        return replace(
            visit,
            status=status,
            starts=starts,
            ends=ends,
            practitioner_id=practitioner_id,
            location_id=self._location(body),
            kind=kind,
            reason_code=reason_code,
            reason_text=reason_text,
            meeting_url=_meeting_url(body) or visit.meeting_url,
            identifiers=identifiers(body["identifier"]) if "identifier" in body else visit.identifiers,
        )

    def _kind(self, body: JsonObject) -> AppointmentType | None:
        if "appointmentType" not in body:
            return None
        codings = body["appointmentType"].get("coding", ())
        if len(codings) != 1:
            refuse("Appointment Type must have exactly one coding.")
        system, code = codings[0].get("system"), codings[0].get("code")
        if system not in (SNOMED, INTERNAL):
            refuse(f"Appointment Type system must be {SNOMED} or {INTERNAL}.")
        kind = APPOINTMENT_TYPES.get((system, code))
        if kind is None:
            refuse(f"Appointment Type does not exist with code: {code} and system: {system}")
        if not kind.is_scheduleable:
            refuse(f"Note type: {kind.name} is not scheduleable")
        return kind

    def _people(self, body: JsonObject, kind: AppointmentType) -> tuple[str, str | None]:
        """The first practitioner and the first patient; more than one of either is not documented."""
        references = [entry.get("actor", {}).get("reference", "") for entry in body["participant"]]
        practitioner_id = _first(references, "Practitioner")
        if practitioner_id is None:
            refuse("An appointment needs a Practitioner participant.")
        if practitioner_id not in self._directory.people:
            refuse(f"Practitioner with id {practitioner_id} does not exist.")
        patient_id = _first(references, "Patient")
        if patient_id is None and kind.is_patient_required:
            refuse("An appointment of this type needs a Patient participant.")
        if patient_id is not None and not self._knows_patient(patient_id):
            refuse(f"Patient with id {patient_id} does not exist.")
        return practitioner_id, patient_id

    def _location(self, body: JsonObject) -> str:
        information = body.get("supportingInformation")
        if not information:
            field_required("supportingInformation")
        location_id = _first([entry.get("reference", "") for entry in information], "Location")
        if location_id is None:
            refuse("supportingInformation must include a Location reference.")
        place = self._directory.place(location_id)
        if place is None:
            refuse(f"Location with id {location_id} does not exist.")
        return place.id

    def _reason(self, body: JsonObject, kind: AppointmentType) -> tuple[str | None, str | None] | None:
        """The reason's code and comment, or None when the body says nothing of it. Only reasonCode[0] counts."""
        if not body.get("reasonCode"):
            return (None, body["description"]) if body.get("description") else None
        reason = body["reasonCode"][0]
        text = reason.get("text")
        if kind.is_other_event:
            text = body.get("description") or text
        # With structured reasons off, that a coding is passed over rather than refused is inferred.
        if not reason.get("coding") or not self._switches.structured_reason_for_visit:
            return None, text
        code = reason["coding"][0].get("code")
        if code not in REASONS:
            refuse(f"structured reason for visit with code {code} does not exist")
        return code, text


def identifiers(given: Iterable[JsonObject]) -> list[JsonObject]:
    """External ids as Canvas keeps them: system and value required, `use` filled in, an id minted for each."""
    kept = []
    for number, entry in enumerate(given):
        for name in ("system", "value"):
            if not entry.get(name):
                field_required("identifier", str(number), name)
        kept.append({"use": "usual", **entry, "id": entry.get("id") or str(uuid.uuid4())})
    return kept


def _status(body: JsonObject) -> str:
    status = str(body["status"])
    if status not in WRITABLE_STATUSES:
        refuse(f"Appointment status {status} cannot be written.")
    return status


def _times(body: JsonObject) -> tuple[int, int]:
    start, end = (_minute(body, name) for name in ("start", "end"))
    if end <= start:
        refuse("Appointment end must be after its start.")
    return start, end


def _minute(body: JsonObject, name: str) -> int:
    if not body.get(name):
        field_required(name)
    try:
        return int(datetime.fromisoformat(body[name]).timestamp()) // 60
    except ValueError:
        bad_request(f"{name} is not an instant.")


def _meeting_url(body: JsonObject) -> str | None:
    """The video address from a contained Endpoint that supportingInformation points to.

    Documentation asks for the id appointment-meeting-endpoint-0 and its own samples use another, so any id
    that the reference repeats is taken (inferred).
    """
    contained: list[dict[str, Any]] = body.get("contained", [])
    if not contained:
        return None
    if len(contained) > 1 or contained[0].get("resourceType") != "Endpoint":
        refuse("An appointment may contain one Endpoint and nothing else.")
    endpoint = contained[0]
    references = {entry.get("reference") for entry in body.get("supportingInformation", ())}
    if f"#{endpoint.get('id')}" not in references:
        refuse("supportingInformation must refer to the contained Endpoint.")
    return str(endpoint["address"])


def _first(references: Iterable[str], kind: str) -> str | None:
    prefix = f"{kind}/"
    return next((each.removeprefix(prefix) for each in references if each.startswith(prefix)), None)
