"""Our terms as R4 documents, shared by all dialects: strict writers, pure functions.

A writer raises ``ValueError`` rather than send what no EHR should be asked to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from booking.scheduling.terms import AppointmentRequest, Coding, PatientDetails

from .resources import (
    BOOKING_SYSTEM,
    PATIENT_SYSTEM,
    REFERENCE,
    ZONE_URL,
    Json,
    extensions,
    has_identifier,
    https_url,
    mappings,
    phone_number,
    text,
)

MEETING_ENDPOINT_ID = "appointment-meeting-endpoint-0"
BIRTH_SEX_URL = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"

_GENDERS = ("male", "female", "other", "unknown")


def write_instant(value: datetime) -> str:
    if value.tzinfo is None or value.microsecond:
        raise ValueError("an appointment's times are aware and in whole seconds")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def write_reference(ref: str, resource_type: str) -> Json:
    found = REFERENCE.fullmatch(ref)
    if not found or found[1] != resource_type:
        raise ValueError(f"not a {resource_type} reference")
    return {"reference": ref}


def write_coding(coding: Coding) -> Json:
    if not coding.code:
        raise ValueError("a coding needs a code")
    parts = {"system": coding.system, "code": coding.code, "display": coding.display}
    return {name: part for name, part in parts.items() if part}


def write_endpoint(address: str) -> Json:
    """The contained Endpoint of a video visit.

    ``https`` as connection type and ``video-call`` as payload are Canvas' codes (its Appointment page). R4
    asks for one of each, but its own connection types name no kind of meeting.
    """
    if not https_url(address):
        raise ValueError("a video address is an https URL")
    return {
        "resourceType": "Endpoint",
        "id": MEETING_ENDPOINT_ID,
        "status": "active",
        "connectionType": {"code": "https"},
        "payloadType": [{"coding": [{"code": "video-call"}]}],
        "address": address,
    }


def write_appointment(request: AppointmentRequest, *, with_reason_code: bool = True) -> Json:
    """A booked Appointment that carries our booking's identifier.

    The practitioner comes before the patient, as Canvas documents it. The reason's code goes without its
    system, which Canvas does not take on write: it looks the code up among its own reasons for visit.
    """
    if request.ends_at <= request.starts_at:
        raise ValueError("an appointment ends after it starts")
    reason: Json = {}
    if with_reason_code and request.reason.code:
        reason["coding"] = [{"code": request.reason.code}]
    if request.reason_text:
        reason["text"] = request.reason_text
    supporting: list[Json] = [write_reference(request.location_ref, "Location")]
    appointment: Json = {
        "resourceType": "Appointment",
        "status": "booked",
        "identifier": [{"system": BOOKING_SYSTEM, "value": str(request.booking_id)}],
        "appointmentType": {"coding": [write_coding(request.appointment_type)]},
        "supportingInformation": supporting,
        "start": write_instant(request.starts_at),
        "end": write_instant(request.ends_at),
        "participant": [
            {"actor": write_reference(request.practitioner_ref, "Practitioner"), "status": "accepted"},
            {"actor": write_reference(request.patient_ref, "Patient"), "status": "accepted"},
        ],
    }
    if reason:
        appointment["reasonCode"] = [reason]
    if request.video_url:
        appointment["contained"] = [write_endpoint(request.video_url)]
        supporting.append({"reference": f"#{MEETING_ENDPOINT_ID}", "type": "Endpoint"})
    return appointment


def write_patient(details: PatientDetails, *, consent_url: str = "") -> Json:
    """A Patient with our identifier. A contact that the patient has proved theirs carries ``consent_url``.

    Nobody was asked their sex at birth, so a gender other than male or female leaves it unknown.
    """
    family, given = text(details.family), text(details.given)
    if not family or not given:
        raise ValueError("a patient has a family name and a given name")
    if details.sex not in _GENDERS:
        raise ValueError("sex is an administrative-gender code")
    birth_sex = {"male": "M", "female": "F"}.get(details.sex, "UNK")
    patient: Json = {
        "resourceType": "Patient",
        "extension": [{"url": BIRTH_SEX_URL, "valueCode": birth_sex}],
        "identifier": [{"system": PATIENT_SYSTEM, "value": str(details.identifier)}],
        "name": [{"use": "official", "family": family, "given": [given]}],
        "gender": details.sex,
        "birthDate": details.birth_date.isoformat(),
    }
    if details.zone:
        patient["extension"].append({"url": ZONE_URL, "valueCode": details.zone})
    contacts: list[Json] = []
    for system, use, value, is_verified in (
        ("phone", "mobile", phone_number(details.mobile), details.mobile_is_verified),
        ("email", "home", details.email.strip(), details.email_is_verified),
    ):
        if value:
            contact: Json = {"system": system, "value": value, "use": use}
            if is_verified and consent_url:
                contact["extension"] = [{"url": consent_url, "valueBoolean": True}]
            contacts.append(contact)
    if contacts:
        patient["telecom"] = contacts
    return patient


def completed_patient(on_file: Json, ours: Json) -> Json:
    """The patient as on file with what is missing of ours: our identifier, contacts, zone. Nothing is dropped.

    On Canvas an array entry that an update leaves out is deleted (its Patient page), so all of what was read goes back,
    ids of the entries included. A contact that is on file already only gains our proof that it is theirs.
    """
    patient = {**on_file}
    identifiers = mappings(on_file.get("identifier"))
    patient["identifier"] = identifiers + [
        mine
        for mine in ours["identifier"]
        if not has_identifier(on_file, str(mine["system"]), str(mine["value"]))
    ]
    kept = mappings(on_file.get("extension"))
    zone = [
        mine for mine in ours["extension"] if mine["url"] == ZONE_URL and not extensions(on_file, ZONE_URL)
    ]
    if kept or zone:
        patient["extension"] = kept + zone
    contacts = [{**contact} for contact in mappings(on_file.get("telecom"))]
    for mine in ours.get("telecom", []):
        same = next((each for each in contacts if _is_same_contact(each, mine)), None)
        if same is None:
            contacts.append(mine)
            continue
        proofs = [proof for proof in mine.get("extension", []) if not extensions(same, str(proof["url"]))]
        if proofs:
            same["extension"] = mappings(same.get("extension")) + proofs
    if contacts:
        patient["telecom"] = contacts
    return patient


def _is_same_contact(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    def key(contact: Mapping[str, Any]) -> tuple[str, str]:
        system = "phone" if contact.get("system") == "sms" else text(contact.get("system"))
        value = text(contact.get("value"))
        return system, phone_number(value) if system == "phone" else value.casefold()

    return one.get("use") != "old" and key(one) == key(other)
