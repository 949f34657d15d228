"""Canvas Medical as a ``SchedulingGateway``.

Canvas computes Slots and keeps no list of them, searches one Schedule at a time, ignores search parameters it
does not know (so every answer is filtered again here), and by default lets two Appointments overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from booking.scheduling.errors import EhrRejected
from booking.scheduling.gateway import Capabilities, Limits
from booking.scheduling.terms import (
    AppointmentMove,
    AppointmentRequest,
    Coding,
    Directory,
    HoldRequest,
    Slot,
)

from . import canvas_directory, listings, resources, writers
from .client import EhrClient, Version
from .slot_search import one_by_one
from .standard import (
    PAGE_SIZE,
    StandardGateway,
    check_search,
    days_at_the_practice,
    in_order,
    read_all,
    written,
)


class CanvasGateway(StandardGateway):
    consent_url = "http://schemas.canvasmedical.com/fhir/extensions/has-consent"

    def __init__(
        self,
        client: EhrClient,
        *,
        directory_seconds: float,
        prevents_double_booking: bool = False,
        structured_reasons: bool = True,
    ) -> None:
        super().__init__(client)
        self._directory_seconds = directory_seconds
        self._structured_reasons = structured_reasons
        self._capabilities = Capabilities(
            holds=False,
            appointment_identifier_search=True,
            patient_identifier_search=True,
            prevents_double_booking=prevents_double_booking,
            conditional_update=True,
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def limits(self) -> Limits:
        """Canvas' Slot page takes one schedule, and does not say how many days."""
        return Limits(days_per_slot_search=14, schedules_per_slot_search=1)

    def can_move(self) -> bool:
        return True

    def directory(self) -> Directory:
        """Active practitioners that Canvas calls schedulable, all locations, and the schedules of both.

        A location that is closed is listed as not active; its schedules are left out.
        """
        deadline = self._client.deadline(self._directory_seconds)
        people = self._client.search("Practitioner", {"active": "true", "_count": PAGE_SIZE}, deadline)
        places = self._client.search("Location", {"_count": PAGE_SIZE}, deadline)
        calendars = self._client.search("Schedule", {}, deadline)

        practitioners = tuple(
            listing
            for listing in read_all(people, canvas_directory.practitioner, "Practitioner")
            if listing.is_active
        )
        locations = tuple(read_all(places, listings.location, "Location"))
        schedules = read_all(calendars, canvas_directory.schedule, "Schedule")
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

    def free_slots_of(
        self,
        schedule_refs: Sequence[str],
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> dict[str, list[Slot]]:
        """Canvas' own defaults (20 minutes, from today in UTC, for a week) never apply: all of it is sent.

        Raises ``ValueError`` for a search outside the port's terms.
        """
        check_search(first_on, last_on, minutes, self.limits.days_per_slot_search)
        params = {
            "start": first_on.isoformat(),
            "end": last_on.isoformat(),
            "duration": str(minutes),
        }
        if appointment_type is not None:
            params["appointment-type"] = f"{appointment_type.system}|{appointment_type.code}"
        # The days are the practice's, whose zone Canvas does not tell; this keeps what is in them anywhere.
        earliest, latest = days_at_the_practice(first_on, last_on)
        length, deadline = timedelta(minutes=minutes), self._client.deadline()

        def search(schedule_ref: str) -> list[Slot]:
            query = {"schedule": schedule_ref.removeprefix("Schedule/"), **params}
            found = self._client.search("Slot", query, deadline)
            found = [resource for resource in found if resource.get("status") == "free"]
            free = {
                slot
                for slot in read_all(found, resources.slot, "Slot")
                if slot.schedule_ref == schedule_ref
                and slot.ends_at - slot.starts_at == length
                and earliest <= slot.starts_at < latest
            }
            return in_order(free)

        return one_by_one(list(dict.fromkeys(schedule_refs)), search)

    def hold_time(self, request: HoldRequest) -> None:
        raise EhrRejected("the EHR keeps no holds")

    def release_time(self, request: HoldRequest) -> None:
        """Nothing to give back where nothing is held."""

    def create_appointment(self, request: AppointmentRequest) -> str:
        appointment = written(
            lambda: writers.write_appointment(request, with_reason_code=self._structured_reasons),
            "Appointment",
        )
        deadline = self._client.deadline()
        return self._client.create("Appointment", appointment, deadline, patient_ref=request.patient_ref)

    def cancel_appointment(self, appointment_ref: str) -> None:
        """By an update with the status ``cancelled`` and every required field, since Canvas knows no other way.

        The rest of what was read goes back as it came, which the vendor's own updater does too. What is cancelled
        already must not be written again: Canvas refuses that.
        """
        self._change(appointment_ref, _cancelled)

    def move_appointment(self, move: AppointmentMove) -> None:
        """In place: the id stays, and Canvas keeps no trace of the earlier time."""
        self._change(move.appointment_ref, lambda appointment: _moved(appointment, move))

    def _condition(self, version: Version) -> dict[str, str]:
        """Canvas has no ETag. It compares If-Unmodified-Since in whole seconds (its Conditional requests page), so a
        change within the second of the read goes unseen."""
        return {"If-Unmodified-Since": version.date} if version.date else {}


def _cancelled(appointment: Mapping[str, Any]) -> dict[str, Any]:
    return (
        {**appointment}
        if resources.text(appointment.get("status")) in resources.CANCELLED
        else {**appointment, "status": "cancelled"}
    )


def _moved(appointment: Mapping[str, Any], move: AppointmentMove) -> dict[str, Any]:
    if resources.text(appointment.get("status")) in resources.CANCELLED:
        raise ValueError("it is cancelled")
    if move.ends_at <= move.starts_at:
        raise ValueError("an appointment ends after it starts")
    place = {**writers.write_reference(move.location_ref, "Location"), "type": "Location"}
    who = writers.write_reference(move.practitioner_ref, "Practitioner")
    information = [
        place if resources.reference(node, "Location") else node
        for node in resources.mappings(appointment.get("supportingInformation"))
    ]
    participants = [
        {**node, "actor": {**who, "type": "Practitioner"}}
        if resources.reference(node.get("actor"), "Practitioner")
        else node
        for node in resources.mappings(appointment.get("participant"))
    ]
    lists = {"supportingInformation": information, "participant": participants}
    return {
        **appointment,
        **{name: value for name, value in lists.items() if value},
        "start": writers.write_instant(move.starts_at),
        "end": writers.write_instant(move.ends_at),
    }
