"""Any EHR that keeps to plain FHIR R4 as a ``SchedulingGateway``.

The clinic makes Slots beforehand; a visit is an Appointment that refers to its Slots. What the server can do is read
from its CapabilityStatement. Where updates depend on versions, a Slot goes to whoever turns it first, and only then is
an Appointment made; where they do not, no promise is given.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable, OutcomeUnknown, TimeTaken
from booking.scheduling.gateway import Capabilities
from booking.scheduling.terms import (
    AppointmentMove,
    AppointmentRecord,
    AppointmentRequest,
    Coding,
    Directory,
    HoldRequest,
    PatientDetails,
    Slot,
)

from . import r4_writers, resources
from .client import EhrClient
from .keeping import Kept
from .r4_directory import read_directory
from .r4_features import Features, findings, read_features
from .slot_claims import BUSY, HELD, Claim, SlotClaims, Turn, open_runs, replacing, takes
from .standard import (
    PAGE_SIZE,
    StandardGateway,
    check_search,
    days_at_the_practice,
    in_order,
    written,
)

logger = logging.getLogger("booking.fhir")

_KEEP_SECONDS = 300.0
# After a server did not say what it can do.
_ASK_AGAIN_SECONDS = 15.0
_PROBE_SECONDS = 1.5


class R4Gateway(StandardGateway):
    searches_active_patients = False
    licenses_by_role = False
    page_size = PAGE_SIZE

    def __init__(self, client: EhrClient, *, directory_seconds: float) -> None:
        super().__init__(client)
        self._directory_seconds = directory_seconds
        self._statement: Kept[Features] = Kept(client.clock, seconds=_KEEP_SECONDS)
        self._schedules: Kept[dict[str, Any]] = Kept(client.clock, seconds=_KEEP_SECONDS)
        self._claims = SlotClaims(client, self._turn(), page_size=self.page_size)
        # Whether the server turns Slots itself; learned from the first Appointment made.
        self._ehr_takes_slots: bool | None = None
        self._last_features: Features | None = None

    def _turn(self) -> Turn:
        return replacing(self._client, with_condition=lambda: self._features().of("Slot").is_versioned)

    @property
    def capabilities(self) -> Capabilities:
        features = self._features()
        claims = features.updates_conditionally and not self._ehr_takes_slots
        return Capabilities(
            holds=claims,
            appointment_identifier_search=features.searches("Appointment", "identifier"),
            patient_identifier_search=features.searches("Patient", "identifier"),
            prevents_double_booking=claims or bool(self._ehr_takes_slots),
            conditional_update=features.of("Appointment").is_versioned,
            moves=claims and features.does("Appointment", "update"),
            subscriptions=features.does("Subscription", "create"),
            days_per_slot_search=14,
        )

    def _features(self) -> Features:
        """What the server said last; nothing at all when it never said."""

        def ask() -> Features:
            found = self._client.fetch("metadata", self._client.deadline(_PROBE_SECONDS))
            self._last_features = read_features(found.resource)
            return self._last_features

        try:
            return self._statement.get("", ask)
        except EhrFailure as failure:
            logger.warning("what the server can do is not known: %s", failure)
            said = self._last_features or Features()
            self._statement.put("", said, _ASK_AGAIN_SECONDS)
            return said

    def _check_known(self) -> None:
        """Before a write: not knowing whether a Slot can be claimed is no reason to do without."""
        if not self._features().by_type:
            raise EhrUnavailable("GET metadata: what the server can do is not known yet")

    def _findings(self, statement: Mapping[str, Any]) -> Iterator[str]:
        yield from super()._findings(statement)
        yield from findings(read_features(statement))

    def directory(self) -> Directory:
        return read_directory(
            self._client,
            self._features(),
            self._client.deadline(self._directory_seconds),
            licenses_by_role=self.licenses_by_role,
            is_photo=self._is_at_the_ehr,
        )

    def _write_patient(self, details: PatientDetails) -> dict[str, Any]:
        return {**super()._write_patient(details), "active": True}

    def free_slots(
        self,
        schedule_ref: str,
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> list[Slot]:
        """Slots of that length, and runs of Slots next to each other that add up to it. Raises ``ValueError`` for a
        search outside the port's terms."""
        check_search(first_on, last_on, minutes, self.capabilities.days_per_slot_search)
        if not takes(self._schedule(schedule_ref), appointment_type):
            return []
        # The days are the practice's, and this keeps what is in them anywhere.
        earliest, latest = days_at_the_practice(first_on, last_on)
        found = self._claims.search(schedule_ref, earliest, latest, self._client.deadline())
        length = timedelta(minutes=minutes)
        now = self._client.now()
        free = set()
        for run in open_runs(found, length, appointment_type=appointment_type):
            first = resources.slot(run[0])
            if first is not None and first.starts_at > now:
                free.add(replace(first, ends_at=first.starts_at + length))
        return in_order(free)

    def _schedule(self, schedule_ref: str) -> dict[str, Any]:
        return self._schedules.get(
            schedule_ref, lambda: self._client.read(schedule_ref, self._client.deadline()).resource
        )

    def hold_time(self, request: HoldRequest) -> None:
        if not self.capabilities.holds:
            raise EhrRejected("the EHR keeps no holds")
        self._claims.claim(request, HELD)

    def release_time(self, request: HoldRequest) -> None:
        """Every Slot of that time with the booking's identifier, unless it belongs to a visit of the booking's."""
        found = self._claims.search(
            request.schedule_ref, request.starts_at, request.ends_at, self._client.deadline()
        )
        ours = [slot for slot in found if request.booking_id in resources.booking_ids(slot)]
        if not ours:
            return
        visits = self._visits(request)
        for slot in ours:
            read = resources.slot(slot)
            if read is None or any(
                visit.starts_at < read.ends_at and read.starts_at < visit.ends_at for visit in visits
            ):
                continue
            self._claims.give_back(resources.own_reference(slot), {request.booking_id})

    def _visits(self, request: HoldRequest) -> list[AppointmentRecord]:
        """The booking's visits that stand."""
        if self.capabilities.appointment_identifier_search:
            found = self.find_appointments(request.booking_id)
        else:
            found = self.search_appointments(
                starts_from=request.starts_at,
                starts_before=request.ends_at,
                practitioner_ref=request.practitioner_ref,
            )
        return [
            record
            for record in found
            if request.booking_id in record.booking_ids and record.status not in r4_writers.CANCELLED
        ]

    def create_appointment(self, request: AppointmentRequest) -> str:
        """Slots first, then the Appointment. After ``OutcomeUnknown`` the Slots stay taken, marked as this booking's."""
        written(lambda: r4_writers.write_appointment(request), "Appointment")
        time = time_of(request)
        self._check_known()
        if not self.capabilities.holds:
            return self._create_at_once(request, time)
        claim = self._claims.claim(time, BUSY)
        if claim.was_busy and (standing := self._visits(time)):
            return standing[0].ref
        try:
            ref = self._create(request, claim.refs)
            self._ehr_takes_slots = False
            return ref
        except OutcomeUnknown:
            raise
        except EhrUnavailable:
            # The same create may succeed later, so a hold that was there before stays.
            self._claims.undo(claim.fresh, request.booking_id)
            raise
        except EhrRejected as refusal:
            self._claims.undo(claim.slots, request.booking_id)
            if refusal.status != 409 or self._ehr_takes_slots is False:
                raise
        # Some servers turn the Slots of an Appointment busy themselves, and refuse one whose Slots are not free.
        # Nothing was made, so the same may be asked once more with Slots that are.
        ref = self._create_at_once(request, time)
        self._ehr_takes_slots = True
        return ref

    def _create(self, request: AppointmentRequest, slot_refs: list[str]) -> str:
        document = r4_writers.write_appointment(request, slot_refs)
        deadline = self._client.deadline()
        return self._client.create("Appointment", document, deadline, patient_ref=request.patient_ref)

    def _create_at_once(self, request: AppointmentRequest, time: HoldRequest) -> str:
        """Where Slots cannot be claimed: look, make the Appointment, and mark the Slots that the server left free."""
        slots = self._claims.find(time)
        if slots is None:
            raise TimeTaken("POST Appointment: not sent, the time is no longer free")
        try:
            ref = self._create(request, [resources.own_reference(slot) for slot in slots])
        except EhrRejected:
            if self._claims.find(time) is None:
                raise TimeTaken("POST Appointment: the time is no longer free") from None
            raise
        if self._features().updates_slots:
            try:
                self._claims.claim(time, BUSY)
            except EhrFailure as failure:
                # The server may have turned them itself, which reads as taken.
                logger.info("the Slots of a new Appointment were not marked: %s", failure)
        return ref

    def cancel_appointment(self, appointment_ref: str) -> None:
        found = self._client.read(appointment_ref, self._client.deadline())
        was_live = found.resource.get("status") not in r4_writers.CANCELLED
        self._change(appointment_ref, r4_writers.cancelled, read=found)
        try:
            self._free(found.resource, unmarked_too=was_live)
        except EhrUnavailable as failure:
            # The visit is cancelled already, so this is no failure that did nothing.
            raise OutcomeUnknown(str(failure), status=failure.status) from failure

    def _free(
        self,
        appointment: Mapping[str, Any],
        *,
        keep: frozenset[str] = frozenset(),
        unmarked_too: bool = False,
    ) -> None:
        """Give back the Slots of an Appointment but those to keep: the ones it refers to, and any that still carry its
        booking after a move that broke off."""
        if not self._features().updates_slots:
            return
        bookings = resources.booking_ids(appointment)
        referred = [
            ref
            for node in resources.mappings(appointment.get("slot"))
            if (ref := resources.reference(node, "Slot"))
        ]
        for ref in [*referred, *self._marked(bookings)]:
            if ref not in keep:
                self._claims.give_back(ref, bookings, unmarked_too=unmarked_too and ref in referred)

    def _marked(self, bookings: tuple[UUID, ...]) -> list[str]:
        if not bookings or not self._features().searches("Slot", "identifier"):
            return []
        values = ",".join(f"{resources.BOOKING_SYSTEM}|{booking}" for booking in bookings)
        query = {"identifier": values, "_count": self.page_size}
        found = self._client.search("Slot", query, self._client.deadline())
        return [
            resources.own_reference(slot) for slot in found if {*bookings} & {*resources.booking_ids(slot)}
        ]

    def move_appointment(self, move: AppointmentMove) -> None:
        """The new Slots are taken before the Appointment changes, and the old ones given back after it."""
        self._check_known()
        if not self.capabilities.moves:
            raise EhrRejected("PUT Appointment: not sent, the EHR cannot move a visit safely")
        self._move_by_slots(move)

    def _move_by_slots(self, move: AppointmentMove) -> None:
        found = self._client.read(move.appointment_ref, self._client.deadline())
        before = found.resource
        written(lambda: r4_writers.moved(before, move, ()), "Appointment")
        claim = self._claims.claim(time_of_move(move), BUSY)
        try:
            self._change(
                move.appointment_ref,
                lambda appointment: r4_writers.moved(appointment, move, claim.refs),
                read=found,
            )
        except OutcomeUnknown:
            raise
        except EhrFailure:
            self._claims.undo(claim.fresh, move.booking_id)
            raise
        self._after_move(before, claim)

    def _after_move(self, before: Mapping[str, Any], claim: Claim) -> None:
        try:
            self._free(before, keep=frozenset(claim.refs), unmarked_too=True)
        except EhrUnavailable as failure:
            raise OutcomeUnknown(str(failure), status=failure.status) from failure


def time_of(request: AppointmentRequest) -> HoldRequest:
    if not request.schedule_ref:
        raise EhrRejected("POST Appointment: not sent, it needs the schedule whose time it takes")
    return HoldRequest(
        booking_id=request.booking_id,
        schedule_ref=request.schedule_ref,
        practitioner_ref=request.practitioner_ref,
        starts_at=request.starts_at,
        ends_at=request.ends_at,
        appointment_type=request.appointment_type,
    )


def time_of_move(move: AppointmentMove) -> HoldRequest:
    return HoldRequest(
        booking_id=move.booking_id,
        schedule_ref=move.schedule_ref,
        practitioner_ref=move.practitioner_ref,
        starts_at=move.starts_at,
        ends_at=move.ends_at,
        appointment_type=move.appointment_type,
    )
