"""Appointments as plain R4 has them: references to Slots, the location as a participant, codes with their systems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from booking.scheduling.terms import AppointmentMove, AppointmentRequest

from . import resources, writers
from .resources import BOOKING_SYSTEM, Json

_UNDER_WAY_OR_OVER = frozenset({"arrived", "checked-in", "fulfilled", "noshow"})


def write_appointment(request: AppointmentRequest, slot_refs: Iterable[str] = ()) -> Json:
    if request.ends_at <= request.starts_at:
        raise ValueError("an appointment ends after it starts")
    kind = {"coding": [writers.write_coding(request.appointment_type)]}
    appointment: Json = {
        "resourceType": "Appointment",
        "status": "booked",
        "identifier": [{"system": BOOKING_SYSTEM, "value": str(request.booking_id)}],
        "serviceType": [kind],
        "appointmentType": kind,
        "start": writers.write_instant(request.starts_at),
        "end": writers.write_instant(request.ends_at),
        "participant": [_participant(request.practitioner_ref, "Practitioner"), *patient_and_place(request)],
    }
    appointment.update(details(request))
    slots = [{"reference": ref} for ref in slot_refs]
    return {**appointment, "slot": slots} if slots else appointment


def details(request: AppointmentRequest) -> Json:
    """Why the patient comes, and where a video visit is to be met."""
    found: Json = {}
    reason: Json = {"coding": [writers.write_coding(request.reason)]} if request.reason.code else {}
    if request.reason_text:
        reason["text"] = request.reason_text
    if reason:
        found["reasonCode"] = [reason]
    if request.video_url:
        found["contained"] = [_endpoint(request.video_url)]
        found["supportingInformation"] = [
            {"reference": f"#{writers.MEETING_ENDPOINT_ID}", "type": "Endpoint"}
        ]
    return found


def patient_and_place(request: AppointmentRequest) -> list[Json]:
    return [_participant(request.patient_ref, "Patient"), _participant(request.location_ref, "Location")]


def cancelled(appointment: Mapping[str, Any]) -> Json:
    """Unchanged when it is cancelled already."""
    if resources.text(appointment.get("status")) in _UNDER_WAY_OR_OVER:
        raise ValueError("it is under way or over")
    if resources.text(appointment.get("status")) in resources.CANCELLED:
        return {**appointment}
    return {**appointment, "status": "cancelled"}


def moved(appointment: Mapping[str, Any], move: AppointmentMove, slot_refs: Iterable[str]) -> Json:
    """It gains the booking's identifier if it has none, by which its Slots are given back one day."""
    if resources.text(appointment.get("status")) in resources.CANCELLED | _UNDER_WAY_OR_OVER:
        raise ValueError("it is cancelled, under way or over")
    if move.ends_at <= move.starts_at:
        raise ValueError("an appointment ends after it starts")
    return {
        **relocated(marked(appointment, move.booking_id), move),
        "start": writers.write_instant(move.starts_at),
        "end": writers.write_instant(move.ends_at),
        "slot": [{"reference": ref} for ref in slot_refs],
    }


def marked(appointment: Mapping[str, Any], booking_id: UUID) -> Json:
    """With the booking's identifier."""
    if booking_id in resources.booking_ids(appointment):
        return {**appointment}
    mark = {"system": BOOKING_SYSTEM, "value": str(booking_id)}
    return {**appointment, "identifier": [*resources.mappings(appointment.get("identifier")), mark]}


def relocated(appointment: Mapping[str, Any], move: AppointmentMove) -> Json:
    """With the move's clinician and location in place of those it had."""
    participants = resources.mappings(appointment.get("participant"))
    for kind, ref in (("Practitioner", move.practitioner_ref), ("Location", move.location_ref)):
        theirs = [node for node in participants if resources.reference(node.get("actor"), kind)]
        if not any(resources.reference(node.get("actor"), kind) == ref for node in theirs):
            participants = [node for node in participants if node not in theirs] + [_participant(ref, kind)]
    return {**appointment, "participant": participants}


def _participant(ref: str, kind: str) -> Json:
    return {"actor": writers.write_reference(ref, kind), "status": "accepted"}


def _endpoint(address: str) -> Json:
    """R4 wants a connection type and a payload type, and has a code for no kind of meeting; both bindings let a server
    take other words. No payload is sent to a meeting, which R4 does have a code for."""
    endpoint = writers.write_endpoint(address)
    return {
        **endpoint,
        "connectionType": {"display": "Video visit in a web browser"},
        "payloadType": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type", "code": "none"}
                ],
                "text": "Video call",
            }
        ],
    }
