"""Appointments and parameters for Medplum's scheduling operations: what is added to what Medplum proposed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from booking.scheduling.terms import AppointmentMove, AppointmentRequest

from . import r4_writers, resources, writers
from .medplum_services import Service

Json = dict[str, Any]


def completed(appointment: Mapping[str, Any], request: AppointmentRequest) -> Json:
    """With who comes, where and why; whoever takes part already stays as they are."""
    participants = resources.mappings(appointment.get("participant"))
    there = {resources.text(resources.mapping(each.get("actor")).get("reference")) for each in participants}
    added = [
        each for each in r4_writers.patient_and_place(request) if each["actor"]["reference"] not in there
    ]
    more = r4_writers.details(request)
    # A proposal has its Slots contained; whatever else is contained and not ours stays too.
    contained = [
        each
        for each in resources.mappings(appointment.get("contained"))
        if each.get("id") != writers.MEETING_ENDPOINT_ID
    ]
    if contained:
        more["contained"] = [*contained, *more.get("contained", [])]
    return {
        **appointment,
        "appointmentType": {"coding": [writers.write_coding(request.appointment_type)]},
        **more,
        "participant": [*participants, *added],
    }


def booked(appointment: Mapping[str, Any]) -> Json:
    if resources.text(appointment.get("status")) not in ("pending", "proposed", "booked"):
        raise ValueError("the hold is gone")
    return {**appointment, "status": "booked"}


def busy(slot: Mapping[str, Any]) -> Json:
    """A held Slot, taken. Its serviceType goes: from about September 2026 a busy Slot with one blocks that service
    alone (Medplum's scheduling changelog)."""
    if slot.get("status") != "busy-tentative":
        return {**slot}
    return {key: value for key, value in slot.items() if key != "serviceType"} | {"status": "busy"}


def with_appointment(appointment: Json) -> Json:
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "appointment", "resource": appointment}],
    }


def with_slots(proposal: Mapping[str, Any], patient_ref: str) -> Json:
    """The form of $book up to 5.1.12, which makes the buffers itself."""
    slots = [
        {"name": "slot", "resource": each}
        for each in resources.mappings(proposal.get("contained"))
        if each.get("status") == "busy"
    ]
    patient = {"name": "patient-reference", "valueReference": writers.write_reference(patient_ref, "Patient")}
    return {"resourceType": "Parameters", "parameter": [*slots, patient]}


def with_new_time(move: AppointmentMove, service: Service) -> Json:
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "start", "valueDateTime": writers.write_instant(move.starts_at)},
            # Asked for by the first versions of $reschedule; later ones take the Appointment's own, which is the same.
            {"name": "service-type-reference", "valueReference": {"reference": service.ref}},
            {"name": "schedule", "valueReference": {"reference": move.schedule_ref}},
        ],
    }
