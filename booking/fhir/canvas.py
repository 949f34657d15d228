"""Canvas Medical as a ``SchedulingGateway``.

Canvas computes Slots and keeps no list of them, searches one Schedule at a time, ignores search parameters it
does not know (so every answer is filtered again here), and by default lets two Appointments overlap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID

from booking.scheduling.errors import EhrRejected
from booking.scheduling.gateway import Capabilities
from booking.scheduling.terms import (
    AppointmentRecord,
    AppointmentRequest,
    Coding,
    Directory,
    PatientDetails,
    Slot,
)

from . import canvas_directory, matching, resources
from .client import EhrClient

logger = logging.getLogger("booking.fhir")

CONSENT_URL = "http://schemas.canvasmedical.com/fhir/extensions/has-consent"
_PAGE_SIZE = "100"

_T = TypeVar("_T")


class CanvasGateway:
    """Thread-safe; make one and keep it. Every verb ends within its configured time."""

    def __init__(
        self,
        client: EhrClient,
        *,
        directory_seconds: float,
        prevents_double_booking: bool = False,
        structured_reasons: bool = True,
    ) -> None:
        self._client = client
        self._directory_seconds = directory_seconds
        self._structured_reasons = structured_reasons
        self._capabilities = Capabilities(
            holds=False,
            appointment_identifier_search=True,
            patient_identifier_search=True,
            prevents_double_booking=prevents_double_booking,
            days_per_slot_search=14,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def close(self) -> None:
        self._client.close()

    def directory(self) -> Directory:
        """Active practitioners that Canvas calls schedulable, all locations, and the schedules of both.

        A location that is closed is listed as not active; its schedules are left out.
        """
        deadline = self._client.deadline(self._directory_seconds)
        people = self._client.search("Practitioner", {"active": "true", "_count": _PAGE_SIZE}, deadline)
        places = self._client.search("Location", {"_count": _PAGE_SIZE}, deadline)
        calendars = self._client.search("Schedule", {}, deadline)

        practitioners = tuple(
            listing
            for listing in _read_all(people, canvas_directory.practitioner, "Practitioner")
            if listing.is_active
        )
        locations = tuple(_read_all(places, canvas_directory.location, "Location"))
        schedules = _read_all(calendars, canvas_directory.schedule, "Schedule")
        names = {resources.own_reference(person): canvas_directory.spellings(person) for person in people}
        settled = canvas_directory.settle_locations(schedules, names, locations)
        listed = {listing.ref for listing in practitioners}
        closed = {listing.ref for listing in locations if not listing.is_active}
        return Directory(
            practitioners=practitioners,
            locations=locations,
            schedules=tuple(
                replace(listing, location_ref=settled.get(listing.location_key, ""))
                for listing in schedules
                if listing.practitioner_ref in listed and settled.get(listing.location_key) not in closed
            ),
        )

    def free_slots(
        self,
        schedule_ref: str,
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> list[Slot]:
        """Canvas' own defaults (20 minutes, from today in UTC, for a week) never apply: all of it is sent.

        Raises ``ValueError`` for a search outside the port's terms.
        """
        if minutes < 1 or not 0 <= (last_on - first_on).days < self._capabilities.days_per_slot_search:
            raise ValueError("free_slots takes a positive length and 1 to 14 days")
        params = {
            "schedule": schedule_ref.removeprefix("Schedule/"),
            "start": first_on.isoformat(),
            "end": last_on.isoformat(),
            "duration": str(minutes),
        }
        if appointment_type is not None:
            params["appointment-type"] = f"{appointment_type.system}|{appointment_type.code}"
        found = self._client.search("Slot", params, self._client.deadline())
        found = [resource for resource in found if resource.get("status") == "free"]
        # The days are the practice's, whose zone Canvas does not tell; this keeps what is in them anywhere.
        earliest = datetime.combine(first_on, time(), UTC) - timedelta(hours=14)
        latest = datetime.combine(last_on, time(), UTC) + timedelta(hours=36)
        length = timedelta(minutes=minutes)
        free = {
            slot
            for slot in _read_all(found, resources.slot, "Slot")
            if slot.schedule_ref == schedule_ref
            and slot.ends_at - slot.starts_at == length
            and earliest <= slot.starts_at < latest
        }
        return sorted(free, key=lambda slot: slot.starts_at)

    def find_patient(self, details: PatientDetails) -> str | None:
        deadline = self._client.deadline()
        query = {
            "identifier": f"{resources.PATIENT_SYSTEM}|{details.identifier}",
            "_count": _PAGE_SIZE,
        }
        found = self._client.search("Patient", query, deadline)
        ours = {
            resources.own_reference(patient)
            for patient in found
            if matching.is_in_use(patient)
            and resources.has_identifier(patient, resources.PATIENT_SYSTEM, str(details.identifier))
        }
        if ours:
            return _only(ours)
        if not matching.has_verified_contact(details):
            return None
        query = {
            "birthdate": details.birth_date.isoformat(),
            "family": resources.text(details.family),
            "given": resources.text(details.given),
            "active": "true",
            "_count": _PAGE_SIZE,
        }
        today = self._client.today()
        found = self._client.search("Patient", query, deadline)
        return _only(
            {
                resources.own_reference(patient)
                for patient in found
                if matching.is_in_use(patient) and matching.is_same_person(patient, details, today)
            }
        )

    def create_patient(self, details: PatientDetails) -> str:
        patient = _written(lambda: resources.write_patient(details, consent_url=CONSENT_URL), "Patient")
        return self._client.create("Patient", patient, self._client.deadline())

    def create_appointment(self, request: AppointmentRequest) -> str:
        appointment = _written(
            lambda: resources.write_appointment(request, with_reason_code=self._structured_reasons),
            "Appointment",
        )
        return self._client.create("Appointment", appointment, self._client.deadline())

    def find_appointments(self, booking_id: UUID) -> list[AppointmentRecord]:
        """Without a ``status`` parameter Canvas answers with every status."""
        query = {"identifier": f"{resources.BOOKING_SYSTEM}|{booking_id}", "_count": _PAGE_SIZE}
        found = self._client.search("Appointment", query, self._client.deadline())
        records = [
            resources.appointment_record(appointment)
            for appointment in found
            if resources.has_identifier(appointment, resources.BOOKING_SYSTEM, str(booking_id))
        ]
        if None in records:
            # Left out, it would read as "not there", and the visit be booked a second time.
            raise EhrRejected("GET Appointment: our own appointment came back in a form we cannot read")
        return sorted((record for record in records if record), key=lambda record: record.starts_at)


def _read_all(
    found: list[dict[str, Any]], read: Callable[[Mapping[str, Any]], _T | None], kind: str
) -> list[_T]:
    """What can be read of it. All unreadable is an error, for it would pass as an empty answer."""
    listings = [listing for resource in found if (listing := read(resource)) is not None]
    if len(listings) < len(found):
        logger.warning(
            "GET %s: %d of %d left out as unreadable", kind, len(found) - len(listings), len(found)
        )
        if not listings:
            raise EhrRejected(f"GET {kind}: none of {len(found)} could be read")
    return listings


def _written(write: Callable[[], dict[str, Any]], kind: str) -> dict[str, Any]:
    try:
        return write()
    except ValueError as problem:
        raise EhrRejected(f"POST {kind}: not sent, {problem}") from None


def _only(refs: set[str]) -> str | None:
    return refs.pop() if len(refs) == 1 and "" not in refs else None
