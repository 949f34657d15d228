"""Visits on Slots that the clinic made beforehand: whoever turns a Slot first has it, and only then is an Appointment
made. Where Slots cannot be turned on condition, no promise is given; where the server turns them itself, it decides.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from booking.scheduling.errors import (
    Changed,
    EhrFailure,
    EhrRejected,
    EhrUnavailable,
    OutcomeUnknown,
    TimeTaken,
)
from booking.scheduling.terms import (
    AppointmentMove,
    AppointmentRecord,
    AppointmentRequest,
    HeldTime,
    HoldRequest,
)

from . import r4_writers, resources
from .client import EhrClient, Version
from .r4_features import Features
from .slot_claims import BUSY, HELD, SlotClaims, Turn, is_ours, replacing
from .slot_search import SlotSearch
from .standard import PAGE_SIZE, StandardGateway, written

logger = logging.getLogger("booking.fhir")


class SlotBooking(StandardGateway):
    page_size = PAGE_SIZE
    slot_list_page_size = "1000"
    takes_slot_lists = False

    def __init__(self, client: EhrClient) -> None:
        super().__init__(client)
        self._slots = SlotSearch(
            client,
            page_size=self.page_size,
            list_page_size=self.slot_list_page_size,
            takes_lists=self.takes_slot_lists,
        )
        self._claims = SlotClaims(client, self._turn(), self._slots)
        # Whether the server turns Slots itself; learned from the first Appointment made.
        self._ehr_takes_slots: bool | None = None

    @abstractmethod
    def _features(self) -> Features:
        """What the server said last that it does; nothing at all when it never said."""

    def _turn(self) -> Turn:
        return replacing(self._client, with_condition=lambda: self._features().of("Slot").is_versioned)

    def _check_known(self) -> None:
        """Before a write: not knowing whether a Slot can be claimed is no reason to do without."""
        if not self._features().by_type:
            raise EhrUnavailable("GET metadata: what the server can do is not known yet")

    def hold_time(self, request: HoldRequest) -> None:
        if not self.capabilities.holds:
            raise EhrRejected("the EHR keeps no holds")
        self._claims.claim(request, HELD)

    def held_times(
        self, schedule_refs: Sequence[str], *, starts_from: datetime, starts_before: datetime
    ) -> list[HeldTime]:
        found = self._slots.many(schedule_refs, starts_from, starts_before, self._client.deadline())
        return [
            HeldTime(booking_id, ref, read.starts_at, read.ends_at)
            for ref, slots in found.items()
            for slot in slots
            for booking_id in resources.booking_ids(slot)
            if is_ours(slot, booking_id) and (read := resources.slot(slot)) is not None
        ]

    def release_time(self, request: HoldRequest) -> None:
        """Every Slot of that time with the booking's identifier, unless it belongs to a visit of the booking's."""
        found = self._slots.one(
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
            if request.booking_id in record.booking_ids and record.status not in resources.CANCELLED
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
            if refusal.status != 409 or self._ehr_takes_slots is False:
                self._claims.undo(claim.slots, request.booking_id)
                raise
        # Some servers turn the Slots of an Appointment busy themselves, and refuse one whose Slots are not free.
        # Nothing was made, so the same may be asked once more with Slots that are.
        return self._create_at_once(request, time, learns=True)

    def _create(self, request: AppointmentRequest, slot_refs: list[str]) -> str:
        """On condition, where the server takes one, that there is none with the booking's identifier. That narrows the
        time in which two could be made and is no lock: HAPI made eight of eight at once."""
        document = r4_writers.write_appointment(request, slot_refs)
        features, headers = self._features(), {}
        if features.of("Appointment").creates_conditionally and features.searches(
            "Appointment", "identifier"
        ):
            headers = {"If-None-Exist": f"identifier={resources.BOOKING_SYSTEM}|{request.booking_id}"}
        try:
            return self._client.create(
                "Appointment",
                document,
                self._client.deadline(),
                headers=headers,
                patient_ref=request.patient_ref,
            )
        except Changed as several:
            # 412: there are several already, and which of them stands is for a look-up to tell.
            raise OutcomeUnknown(str(several), status=several.status) from several

    def _create_at_once(self, request: AppointmentRequest, time: HoldRequest, *, learns: bool = False) -> str:
        """Where Slots cannot be claimed: look, make the Appointment, and mark the Slots that the server left free."""
        slots = self._claims.find(time)
        if slots is None:
            raise TimeTaken("POST Appointment: not sent, the time is no longer free")
        if any(is_ours(slot, time.booking_id) for slot in slots):
            # Left by a create that broke off, or by one that knew no better.
            if standing := self._visits(time):
                return standing[0].ref
            if learns or self._ehr_takes_slots:
                self._give_up_claims(slots, time)
        try:
            ref = self._create(request, [resources.own_reference(slot) for slot in slots])
        except EhrRejected:
            if self._claims.find(time) is None:
                raise TimeTaken("POST Appointment: the time is no longer free") from None
            raise
        if learns:
            self._learn(slots)
        if self._features().updates_slots and not self._ehr_takes_slots:
            try:
                self._claims.claim(time, BUSY)
            except EhrFailure as failure:
                # The server may have turned them itself, which reads as taken.
                logger.info("the Slots of a new Appointment were not marked: %s", failure)
        return ref

    def _give_up_claims(self, slots: list[dict[str, Any]], time: HoldRequest) -> None:
        """A server that takes Slots itself takes only what is free."""
        for slot in slots:
            self._claims.give_back(resources.own_reference(slot), {time.booking_id})

    def _learn(self, slots: list[dict[str, Any]]) -> None:
        """Whether Slots that were free before a write of ours are busy after it, and for no booking's sake."""
        try:
            ref = resources.own_reference(slots[0])
            slot = self._client.read(ref, self._client.deadline()).resource
        except EhrFailure:
            return
        self._ehr_takes_slots = slot.get("status") == BUSY and not resources.booking_ids(slot)

    def cancel_appointment(self, appointment_ref: str) -> None:
        found = self._client.read(appointment_ref, self._client.deadline())
        was_live = resources.text(found.resource.get("status")) not in resources.CANCELLED
        self._change(appointment_ref, r4_writers.cancelled, read=found)
        try:
            self._free(found.resource, keep=self._of_others(found.resource), unmarked_too=was_live)
        except EhrUnavailable as failure:
            # The visit is cancelled already, so this is no failure that did nothing.
            raise OutcomeUnknown(str(failure), status=failure.status) from failure

    def _of_others(self, appointment: Mapping[str, Any]) -> frozenset[str]:
        """Slots of a visit's that another visit of the same booking stands on, as after a create that was made twice."""
        if not self.capabilities.appointment_identifier_search:
            return frozenset()
        ref = resources.own_reference(appointment)
        return frozenset(
            slot_ref
            for booking_id in resources.booking_ids(appointment)
            for other in self._client.search(
                "Appointment",
                {"identifier": f"{resources.BOOKING_SYSTEM}|{booking_id}", "_count": self.page_size},
                self._client.deadline(),
            )
            if resources.own_reference(other) != ref
            and booking_id in resources.booking_ids(other)
            and resources.text(other.get("status")) not in resources.CANCELLED
            for node in resources.mappings(other.get("slot"))
            if (slot_ref := resources.reference(node, "Slot"))
        )

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
        if not self.can_move():
            raise EhrRejected("PUT Appointment: not sent, the EHR cannot move a visit safely")
        self._move_by_slots(move)

    def _move_by_slots(self, move: AppointmentMove) -> None:
        found = self._client.read(move.appointment_ref, self._client.deadline())
        before = found.resource
        written(lambda: r4_writers.moved(before, move, ()), "Appointment")
        if self._ehr_takes_slots:
            self._move_at_once(move, found)
            return
        claim = self._claims.claim(HoldRequest.of(move), BUSY)
        try:
            self._change(
                move.appointment_ref,
                lambda appointment: r4_writers.moved(appointment, move, claim.refs),
                read=found,
            )
        except OutcomeUnknown:
            raise
        except EhrFailure as failure:
            self._claims.undo(claim.fresh, move.booking_id)
            if not self._is_about_slots(failure, found):
                raise
            self._move_at_once(move, found, learns=True)
            return
        self._let_go(before, claim.refs)

    def _is_about_slots(self, failure: EhrFailure, read: Version) -> bool:
        """Whether a conflict cannot be about the Appointment itself, and may be about Slots that we had turned."""
        if failure.status != 409 or self._ehr_takes_slots is not None:
            return False
        now = self._client.read(resources.own_reference(read.resource), self._client.deadline())
        return now.resource == read.resource

    def _move_at_once(self, move: AppointmentMove, found: Version, *, learns: bool = False) -> None:
        """Where the server itself takes the new Slots and lets go of the old, or refuses."""
        time = HoldRequest.of(move)
        slots = self._claims.find(time)
        if slots is None:
            span = (
                resources.instant(found.resource.get("start")),
                resources.instant(found.resource.get("end")),
            )
            if span == (move.starts_at, move.ends_at):
                return
            raise TimeTaken("PUT Appointment: not sent, the time is no longer free")
        if learns or self._ehr_takes_slots:
            self._give_up_claims(slots, time)
        refs = [resources.own_reference(slot) for slot in slots]
        try:
            self._change(move.appointment_ref, lambda appointment: r4_writers.moved(appointment, move, refs))
        except EhrRejected:
            if self._claims.find(time) is None:
                raise TimeTaken("PUT Appointment: the time is no longer free") from None
            raise
        if learns:
            self._learn(slots)
        if not self._ehr_takes_slots:
            self._let_go(found.resource, self._claims.claim(time, BUSY).refs)

    def _let_go(self, before: Mapping[str, Any], keep: list[str]) -> None:
        """After a move: the Slots the visit had, but those it still has."""
        try:
            self._free(before, keep=frozenset(keep), unmarked_too=True)
        except EhrUnavailable as failure:
            raise OutcomeUnknown(str(failure), status=failure.status) from failure


def time_of(request: AppointmentRequest) -> HoldRequest:
    if not request.schedule_ref:
        raise EhrRejected("POST Appointment: not sent, it needs the schedule whose time it takes")
    return HoldRequest.of(request)
