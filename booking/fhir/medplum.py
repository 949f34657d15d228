"""Medplum as a ``SchedulingGateway``: two ways of keeping time, chosen for each Schedule by what the Schedule says.

Kept by Medplum's scheduling operations, or classic, with Slots made beforehand as in plain R4. They are never mixed:
$cancel would delete a clinic's own Slot, and a Slot turned by hand is not seen by $find's rules.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from booking.scheduling.errors import EhrFailure, EhrRejected, TimeTaken
from booking.scheduling.gateway import Capabilities, Limits
from booking.scheduling.terms import (
    AppointmentMove,
    AppointmentRecord,
    AppointmentRequest,
    Coding,
    HoldRequest,
    Slot,
)

from . import medplum_buffers, r4_writers, resources
from .client import EhrClient
from .keeping import Kept
from .medplum_bundles import Lost, Transactions
from .medplum_finding import Finding
from .medplum_operations import HELD, Operations
from .medplum_services import Services, is_kept_by_operations, service_refs
from .r4 import R4Gateway
from .r4_booking import time_of
from .r4_features import Features, Offered
from .slot_claims import BUSY, Turn, is_ours, patching, taken
from .slot_search import MOST_AT_ONCE, one_by_one
from .standard import StandardGateway, check_search, days_at_the_practice, in_order, readable, written

logger = logging.getLogger("booking.fhir")

Json = dict[str, Any]

_KEEP_SECONDS = 300.0
_ASK_AGAIN_SECONDS = 15.0
_TRIES = 4
_EVERYTHING = frozenset({"read", "search-type", "create", "update", "delete"})
# What every Medplum does, whatever its CapabilityStatement says of it.
_FEATURES = Features(
    {
        kind: Offered(
            interactions=_EVERYTHING,
            parameters=frozenset({"identifier"}),
            includes=frozenset({f"{kind}:actor"}),
            is_versioned=True,
        )
        for kind in (
            "Appointment",
            "Patient",
            "Practitioner",
            "PractitionerRole",
            "Location",
            "Schedule",
            "Slot",
        )
    }
)


class MedplumGateway(R4Gateway):
    licenses_by_role = True
    page_size = "1000"
    takes_slot_lists = True

    def __init__(self, client: EhrClient, *, directory_seconds: float) -> None:
        super().__init__(client, directory_seconds=directory_seconds)
        self._services = Services(client, seconds=_KEEP_SECONDS)
        self._finding = Finding(client, self._services)
        self._operations = Operations(client, self, self._services, self._finding)
        self._transactions = Transactions(client)
        self._moves: Kept[bool] = Kept(client.clock, seconds=_KEEP_SECONDS)
        # Whether the Schedules seen so far are kept by operations.
        self._ways: set[bool] = set()

    def _turn(self) -> Turn:
        return patching(self._client)

    def _features(self) -> Features:
        return _FEATURES

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            holds=True,
            appointment_identifier_search=True,
            patient_identifier_search=True,
            prevents_double_booking=True,
            conditional_update=True,
            subscriptions=True,
        )

    @property
    def limits(self) -> Limits:
        """$find takes at most 31 days (its page: "Search range cannot exceed 31 days") of one Schedule: 29 of them with
        the hours around that hold a day in any zone."""
        only_operations = self._ways == {True}
        return Limits(
            days_per_slot_search=29,
            schedules_per_slot_search=1 if only_operations else MOST_AT_ONCE,
            calls_per_write=12,
        )

    def can_move(self) -> bool:
        """Whether every Schedule lets a visit move: one kept by operations only where there is $reschedule."""

        def ask() -> bool:
            if self._operations.can_move():
                return True
            query = {"_count": self.page_size}
            schedules = self._client.search("Schedule", query, self._client.probe_deadline())
            return not any(map(is_kept_by_operations, schedules))

        try:
            return self._moves.get("", ask)
        except EhrFailure as failure:
            logger.warning("whether visits can be moved is not known: %s", failure)
            self._moves.put("", False, _ASK_AGAIN_SECONDS)
            return False

    def _findings(self, statement: Mapping[str, Any]) -> Iterator[str]:
        yield from StandardGateway._findings(self, statement)
        if not self.can_move():
            yield (
                "This Medplum has no $reschedule, so a visit on a Schedule that it keeps is moved by booking anew. "
                "Update Medplum if the visit is to stay the same record."
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
        check_search(first_on, last_on, minutes, self.limits.days_per_slot_search)
        refs, deadline = list(dict.fromkeys(schedule_refs)), self._client.deadline()
        schedules = self._schedules_of(refs, deadline)
        kept = {ref: found for ref, found in schedules.items() if is_kept_by_operations(found)}
        classic = {ref: found for ref, found in schedules.items() if ref not in kept}
        self._ways |= {ref in kept for ref in schedules}
        span = days_at_the_practice(first_on, last_on)
        length = timedelta(minutes=minutes)

        def compute(ref: str) -> list[Slot]:
            return in_order(self._finding.free_slots(kept[ref], *span, length, appointment_type, deadline))

        found = self._free_runs(classic, span, length, appointment_type, deadline)
        found |= one_by_one(list(kept), compute)
        return {ref: found.get(ref, []) for ref in refs}

    def hold_time(self, request: HoldRequest) -> None:
        schedule = self._schedule(request.schedule_ref)
        if is_kept_by_operations(schedule):
            self._operations.hold(schedule, request)
        else:
            super().hold_time(request)

    def release_time(self, request: HoldRequest) -> None:
        if is_kept_by_operations(self._schedule(request.schedule_ref)):
            self._operations.release(request)
        else:
            super().release_time(request)

    def create_appointment(self, request: AppointmentRequest) -> str:
        time = time_of(request)
        schedule = self._schedule(request.schedule_ref)
        if is_kept_by_operations(schedule):
            return self._operations.create(schedule, request, time)
        if self._transactions.hold():
            return self._create_in_one(request, time)
        return super().create_appointment(request)

    def _create_in_one(self, request: AppointmentRequest, time: HoldRequest) -> str:
        """Slots and Appointment together or not at all."""
        written(lambda: r4_writers.write_appointment(request), "Appointment")
        deadline = self._client.deadline()
        for attempt in range(1, _TRIES + 1):
            slots = self._claims.find(time)
            if slots is None:
                raise TimeTaken("POST Bundle: not sent, the time is no longer free")
            free = [slot for slot in slots if not (slot["status"] == BUSY and is_ours(slot, time.booking_id))]
            if not free and (standing := self._visits(time)):
                return standing[0].ref
            refs = [resources.own_reference(slot) for slot in slots]
            turns = [(slot, taken(slot, time.booking_id, BUSY)) for slot in free]
            try:
                return self._transactions.create(turns, r4_writers.write_appointment(request, refs))
            except Lost:
                if attempt < _TRIES and not self._client.pause(attempt, deadline):
                    break
        raise TimeTaken("POST Bundle: the time changed hands at every try")

    def find_appointments(
        self, booking_id: UUID, like: AppointmentRequest | None = None
    ) -> list[AppointmentRecord]:
        found = [
            record for record in super().find_appointments(booking_id, like) if record.status not in HELD
        ]
        return found or ([] if like is None else readable(self._operations.unmarked(like)))

    def search_appointments(
        self,
        *,
        starts_from: datetime,
        starts_before: datetime,
        practitioner_ref: str = "",
        patient_ref: str = "",
    ) -> list[AppointmentRecord]:
        found = super().search_appointments(
            starts_from=starts_from,
            starts_before=starts_before,
            practitioner_ref=practitioner_ref,
            patient_ref=patient_ref,
        )
        # A hold of ours is no visit.
        return [record for record in found if not (record.status in HELD and record.booking_ids)]

    def cancel_appointment(self, appointment_ref: str) -> None:
        appointment = self._client.read(appointment_ref, self._client.deadline()).resource
        slots = self._operations.slots(appointment)
        schedules = {resources.reference(slot.get("schedule"), "Schedule") for slot in slots} - {""}
        kept = [
            schedule for ref in sorted(schedules) if is_kept_by_operations(schedule := self._schedule(ref))
        ]
        is_cancelled = resources.text(appointment.get("status")) in resources.CANCELLED
        if len(kept) != len(schedules) or (not schedules and not service_refs(appointment)):
            super().cancel_appointment(appointment_ref)
            return
        if is_cancelled:
            return
        written(lambda: r4_writers.cancelled(appointment), "Appointment")
        self._operations.cancel(appointment, slots)
        try:
            for schedule in kept:
                for ref in medplum_buffers.orphans(
                    self._client, self._services, schedule, appointment, slots
                ):
                    self._operations.delete(ref)
        except EhrFailure as failure:
            # The visit is cancelled; its buffer blocks some minutes that the clinic can free.
            logger.warning("a buffer was not given back: %s", failure)

    def move_appointment(self, move: AppointmentMove) -> None:
        time = HoldRequest.of(move)
        schedule = self._schedule(move.schedule_ref)
        appointment = self._client.read(move.appointment_ref, self._client.deadline()).resource
        was_kept = {
            is_kept_by_operations(self._schedule(resources.reference(slot.get("schedule"), "Schedule")))
            for slot in self._operations.slots(appointment)
        }
        is_kept = is_kept_by_operations(schedule)
        if was_kept - {is_kept}:
            raise EhrRejected("PUT Appointment: not sent, the two schedules keep time in different ways")
        if not is_kept:
            self._move_by_slots(move)
        elif self._operations.can_move():
            self._operations.move(schedule, move, time)
        else:
            raise EhrRejected("POST Appointment $reschedule: this Medplum cannot move a visit in place")
